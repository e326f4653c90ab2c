"""The socket for commands of this machine: bounds, and what happens if it cannot be made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import rmtree

import pytest
from aiohttp import web

from gateway.config.local_socket import FOLDER, commands_socket, read_secret, short
from gateway.runtime.gateway import Gateway
from gateway.server.admin import add_admin
from gateway.server.admin.guard import CallerOf
from gateway.server.commands import LOOK_SECONDS, answering_commands
from tests.support.in_process import make_gateway
from tests.support.waiting import until

# aiohttp 3.13, which the gateway supports too, has no typed keys of requests yet.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

CONFIG = """
[server]
header_timeout_seconds = 0.2
body_timeout_seconds = 0.1
[admin]
max_local_connections = 2
max_body_bytes = 100
body_timeout_seconds = 0.2
[destinations.all]
type = "null"
"""


@asynccontextmanager
async def answering(gateway: Gateway, *, look_seconds: float = LOOK_SECONDS) -> AsyncIterator[str]:
    """Runs the socket of a gateway, and gives a path to it."""

    def answers(app: web.Application, caller_of: CallerOf) -> None:
        add_admin(app, gateway, caller_of)

    async with answering_commands(lambda: gateway.config, answers, look_seconds=look_seconds):
        with short(commands_socket(gateway.config.shared_dir)) as path:
            yield path


async def reply(path: str, request: bytes) -> str:
    """Sends bytes over a new connection, and returns everything that comes back."""
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            break
        except ConnectionRefusedError:  # it is bound, and does not listen yet
            await asyncio.sleep(0.01)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            return (await reader.read()).decode()
    finally:
        writer.close()


def post(secret: str | None, body: bytes, length: int) -> bytes:
    head = f"POST /admin/dead/list HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode() + body


async def test_requests_keep_to_the_bounds_of_the_api(tmp_path: Path) -> None:
    """A wrong secret, a large or slow body, and a silent client are refused, each with its reason.

    The secret of an earlier run is a wrong one.
    """
    gateway = make_gateway(tmp_path, CONFIG)
    data_dir = gateway.config.shared_dir
    async with answering(gateway):
        earlier = read_secret(data_dir)
    assert not (data_dir / FOLDER).exists()
    async with answering(gateway) as path:
        secret = read_secret(data_dir)
        assert earlier != secret is not None
        head = "POST /admin/dead/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        for authorization in ("", f"Authorization: Bearer {earlier}\r\n", "Authorization: é\r\n"):
            refused = await reply(path, f"{head}{authorization}\r\n".encode())
            assert refused.startswith("HTTP/1.1 401 "), authorization
        assert (await reply(path, post(secret, b"x" * 101, 101))).startswith("HTTP/1.1 413 ")
        assert (await reply(path, post(secret, b"x", 50))).startswith("HTTP/1.1 408 ")
        assert await reply(path, b"") == ""


async def test_connections_are_bounded(tmp_path: Path) -> None:
    """Beyond `admin.max_local_connections` the answer is 503."""
    gateway = make_gateway(tmp_path, CONFIG)
    async with answering(gateway) as path:
        held = [await asyncio.open_unix_connection(path) for _ in range(2)]
        assert (await reply(path, b"")).startswith("HTTP/1.1 503 ")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()


async def test_a_socket_that_is_missing_is_made_when_that_is_possible(tmp_path: Path) -> None:
    """The gateway starts without it, and makes it anew when somebody has removed it."""
    gateway = make_gateway(tmp_path, CONFIG)
    data_dir = gateway.config.shared_dir
    data_dir.mkdir()
    (data_dir / FOLDER).write_text("in the way")
    async with answering(gateway, look_seconds=0.01) as path:
        assert (data_dir / FOLDER).read_text() == "in the way"
        (data_dir / FOLDER).unlink()
        await until(commands_socket(data_dir).is_socket)
        secret = read_secret(data_dir)
        assert (await reply(path, post(secret, b"x" * 101, 101))).startswith("HTTP/1.1 413 ")
        rmtree(data_dir / FOLDER)
        await until(commands_socket(data_dir).is_socket)
        assert (await reply(path, post(secret, b"x" * 101, 101))).startswith("HTTP/1.1 413 ")
    assert not (data_dir / FOLDER).exists()
