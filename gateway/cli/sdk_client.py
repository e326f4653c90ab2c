"""Talks to a running gateway as an SDK does: packs events, sends batches, waits and tries again.

For the commands of this package; a batch keeps its message ids over all attempts, so that the
gateway takes each event up once, whatever the answer that got lost. The protocol is Segment's
(https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Annotated, Generic, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Meta, Struct

from gateway.config.settings import RetryPolicy
from gateway.delivery.backoff import backoff_seconds
from gateway.errors import Misconfigured, Permanent, Retryable, Throttled
from gateway.events.timestamps import format_ms, now_ms
from gateway.http.retry_after import parse_retry_after

__all__ = ["CLIENT_RETRY", "Client", "Limits", "Packer", "encode_batch"]

T = TypeVar("T")

CLIENT_RETRY = RetryPolicy(
    initial_seconds=0.5, max_seconds=30.0, max_attempts=10, max_age_seconds=300.0
)
"""For a person who waits: `max_attempts` and `max_age_seconds` bound one batch."""

_MAX_ANSWER_BYTES = 10_000_000
_OURS = ("headgate_events_", "headgate_destination_")
_SAY_LATER = frozenset({408, 425, 429, 460})
_NOT_HERE = frozenset({401, 403, 404, 405})


class Limits(Struct, frozen=True, kw_only=True):
    """What the gateway takes in one request, as Segment documents it.

    Attributes:
        max_events: events of a batch.
        max_body_bytes: a request's body.
        max_event_bytes: one event.
    """

    max_events: Annotated[int, Meta(ge=1)] = 2500
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 500_000
    max_event_bytes: Annotated[int, Meta(ge=1)] = 32 * 1024


_HEAD = b'{"batch":['
_TAIL = b'],"sentAt":"%s"}'
_ENVELOPE_BYTES = len(_HEAD) + len(_TAIL) + 32


def encode_batch(events: Sequence[bytes], sent_at_ms: int) -> bytes:
    """The body of a batch request; each of `events` is a JSON object."""
    return _HEAD + b",".join(events) + _TAIL % format_ms(sent_at_ms).encode()


class Packer(Generic[T]):
    """Collects items into batches that stay within the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._items: list[T] = []
        self._bytes = _ENVELOPE_BYTES

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, size: int) -> list[T]:
        """Take an item up; returns the batch that is complete because of it, mostly none.

        Args:
            size: bytes of the item's JSON; an item over the limits makes a batch of its own.
        """
        full: list[T] = []
        if self._items and self._bytes + size > self._limits.max_body_bytes:
            full = self.take()
        self._items.append(item)
        self._bytes += size + 1
        if not full and len(self._items) >= self._limits.max_events:
            full = self.take()
        return full

    def take(self) -> list[T]:
        """What is collected so far."""
        items, self._items, self._bytes = self._items, [], _ENVELOPE_BYTES
        return items


class Client:
    """A connection to a gateway; use it with ``async with``.

    Args:
        url: address of the gateway, with the prefix of its sources if it has one.
        retry: bounds on how often and for how long a batch is tried.
        timeout_seconds: for one attempt.
        on_retry: told why a batch is tried again, and in how many seconds.
    """

    def __init__(
        self,
        url: str,
        write_key: str,
        *,
        retry: RetryPolicy = CLIENT_RETRY,
        timeout_seconds: float = 30.0,
        on_retry: Callable[[str, float], None] = lambda reason, seconds: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], int] = now_ms,
        rng: random.Random | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is not the address of a gateway, such as http://host:8080")
        self.url = url.rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        credentials = b64encode(f"{write_key}:".encode()).decode()  # the key is the user's name
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
        }
        self._retry = retry
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._on_retry = on_retry
        self._sleep = sleep
        self._monotonic = monotonic
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - for jitter
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, events: Sequence[bytes]) -> None:
        """Send a batch, and again as long as the gateway asks for that.

        Raises:
            Retryable: the bounds of `retry` are reached; some attempt may have been taken up.
            Permanent: the gateway will never take this batch.
            Misconfigured: wrong address or write key.
        """
        policy = self._retry
        give_up = self._monotonic() + policy.max_age_seconds
        attempt = 1
        while True:
            try:
                return await self._attempt(events)
            except Retryable as error:
                wait = backoff_seconds(attempt, policy, error.retry_after_seconds, self._rng)
                if attempt >= policy.max_attempts or self._monotonic() + wait > give_up:
                    raise
                self._on_retry(str(error), wait)
            await self._sleep(wait)
            attempt += 1

    async def _attempt(self, events: Sequence[bytes]) -> None:
        # Sent anew each time: the gateway corrects clocks by it.
        body = encode_batch(events, self._clock())
        try:
            async with self._open.post(
                f"{self.url}/v1/batch", data=body, headers=self._headers, allow_redirects=False
            ) as response:
                answer = await _read(response)
                self._judge(response.status, response.headers, answer)
        except TimeoutError as error:
            raise Retryable(f"no answer within {self._timeout.total:g} s") from error
        except aiohttp.ClientError as error:
            raise Retryable(f"{self._origin}: {error}") from error

    def _judge(self, status: int, headers: Mapping[str, str], answer: bytes) -> None:
        said = _json_object(answer)
        if status == 200:
            if said.get("success") is not True:
                raise Misconfigured(f"{self._origin} is not a gateway: it answers something else")
            return
        reason = f"HTTP {status}: {said.get('message') or 'no reason given'}"
        if status in _SAY_LATER or status >= 500:
            wait = parse_retry_after(headers.get("Retry-After"), self._clock())
            raise (Throttled if status == 429 else Retryable)(reason, wait)
        if status in _NOT_HERE or status < 400:
            raise Misconfigured(reason)
        raise Permanent(reason)

    async def healthy(self) -> bool:
        """Whether something at the address says that it is up."""
        try:
            async with self._open.get(f"{self._origin}/health") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def counts(self) -> Counter[tuple[str, str]] | None:
        """The gateway's counters and gauges, or None where they cannot be had.

        Returns:
            By name and id of the source or destination, such as
            ``("headgate_events_accepted_total", "web")``; other labels are summed up.
        """
        try:
            async with self._open.get(f"{self._origin}/metrics") as response:
                text = (await _read(response)).decode(errors="replace")
                return _parse_counts(text) if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError):
            return None

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use the client with `async with`"
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        data += chunk
        if len(data) > _MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer has over {_MAX_ANSWER_BYTES} bytes")
    return bytes(data)


def _json_object(data: bytes) -> dict[str, object]:
    try:
        decoded = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _parse_counts(text: str) -> Counter[tuple[str, str]] | None:
    from prometheus_client.parser import text_string_to_metric_families

    counts: Counter[tuple[str, str]] = Counter()
    try:
        for family in text_string_to_metric_families(text):
            if family.name.startswith(_OURS):
                for sample in family.samples:
                    labels = sample.labels
                    id_ = labels.get("destination") or labels.get("source") or ""
                    if math.isfinite(sample.value):
                        counts[sample.name, id_] += int(sample.value)
    except ValueError:  # not the text format
        return None
    return counts
