"""A gateway with nothing but sources of type ``segment``, listening on a free loopback port."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web

from gateway.builtin.sources.segment import SegmentConfig, SegmentSource
from gateway.components.chain import Chain
from gateway.config.settings import ServerConfig, SourceSettings
from gateway.errors import QueueError
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.intake import Intake
from gateway.queue.batching import BatchingQueue
from gateway.state.ledger.counts import Ledger
from gateway.testing import ManualClock, make_context

KEY = "key-web"
OTHER_KEY = "key-2"
FOREIGN_KEY = "key-of-another-type"
SUCCESS = b'{"success":true}'


def basic(key: str = KEY) -> dict[str, str]:
    """The header that most SDKs send."""
    token = base64.b64encode(f"{key}:".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def event(**fields: Any) -> dict[str, Any]:
    """A valid track event as a client writes it."""
    return {"type": "track", "event": "Tested", "userId": "u", **fields}


def dumps(value: Any) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


class FakeQueue:
    """Stores events in a list; `error` makes it refuse."""

    max_pending_bytes = 64_000_000

    def __init__(self) -> None:
        self.stored: list[Event] = []
        self.error: QueueError | None = None
        self.when_stored: Callable[[Mapping[str, int], int], None] | None = None

    def put(
        self, events: Sequence[Event], data: bytes, sources: Mapping[str, int]
    ) -> Awaitable[None]:
        """Keep what a store would keep: the encoded form."""
        if self.error is not None:
            raise self.error
        assert len(stored_events(data)) == len(events) == sum(sources.values())
        self.stored += stored_events(data)
        if self.when_stored is not None:
            self.when_stored(sources, len(self.stored))
        return self.settle()

    def settle(self) -> Awaitable[None]:
        """Nothing is ever under way."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Reply:
    """What came back."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> dict[str, Any]:
        """The body, which has to be a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


class Lab:
    """What a test talks to.

    Attributes:
        queue: what is stored; `ledger`: what is counted; `clock`: what time it is.
    """

    def __init__(
        self, session: aiohttp.ClientSession, port: int, intake: Intake, queue: FakeQueue
    ) -> None:
        self.session = session
        self.port = port
        self.intake = intake
        self.queue = queue
        self.ledger = intake.ledger

    @property
    def stored(self) -> list[dict[str, Any]]:
        """The stored events as destinations would see them."""
        return [event.to_dict() for event in self.queue.stored]

    def discarded(self, source_id: str = "web") -> dict[str, int]:
        """Discarded events of a source by code."""
        return dict(self.ledger.source(source_id).discarded)

    @property
    def rejected(self) -> Counter[str]:
        """Rejected requests by code."""
        return self.ledger.rejected_requests

    async def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request; a body that is not bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
            body = dumps(body)
        async with self.session.request(
            method, path, data=body, headers=headers, allow_redirects=False
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def post(
        self, path: str, body: Any = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """POST with the key in the header, unless other headers are given."""
        return await self.request("POST", path, body, basic() if headers is None else headers)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET without a key."""
        return await self.request("GET", path, None, headers)

    async def raw(self, data: bytes) -> Reply:
        """Send bytes, which need not be a whole request, and read one answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("Content-Length", "0")))
            return Reply(int(head[0].split()[1]), headers, body)
        finally:
            writer.close()


@asynccontextmanager
async def lab(
    config: SegmentConfig | None = None,
    *,
    enabled: bool = True,
    server: ServerConfig | None = None,
    clock: Callable[[], int] | None = None,
    others: Mapping[str, SegmentConfig] | None = None,
    transforms: Chain | None = None,
) -> AsyncIterator[Lab]:
    """A running gateway with a source ``web`` (`KEY`) and others, which own the keys ``key-<id>``.

    One more source, of another type, owns `FOREIGN_KEY`. A log line of aiohttp or asyncio fails the
    test: no request may cause a traceback.
    """
    configs = {"web": config or SegmentConfig(), **(others or {})}
    settings = {
        id_: SourceSettings(
            type="segment",
            write_key=f"key-{id_}",
            enabled=enabled if id_ == "web" else True,
        )
        for id_ in configs
    }
    settings["foreign"] = SourceSettings(type="other", write_key=FOREIGN_KEY)
    queue = FakeQueue()
    context = make_context(Path("/nowhere"), "segment", server=server, clock=clock or ManualClock())
    intake = Intake(
        IntakeContext(
            sources=settings,
            queue=cast("BatchingQueue", queue),
            recent_ids=RecentIds(86_400_000, 100_000),
            transforms=transforms or Chain(),
            ledger=Ledger(),
            clock=context.clock,
            log=context.log,
        )
    )
    source = SegmentSource(configs, intake, context)
    app = web.Application(client_max_size=0)
    for route in source.routes():
        app.router.add_route(route.method, context.server.prefix + route.path, route.handler)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
    complaints: list[str] = []
    handler = _Listener(complaints)
    loggers = [logging.getLogger(name) for name in ("aiohttp.server", "aiohttp.web", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=8)
        ) as session:
            yield Lab(session, port, intake, queue)
    finally:
        await runner.cleanup()
        for logger in loggers:
            logger.removeHandler(handler)
    assert complaints == []


class _Listener(logging.Handler):
    def __init__(self, complaints: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        self._complaints.append(self.format(record))


def gzipped(value: Any) -> bytes:
    """JSON, compressed."""
    return gzip.compress(dumps(value), mtime=0)


def encoded(value: Any, *, urlsafe: bool = False, padded: bool = True) -> str:
    """JSON in base64, as a pixel's ``data``."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    text = encode(dumps(value)).decode()
    return text if padded else text.rstrip("=")
