"""Servers that answer with informational answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest

from gateway.http.answering import MOST_INFORMATIONAL, connector

PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server(asyncio.Protocol):
    """Answers each request with the same bytes, once or for as long as they are taken."""

    def __init__(self, data: bytes, *, again: bool) -> None:
        self._data = data
        self._again = again

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, _: bytes) -> None:
        self._send()

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._data)
            if self._again:
                asyncio.get_running_loop().call_soon(self._send)


@asynccontextmanager
async def answering(data: bytes, *, again: bool = False) -> AsyncIterator[str]:
    """A server; gives its URL."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(data, again=again), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_some_informational_answers_come_before_the_real_one() -> None:
    """Each answer of a connection may have as many before it as are permitted."""
    data = MOST_INFORMATIONAL * PROCESSING + OK
    async with (
        answering(data) as url,
        aiohttp.ClientSession(connector=connector()) as session,
    ):
        for _ in range(3):
            async with session.get(url) as response:
                assert (response.status, await response.text()) == (200, "ok")


@pytest.mark.parametrize("again", [False, True])
async def test_informational_answers_without_end_are_an_error(again: bool) -> None:
    """One more than permitted ends the request, whether more come or not."""
    data = (MOST_INFORMATIONAL + 1) * PROCESSING + OK
    async with (
        answering(data, again=again) as url,
        aiohttp.ClientSession(connector=connector()) as session,
    ):
        async with asyncio.timeout(10):
            with pytest.raises(aiohttp.ClientError, match="without end"):
                await session.get(url)
