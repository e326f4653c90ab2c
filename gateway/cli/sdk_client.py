"""Client of a running gateway that works like an SDK: sends batches, and retries them.

A batch keeps its message ids over all attempts, so the gateway accepts each event once, even if an
answer was lost. The protocol is Segment's
(https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.cli.batches import encode_batch
from gateway.config.settings import RetryPolicy
from gateway.delivery.backoff import backoff_seconds
from gateway.errors import Misconfigured, Permanent, Retryable, Throttled
from gateway.events.timestamps import now_ms
from gateway.http.basic_auth import basic_authorization
from gateway.http.retry_after import parse_retry_after

__all__ = ["CLIENT_RETRY", "Client", "Timing"]

CLIENT_RETRY = RetryPolicy(
    initial_seconds=0.5, max_seconds=30.0, max_attempts=10, max_age_seconds=300.0
)
"""Retries while a person waits: `max_attempts` and `max_age_seconds` bound one batch."""

_MAX_ANSWER_BYTES = 10_000_000
_OURS = ("headgate_events_", "headgate_destination_")
_SAY_LATER = frozenset({408, 425, 429, 460})
_NOT_HERE = frozenset({401, 403, 404, 405})


@dataclass(frozen=True, slots=True)
class Timing:
    """Clocks and chance, for tests to replace.

    Attributes:
        clock: wall clock in milliseconds.
        rng: for the jitter of retries.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    clock: Callable[[], int] = now_ms
    rng: random.Random = field(default_factory=random.Random)


class Client:
    """A connection to a gateway; use it with ``async with``.

    Args:
        url: address of the gateway, with the prefix of its sources if it has one.
        retry: bounds on the attempts at one batch.
        timeout_seconds: of one attempt.
        on_retry: gets the reason for a retry, and the seconds until then.
    """

    def __init__(
        self,
        url: str,
        write_key: str,
        *,
        retry: RetryPolicy = CLIENT_RETRY,
        timeout_seconds: float = 30.0,
        on_retry: Callable[[str, float], None] = lambda reason, seconds: None,
        timing: Timing | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is not the address of a gateway, such as http://host:8080")
        self.url = url.rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._headers = {
            "Authorization": basic_authorization(write_key),
            "Content-Type": "application/json",
        }
        self._retry = retry
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._on_retry = on_retry
        self._timing = timing or Timing()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, events: Sequence[bytes]) -> None:
        """Sends a batch, and sends it again as long as the gateway asks for that.

        Raises:
            Retryable: the bounds of `retry` are reached; an attempt may have been accepted.
            Permanent: the gateway will never accept this batch.
            Misconfigured: wrong address or write key.
        """
        policy, timing = self._retry, self._timing
        give_up = timing.monotonic() + policy.max_age_seconds
        attempt = 1
        while True:
            try:
                return await self._attempt(events)
            except Retryable as error:
                wait = backoff_seconds(attempt, policy, error.retry_after_seconds, timing.rng)
                if attempt >= policy.max_attempts or timing.monotonic() + wait > give_up:
                    raise
                self._on_retry(str(error), wait)
            await timing.sleep(wait)
            attempt += 1

    async def _attempt(self, events: Sequence[bytes]) -> None:
        # Each attempt says when it was sent: the gateway corrects clocks by that time.
        body = encode_batch(events, self._timing.clock())
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
            wait = parse_retry_after(headers.get("Retry-After"), self._timing.clock())
            raise (Throttled if status == 429 else Retryable)(reason, wait)
        if status in _NOT_HERE or status < 400:
            raise Misconfigured(reason)
        raise Permanent(reason)

    async def healthy(self) -> bool:
        """Tells whether a server at the address reports that it is up."""
        try:
            async with self._open.get(f"{self._origin}/health") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def counts(self) -> Counter[tuple[str, str]] | None:
        """Returns the gateway's counters and gauges, or None if it does not give them.

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
