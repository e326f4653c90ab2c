"""A server with only sources of type ``segment``, on a free loopback port."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from gateway.builtin.sources.segment import SegmentConfig, SegmentSource
from gateway.components.transform import Transform
from gateway.config.settings import ServerConfig, SourceSettings
from gateway.intake.intake import Intake
from gateway.testing import ManualClock, make_context
from tests.support.fake_queue import FakeQueue
from tests.support.intake_harness import IntakeHarness, make_source

KEY = "key-web"
OTHER_KEY = "key-2"
FOREIGN_KEY = "key-of-another-type"
SUCCESS = b'{"success":true}'


def basic(key: str = KEY) -> dict[str, str]:
    """Makes the header with the write key that most SDKs send."""
    token = base64.b64encode(f"{key}:".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def event(**fields: Any) -> dict[str, Any]:
    """Makes a valid track event as a client writes it."""
    return {"type": "track", "event": "Tested", "userId": "u", **fields}


def dumps(value: Any) -> bytes:
    """Encodes JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


class Reply:
    """A response of the server."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


class SegmentHarness:
    """Sends requests to the sources, and shows what they store and count.

    Attributes:
        queue: stores the accepted events.
        ledger: counts events and rejected requests.
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
        """The stored events as destinations see them."""
        return [event.to_dict() for event in self.queue.stored]

    def discarded(self, source_id: str = "web") -> dict[str, int]:
        """Returns the number of discarded events of a source by code."""
        return dict(self.ledger.source(source_id).discarded)

    @property
    def rejected(self) -> Counter[str]:
        """Number of rejected requests by code."""
        return self.ledger.rejected_requests

    async def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Sends a request; a body that is not bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
            body = dumps(body)
        async with self.session.request(
            method, path, data=body, headers=headers, allow_redirects=False
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def post(
        self, path: str, body: Any = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Sends a POST with the key in the header, unless other headers are given."""
        return await self.request("POST", path, body, basic() if headers is None else headers)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Sends a GET without a key."""
        return await self.request("GET", path, None, headers)

    async def raw(self, data: bytes) -> Reply:
        """Sends bytes, which need not be a whole request, and reads one answer."""
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
async def segment_gateway(
    config: SegmentConfig | None = None,
    *,
    enabled: bool = True,
    server: ServerConfig | None = None,
    clock: ManualClock | None = None,
    others: Mapping[str, SegmentConfig] | None = None,
    transforms: Sequence[tuple[str, Transform]] = (),
) -> AsyncIterator[SegmentHarness]:
    """Runs a server with a source ``web`` (`KEY`) and others, which own the keys ``key-<id>``.

    A further source of another type owns `FOREIGN_KEY`. A warning of aiohttp or asyncio fails the
    test, because no request may cause a traceback.
    """
    configs = {"web": config or SegmentConfig(), **(others or {})}
    settings = {
        id_: make_source(f"key-{id_}", enabled=enabled if id_ == "web" else True) for id_ in configs
    }
    settings["foreign"] = SourceSettings(type="other", write_key=FOREIGN_KEY)
    harness = IntakeHarness(sources=settings, clock=clock, transforms=transforms)
    context = make_context(Path("/nowhere"), "segment", server=server, clock=harness.clock)
    intake = harness.intake
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
            yield SegmentHarness(session, port, intake, harness.queue)
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
    """Encodes compressed JSON."""
    return gzip.compress(dumps(value), mtime=0)


def encoded(value: Any, *, urlsafe: bool = False, padded: bool = True) -> str:
    """Encodes JSON in base64, as the ``data`` of a pixel."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    text = encode(dumps(value)).decode()
    return text if padded else text.rstrip("=")
