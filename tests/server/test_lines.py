"""Lines that go to one reader."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.server.admin.lines import LineWriter


async def test_lines_of_several_writers_do_not_mix() -> None:
    """A line arrives whole, however long it is and whoever else writes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        lines = LineWriter(request, 10.0)
        await lines.start()
        await asyncio.gather(*(lines.write(name * 300_000 + b"\n") for name in (b"a", b"b", b"c")))
        return lines.response

    app = web.Application()
    app.router.add_get("/", answer)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/")) as response,
    ):
        text = await response.text()
    assert sorted(set(line) for line in text.splitlines()) == [{"a"}, {"b"}, {"c"}]
