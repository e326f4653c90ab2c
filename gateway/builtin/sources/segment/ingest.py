"""Handles a request with events, from its first byte to the response."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from gateway.builtin.sources.segment.answers import Rejected, refuse, succeed
from gateway.builtin.sources.segment.config import Category, SegmentConfig, widest
from gateway.builtin.sources.segment.decode import Parsed, parse_batch, parse_event
from gateway.builtin.sources.segment.limits import select
from gateway.builtin.sources.segment.plain import limited, plain_batch, plain_event
from gateway.components.context import Context
from gateway.components.ports import Intake, WriteKey
from gateway.errors import QueueError, QueueFull
from gateway.events.envelope.arrival import Arrival, Plain
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import Origin
from gateway.http.basic_auth import basic_user
from gateway.http.body import BodyError, BodyTimeout, read_body
from gateway.http.client_ip import ClientAddress

__all__ = ["Ingest"]

_LARGE_BODY_BYTES = 65_536
_LONGEST_TIME = 100  # characters
_STRICT_SUCCESS = frozenset({"invalid_write_key", "source_disabled"})


class Ingest:
    """Handles requests with events for all sources of the type.

    Args:
        configs: settings of the sources by id.
    """

    def __init__(
        self, configs: Mapping[str, SegmentConfig], intake: Intake, context: Context
    ) -> None:
        self._configs = dict(configs)
        self._widest = widest(list(configs.values()))
        self._strict = any(config.strict_segment for config in configs.values())
        self._intake = intake
        self._address = ClientAddress(context.server)
        self._timeout_seconds = context.server.body_timeout_seconds

    async def event(self, request: web.Request, kind: str) -> web.Response:
        """Handles a request with one event, whose type is given by the path."""
        return await self._answer(request, kind, None)

    async def batch(self, request: web.Request, query_key: str | None = None) -> web.Response:
        """Handles a request with a batch.

        Args:
            query_key: write key of the query, on paths that allow one there.
        """
        return await self._answer(request, None, query_key)

    async def _answer(
        self, request: web.Request, kind: str | None, query_key: str | None
    ) -> web.Response:
        try:
            await self._take(request, kind, query_key)
        except Rejected as error:
            return self._refuse(request, error.code, error.retry_after_seconds)
        except BodyError as error:
            response = self._refuse(request, error.code)
            if isinstance(error, BodyTimeout):
                response.force_close()
            return response
        except QueueFull as error:
            return self._refuse(request, "queue_full", error.retry_after_seconds)
        except QueueError:
            return self._refuse(request, "unavailable")
        return succeed(request)

    def _refuse(
        self, request: web.Request, code: str, retry_after_seconds: int = 0
    ) -> web.Response:
        self._intake.reject(code)
        if self._strict and code in _STRICT_SUCCESS:
            return succeed(request)
        return refuse(request, code, retry_after_seconds=retry_after_seconds)

    async def _take(self, request: web.Request, kind: str | None, query_key: str | None) -> None:
        # The client stamps `sentAt` before it sends the body. So take the time now: the body's
        # travel time must not count as an error of the client's clock.
        received_ms = self._intake.clock()
        key = basic_user(request.headers.get("Authorization")) or query_key
        # Requests without a valid key in the headers or the query are refused before their body is
        # read.
        caps = self._widest
        if key is not None:
            caps = self._configs[self.key_of(request, key).source_id]
        body = await read_body(
            request,
            max_bytes=caps.max_batch_bytes if kind is None else caps.max_event_bytes,
            max_compressed_bytes=caps.compressed_limit,
            timeout_seconds=self._timeout_seconds,
        )
        plain = None if self._intake.decodes_all else self._read(body, kind, caps)
        large = len(body) > _LARGE_BODY_BYTES
        if plain is not None:
            used = self.key_of(request, key or plain.write_key)
            self.charge(used, len(plain.heads))
            size = max(len(body), len(plain.array))
            if large:
                await asyncio.sleep(0)  # others get their turn between the steps
            if await self._take_as_sent(request, used, plain, size, received_ms):
                return
            if large:
                await asyncio.sleep(0)
        parsed = parse_batch(body) if kind is None else parse_event(body, kind)
        used = self.key_of(request, key or parsed.write_key)
        source_id = used.source_id
        config = self._configs[source_id]
        most = config.max_batch_bytes if kind is None else config.max_event_bytes
        if len(parsed.body) > most:
            raise Rejected("payload_too_large")
        if kind is None and not parsed.events and not parsed.elements:
            parsed.discard("empty_batch")
        self.select(source_id, parsed)
        if plain is None:
            self.charge(used, len(parsed.events) + parsed.discarded.total())
        if large:
            await asyncio.sleep(0)
        await self.accept(request, used, parsed, received_ms, config.category)

    def _read(self, body: bytes, kind: str | None, caps: SegmentConfig) -> Plain | None:
        """Reads a body without decoding its usual events."""
        return plain_batch(body, caps.max_batch_events) if kind is None else plain_event(body, kind)

    async def _take_as_sent(
        self, request: web.Request, key: WriteKey, plain: Plain, size: int, received_ms: int
    ) -> bool:
        """Takes events without decoding them; False if they have to be decoded one by one."""
        config = self._configs[key.source_id]
        fitting = limited(plain, config) if size <= config.max_batch_bytes else None
        if fitting is None:
            return False
        plain = fitting
        if key.types is not None and not _types(plain).issubset(key.types):
            return False
        sent_at = plain.sent_at or _sent_at(request)
        client = self._client(request, config, config.category)
        origin = Origin(
            key.source_id,
            received_ms,
            sent_at,
            plain.type,
            client,
            context=plain.context,
            integrations=plain.integrations,
        )
        return await self._intake.accept_as_sent(origin, plain)

    def charge(self, key: WriteKey, events: int) -> None:
        """Counts events towards the rate of their key.

        Raises:
            Rejected: the key is over its rate.
        """
        wait = key.take(events, self._intake.clock())
        if wait:
            self._intake.refuse(key.source_id, events)
            raise Rejected("rate_limited", wait)

    def key_of(self, request: web.Request, write_key: str | None) -> WriteKey:
        """Returns the key of a request.

        Raises:
            Rejected: the key does not belong to a source of this type, is not allowed for this
                page, or its source is disabled and does not answer 200 then.
        """
        key = self._intake.key_of(write_key) if write_key else None
        if key is None or key.source_id not in self._configs:
            raise Rejected("invalid_write_key")
        if not key.allows_origin(request.headers):
            raise Rejected("origin_not_allowed")
        config = self._configs[key.source_id]
        if config.disabled_status != 200 and not self._intake.enabled(key.source_id):
            raise Rejected("source_disabled")
        return key

    def select(self, source_id: str, parsed: Parsed) -> None:
        """Leaves in `parsed.events` only the events that the source's limits allow.

        Raises:
            Rejected: the body nests so deep that it could be parsed, but not parsed again here,
                where the call stack is deeper.
        """
        try:
            parsed.events = select(parsed, self._configs[source_id])
        except RecursionError:
            raise Rejected("invalid_json") from None

    async def accept(
        self,
        request: web.Request,
        key: WriteKey,
        parsed: Parsed,
        received_ms: int,
        category: Category,
    ) -> None:
        """Passes the events of a body to intake."""
        source_id = key.source_id
        config = self._configs[source_id]
        await self._intake.accept(
            Arrival(
                source_id=source_id,
                received_ms=received_ms,
                events=parsed.events,
                discarded=parsed.discarded,
                sent_at=parsed.sent_at or _sent_at(request),
                client=self._client(request, config, category),
                body_bytes=len(parsed.body),
                types=key.types,
            )
        )

    def _client(self, request: web.Request, config: SegmentConfig, category: Category) -> Client:
        ip = self._address.of(request) if config.capture_ip else None
        if ip is not None and ":" in ip and not config.capture_ipv6:
            ip = None
        user_agent = request.headers.get("User-Agent")
        if user_agent is not None:
            user_agent = _storable(user_agent[: config.max_user_agent_chars])
        return Client(ip, user_agent, category)


def _types(plain: Plain) -> set[str]:
    """Returns the types of a request's events."""
    return {plain.type} if plain.type else {head.type for head in plain.heads}


def _sent_at(request: web.Request) -> str | None:
    """Returns the SentAt header, in which RudderStack's JavaScript SDK puts the time of sending."""
    value = request.headers.get("SentAt")
    return value if value is not None and len(value) <= _LONGEST_TIME and value.isascii() else None


def _storable(header: str) -> str:
    """Returns a header's text without surrogates, which aiohttp puts for bytes outside UTF-8."""
    if header.isascii():
        return header
    return header.encode(errors="surrogateescape").decode(errors="replace")
