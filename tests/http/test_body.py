"""Request bodies within limits of bytes, time and decompressed size."""

from __future__ import annotations

import asyncio
import gzip
import logging
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import TransferEncodingError
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http.body import (
    BodyEncodingError,
    BodyError,
    BodyIncomplete,
    BodyTimeout,
    BodyTooLarge,
    inflate,
    read_body,
)

MAX_BYTES = 100_000
MAX_COMPRESSED_BYTES = 10_000


class Server:
    """Reads the body of every request and keeps the result."""

    def __init__(self, timeout_seconds: float) -> None:
        self.results: asyncio.Queue[bytes | BodyError] = asyncio.Queue()
        self.port = 0
        self._timeout_seconds = timeout_seconds

    async def answer(self, request: web.Request) -> web.Response:
        """Reads the body."""
        try:
            result: bytes | BodyError = await read_body(
                request,
                max_bytes=MAX_BYTES,
                max_compressed_bytes=MAX_COMPRESSED_BYTES,
                timeout_seconds=self._timeout_seconds,
            )
        except BodyError as error:
            result = error
        self.results.put_nowait(result)
        return web.Response(text="read")

    async def read(self, body: Any, **headers: str) -> bytes | BodyError:
        """Sends a body and returns what the server made of it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.port}/", data=body, headers=named) as response,
        ):
            await response.read()
        return await self.results.get()

    async def send(self, data: bytes) -> asyncio.StreamWriter:
        """Sends bytes and leaves the connection open."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        return writer


@asynccontextmanager
async def serving(timeout_seconds: float = 30.0) -> AsyncIterator[Server]:
    """A server with the settings of the gateway's own."""
    server = Server(timeout_seconds)
    app = web.Application(client_max_size=0)
    app.router.add_post("/", server.answer)
    runner = web.AppRunner(
        app, access_log=None, auto_decompress=False, shutdown_timeout=0.1, lingering_time=0.1
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("encoding", [None, "identity", " IDENTITY "])
async def test_plain(encoding: str | None) -> None:
    """A plain body comes back unchanged, up to the limit and not a byte more."""
    async with serving() as server:
        headers = {} if encoding is None else {"Content_Encoding": encoding}
        for size in (0, 1, 70_000, MAX_BYTES):
            assert await server.read(b"x" * size, **headers) == b"x" * size
        result = await server.read(b"x" * (MAX_BYTES + 1), **headers)
        assert isinstance(result, BodyTooLarge)
        assert result.code == "payload_too_large"


async def test_chunked() -> None:
    """A chunked body needs no length, and the limit holds while it arrives."""

    async def chunks(number: int) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield b"x" * 1000

    async with serving() as server:
        assert await server.read(chunks(90)) == b"x" * 90_000
        assert isinstance(await server.read(chunks(101)), BodyTooLarge)


async def test_compressed() -> None:
    """A compressed body comes back plain, by every name of its encoding."""
    plain = b"abc" * 5_000
    raw = zlib.compressobj(wbits=-15)
    async with serving() as server:
        for encoding, data in (
            ("gzip", gzip.compress(plain)),
            ("GZip", gzip.compress(plain)),
            ("x-gzip", gzip.compress(plain)),
            ("deflate", zlib.compress(plain)),
            ("deflate", raw.compress(plain) + raw.flush()),
        ):
            assert await server.read(data, Content_Encoding=encoding) == plain


async def test_compressed_bytes_are_bounded() -> None:
    """A compressed body has its own limit, checked before anything is decompressed."""
    noise = bytes(i * i * 31 % 251 for i in range(50_000))
    packed = gzip.compress(noise, compresslevel=0)
    assert len(packed) > MAX_COMPRESSED_BYTES
    async with serving() as server:
        assert isinstance(await server.read(packed, Content_Encoding="gzip"), BodyTooLarge)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
async def test_unknown_encoding(encoding: str) -> None:
    """An unsupported encoding is an error at once, without waiting for the body."""
    async with serving() as server:
        writer = await server.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Content-Encoding: " + encoding.encode() + b"\r\n\r\n"
        )
        result = await server.results.get()
        writer.close()
        assert isinstance(result, BodyEncodingError)
        assert result.code == "invalid_encoding"


async def test_announced_size() -> None:
    """A Content-Length over the limit is refused before any byte of the body arrives."""
    async with serving() as server:
        writer = await server.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
        assert isinstance(await server.results.get(), BodyTooLarge)
        writer.close()


async def test_slow_sender() -> None:
    """A body that is not complete in time is an error, even if bytes keep arriving."""
    async with serving(timeout_seconds=0.05) as server:
        writer = await server.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        result = None
        while result is None:
            writer.write(b"x")
            try:
                result = await asyncio.wait_for(server.results.get(), 0.01)
            except TimeoutError:
                continue
        writer.close()
        assert isinstance(result, BodyTimeout)
        assert result.code == "request_timeout"


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100", b"Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
async def test_disconnect(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects half way causes an error, and no traceback in the log."""
    with caplog.at_level(logging.WARNING):
        async with serving() as server:
            writer = await server.send(
                b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n5\r\nab"
            )
            writer.transport.abort()
            result = await server.results.get()
            assert isinstance(result, BodyIncomplete)
            assert result.code == "incomplete_body"
    assert caplog.records == []


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError(), web.RequestPayloadError("x"), TransferEncodingError("x")],
    ids=lambda error: type(error).__name__,
)
async def test_failed_stream(error: Exception) -> None:
    """All errors by which aiohttp reports a lost body become the same error."""
    stream = _stream(connected=True)
    stream.set_exception(error)
    with pytest.raises(BodyIncomplete):
        await _read(stream)


async def test_closed_connection() -> None:
    """Reading a body after its connection was closed raises BodyIncomplete."""
    with pytest.raises(BodyIncomplete):
        await _read(_stream(connected=False))


def _stream(*, connected: bool) -> aiohttp.StreamReader:
    protocol = BaseProtocol(asyncio.get_running_loop())
    if connected:
        protocol.connection_made(asyncio.Transport())
    return aiohttp.StreamReader(protocol, 2**16)


async def _read(stream: aiohttp.StreamReader) -> bytes:
    request = make_mocked_request("POST", "/", payload=stream)
    return await read_body(request, max_bytes=10, max_compressed_bytes=10, timeout_seconds=1)


def test_tree() -> None:
    """Every error of a body is a GatewayError and has its own code."""
    kinds = BodyError.__subclasses__()
    assert issubclass(BodyError, GatewayError)
    assert len({kind.code for kind in kinds}) == len(kinds) == 4


@given(st.lists(st.binary(), min_size=1, max_size=16))
def test_members(parts: list[bytes]) -> None:
    """A gzip body of several members decompresses to all of them, in order."""
    data = b"".join(map(gzip.compress, parts))
    plain = b"".join(parts)
    assert inflate(data, len(plain)) == plain
    if plain:
        with pytest.raises(BodyTooLarge):
            inflate(data, len(plain) - 1)


def test_too_many_members() -> None:
    """The number of members is limited, because each costs a copy of the rest."""
    member = gzip.compress(b"")
    assert inflate(member * 16, 10) == b""
    with pytest.raises(BodyEncodingError):
        inflate(member * 17, 10)


@given(st.binary(min_size=1))
def test_something_follows(tail: bytes) -> None:
    """Bytes after a compressed body that are no member of it make it invalid."""
    for packed in (gzip.compress(b"{}"), zlib.compress(b"{}")):
        with pytest.raises(BodyError):
            inflate(packed + tail, 1000)


@given(st.binary(max_size=200), st.integers(1, 30))
def test_cut_off(plain: bytes, cut: int) -> None:
    """A truncated compressed body is invalid."""
    packed = gzip.compress(plain)
    with pytest.raises(BodyEncodingError):
        inflate(packed[: max(0, len(packed) - cut)], 1000)


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """For any bytes the result is within the limit, or the error is one of ours."""
    for head in (b"", b"\x1f\x8b\x08", b"\x78\x9c"):
        with suppress(BodyError):
            assert len(inflate(head + data, 100)) <= 100


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_bomb(compress: Any) -> None:
    """A body that grows a thousandfold allocates no more than about the limit."""
    bomb = compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            inflate(bomb, 512_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 512_000
