"""The paths of sources change while a server runs, and no connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import aiohttp
import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from msgspec import Struct

from gateway.components.context import Context
from gateway.components.source import Route, Source, SourceSpec
from gateway.config.load import load
from gateway.errors import GatewayError
from gateway.http.routing import Mounted
from gateway.intake.intake import Intake
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import Plugin, discover
from gateway.server.app import serving
from tests.support.gateway_harness import BASE, GatewayHarness


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    path: str = "/words"
    refuse: bool = False


class Echo(Source):
    """Answers one path with its own number; a test may make a request wait."""

    made: ClassVar[list[Echo]] = []
    let: ClassVar[asyncio.Event] = asyncio.Event()

    def __init__(self, configs: Mapping[str, Words], intake: Intake, _: Context) -> None:
        (self.config,) = configs.values()
        self.state = "built"
        self.number = len(self.made)
        self.made.append(self)

    async def start(self) -> None:
        if self.config.refuse:
            raise OSError("address in use")
        self.state = "started"

    async def stop(self) -> None:
        self.state = "stopped"

    def routes(self) -> Sequence[Route]:
        return [Route("GET", self.config.path + "/{word}", self.answer)]

    async def answer(self, request: web.Request) -> web.Response:
        if request.match_info["word"] == "wait":
            await self.let.wait()
        if request.match_info["word"] == "exit":
            raise SystemExit(3)
        if request.match_info["word"] == "cancelled":
            raise asyncio.CancelledError
        return web.Response(text=f"{self.number} {request.match_info['word']} {self.state}")


@asynccontextmanager
async def served(harness: GatewayHarness) -> AsyncIterator[tuple[Gateway, aiohttp.ClientSession]]:
    Echo.made, Echo.let = [], asyncio.Event()
    registry = discover(installed=[])
    registry.add("source", SourceSpec("echo", Words, Echo), Plugin("echo", "tests", "0"))
    gateway = Gateway(load(harness.file, {}), registry)
    async with gateway.running(), serving(gateway) as url, aiohttp.ClientSession(url) as session:
        yield gateway, session


@pytest.fixture(name="harness")
def _harness(tmp_path: Path) -> GatewayHarness:
    text = BASE.replace('type = "recording"', 'type = "null"').replace(
        "[server]", "[server]\nport = 0"
    )
    return GatewayHarness(tmp_path, text)


async def get(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


async def test_paths_of_a_new_type_are_answered(harness: GatewayHarness) -> None:
    """A new source's paths are answered, and no longer once it is removed; others do not change."""
    text = harness.file.read_text()
    async with served(harness) as (gateway, session):
        assert (await get(session, "/words/a"))[0] == 404
        harness.write(text + '[sources.echo]\ntype = "echo"\n')
        await gateway.reload("tests")
        assert await get(session, "/words/a") == (200, "0 a started")
        assert (await get(session, "/health"))[0] == 200
        assert (await get(session, "/v1/nothing"))[0] == 404
        prefixed = text.replace("[server]", '[server]\nprefix = "/in"')
        harness.write(prefixed + '[sources.echo]\ntype = "echo"\npath = "/other"\n')
        await gateway.reload("tests")
        assert await get(session, "/in/other/b") == (200, "1 b started")
        assert (await get(session, "/words/a"))[0] == 404
        harness.write(text)
        await gateway.reload("tests")
        assert (await get(session, "/in/other/b"))[0] == 404
        assert [one.state for one in Echo.made] == ["stopped", "stopped"]


async def test_a_request_is_answered_by_whom_it_came_to(harness: GatewayHarness) -> None:
    """A request is answered by the source that it came to, which is stopped only after that."""
    text = harness.file.read_text() + '[sources.echo]\ntype = "echo"\n'
    harness.write(text)
    async with served(harness) as (gateway, session):
        waiting = asyncio.create_task(get(session, "/words/wait"))
        await asyncio.sleep(0.05)
        reloading = asyncio.create_task(gateway.reload("tests"))
        async with asyncio.timeout(10):
            while await get(session, "/words/a") != (200, "1 a started"):
                await asyncio.sleep(0.001)
        Echo.let.set()
        assert await waiting == (200, "0 wait started")
        await reloading
        assert [one.state for one in Echo.made] == ["stopped", "started"]


async def test_a_source_that_refuses_changes_nothing(harness: GatewayHarness) -> None:
    """When a new source refuses to start, the old paths are answered as before."""
    text = harness.file.read_text() + '[sources.echo]\ntype = "echo"\n'
    harness.write(text)
    async with served(harness) as (gateway, session):
        harness.write(text + "refuse = true\n")
        with pytest.raises(GatewayError, match="cannot be started: address in use"):
            await gateway.reload("tests")
        assert await get(session, "/words/a") == (200, "0 a started")
        assert [one.state for one in Echo.made] == ["started", "stopped"]


async def test_a_handler_that_crashes_fails_one_request(harness: GatewayHarness) -> None:
    """SystemExit or CancelledError in a source's handler is a 500; the next request is answered."""
    harness.write(harness.file.read_text() + '[sources.echo]\ntype = "echo"\n')
    async with served(harness) as (_, session):
        for path in ("/words/exit", "/words/cancelled"):
            async with session.get(path) as answer:
                assert (answer.status, (await answer.json())["code"]) == (500, "internal_error")
        assert await get(session, "/words/a") == (200, "0 a started")


def test_a_source_whose_routes_cannot_be_read_is_named() -> None:
    """An error of `routes` is refused with the name of the source's module."""

    class Broken(Source):
        def routes(self) -> Sequence[Route]:
            raise SystemExit(3)

    with pytest.raises(GatewayError, match=r"test_routing: its routes cannot be .*SystemExit"):
        Mounted([Broken()])


def test_two_sources_cannot_have_one_path() -> None:
    """Two sources with the same path are refused when they are mounted, with both names."""

    class Other(Echo):
        pass

    Other.__module__ = "elsewhere"
    sources = [kind({"x": Words()}, None, None) for kind in (Echo, Other)]  # type: ignore[arg-type]
    with pytest.raises(GatewayError, match=r"GET /words/\{word\} is answered by .* and by else"):
        Mounted(sources)


async def test_a_request_that_a_stopping_server_ends_is_no_crash_of_its_source() -> None:
    """The end of a request whose body has not arrived stays a cancellation, without an answer."""

    async def read(request: web.Request) -> web.StreamResponse:
        await request.content.readany()
        raise AssertionError("no body arrives")

    class Reads(Source):
        def routes(self) -> list[Route]:
            return [Route("POST", "/x", read, direct=True)]

    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()
    body = StreamReader(protocol, 1000, loop=loop)
    request = make_mocked_request("POST", "/x", payload=body)
    answering = asyncio.create_task(Mounted([Reads()]).direct["/x"](request))
    await asyncio.sleep(0)
    request._cancel(asyncio.CancelledError())  # as aiohttp does when it stops
    with pytest.raises(asyncio.CancelledError):
        await answering
