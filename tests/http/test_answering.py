"""Answers that a client finds hard to read."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import Reply, Request, Retryable
from gateway.http.answering import MAX_HEADERS, decoded
from gateway.http.client import HttpClient
from gateway.http.settings import HttpSettings
from gateway.testing import make_context

BODY = b"Content-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def answering(raw: bytes) -> AsyncIterator[str]:
    """Runs a server that answers each request with these bytes and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def ask(raw: bytes) -> Reply:
    """Returns the reply to a request that is answered with these bytes."""
    client = HttpClient(HttpSettings(), make_context(Path()), ())
    await client.start()
    try:
        async with answering(raw) as url:
            return await client.send(Request(url, b"", {}))
    finally:
        await client.stop()


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Security-Policy: " + b"x" * 9000 + b"\r\n",
        b"Content-Security-Policy: " + b"x" * 200_000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % n for n in range(MAX_HEADERS + 10)),
        b"Content-Length: 3\r\n",
        b"Content-Length: 2\r\n",
        b"Content-Length: two\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nnonsense",
        b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: br\r\n",
        b"Content-Encoding: deflate\r\n",
        b"X Y: z\r\n",
        b"no colon\r\n",
    ],
)
@pytest.mark.parametrize("status", [200, 400])
async def test_an_odd_answer_counts_by_its_status(status: int, header: bytes) -> None:
    """A request that was taken is never sent again because its answer is odd."""
    raw = b"HTTP/1.1 %d Odd\r\n" % status + header + BODY
    assert (await ask(raw)).status == status


async def test_an_answer_that_is_no_http_is_tried_again() -> None:
    """Nobody said that the request was taken."""
    with pytest.raises(Retryable):
        await ask(b"220 smtp.example.com ready\r\n\r\n")


async def test_a_success_that_breaks_off_is_tried_again() -> None:
    """A proxy may have lost its server in the middle."""
    with pytest.raises(Retryable):
        await ask(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")


def test_an_encoded_body_is_read() -> None:
    """Within the limit, and as it stands where it is not what its header says."""
    packed = gzip.compress(b"x" * 100)
    assert decoded(packed, "GZIP ", 100) == (b"x" * 100, True)
    assert decoded(packed, "gzip", 99) == (b"x" * 99, False)
    assert decoded(packed[:-9], "gzip", 100)[1] is False
    assert decoded(b"plain", "gzip", 100) == (b"plain", False)
    assert decoded(b"plain", "br", 100) == (b"plain", False)
    assert decoded(b"plain", "identity", 100) == (b"plain", True)
