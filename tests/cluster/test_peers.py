"""Requests to other workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.cluster.peers import Peers, view_socket
from gateway.cluster.tail import pass_on_lines
from gateway.server.admin.api import AdminError
from gateway.server.admin.guard import errors_as_json
from gateway.server.unix import listen_unix


@asynccontextmanager
async def peers_of(folder: Path, app: web.Application) -> AsyncIterator[Peers]:
    """Runs one worker whose only shard is this app."""
    top = web.Application()
    top.add_subapp("/shards/0", app)
    runner = web.AppRunner(top, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.SockSite(runner, listen_unix(view_socket(folder, 0))).start()
        async with Peers(1, [0], folder) as peers:
            yield peers
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_tail_ends_when_its_caller_leaves(tmp_path: Path) -> None:
    """Shards are not asked any more after the caller of a tail has left."""
    asked = 0

    async def lines(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"{}\n")
                await asyncio.sleep(0.002)
        except ConnectionResetError:
            return response

    ended = asyncio.Event()
    shard, app = web.Application(), web.Application()
    shard.router.add_get("/admin/tail", lines)
    async with peers_of(tmp_path, shard) as peers:

        async def tail(request: web.Request) -> web.StreamResponse:
            try:
                return await pass_on_lines(peers, request, asyncio.Event(), 10.0)
            finally:
                ended.set()

        app.router.add_get("/admin/tail", tail)
        async with served(app) as url, aiohttp.ClientSession() as session:
            async with session.get(f"{url}/admin/tail") as response:
                assert await response.content.readline() == b"{}\n"
                response.close()
            async with asyncio.timeout(10):
                await ended.wait()
    assert asked == 1


async def test_a_refusal_that_is_not_json_is_a_refusal(tmp_path: Path) -> None:
    """An error that is not JSON becomes a refusal with the shard and the status."""
    async with peers_of(tmp_path, web.Application()) as peers:
        with pytest.raises(AdminError, match="HTTP 404") as raised:
            await peers.ask(0, "GET", "/admin/nothing")
    assert raised.value.status == 404


async def test_the_time_to_wait_is_passed_on(tmp_path: Path) -> None:
    """A shard that asks its caller to come back later does so through another worker, too."""

    async def busy(_: web.Request) -> web.StreamResponse:
        raise AdminError("too many queries", 503, 5)

    shard = web.Application()
    shard.router.add_get("/admin/sql", errors_as_json(busy))
    async with peers_of(tmp_path, shard) as peers:
        with pytest.raises(AdminError, match="too many queries") as error:
            await peers.ask(0, "GET", "/admin/sql")
    assert (error.value.status, error.value.retry_after_seconds) == (503, 5)
