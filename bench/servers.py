"""Servers to compare the gateway with, each of which does less.

``read`` reads a request's body with aiohttp and answers; ``decode`` also decodes it into the Struct
that the gateway uses, and drops the events; ``nothing`` is a bare protocol that only looks for the
end of a request, to see what the load generator itself can do.
"""

from __future__ import annotations

import asyncio
import re
import signal
from typing import cast

import msgspec
import uvloop
from aiohttp import web

from bench.decode import Envelope
from gateway.event import Event

__all__ = ["SERVERS", "serve"]

SERVERS = ("read", "decode", "nothing")

_ANSWER = b'{"success":true}'
_WHOLE_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_ANSWER), _ANSWER)
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def serve(name: str, port: int) -> None:
    """Run one of `SERVERS` on the loopback address until SIGTERM."""
    uvloop.run(_nothing(port) if name == "nothing" else _aiohttp(port, decoding=name == "decode"))


async def _aiohttp(port: int, *, decoding: bool) -> None:
    decode_batch = msgspec.json.Decoder(Envelope).decode
    decode_event = msgspec.json.Decoder(Event).decode

    async def read(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=_ANSWER, content_type="application/json")

    async def decode(request: web.Request) -> web.Response:
        body = await request.read()
        if request.path == "/v1/batch":
            decode_batch(body)
        else:
            decode_event(body)
        return web.Response(body=_ANSWER, content_type="application/json")

    app = web.Application(client_max_size=0)
    app.router.add_post("/{path:.*}", decode if decoding else read)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await _until_stopped()
    await runner.cleanup()


class _Responder(asyncio.Protocol):
    def __init__(self) -> None:
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            length = _LENGTH.search(head + b"\r\n")
            self._missing = int(length[1]) if length is not None else 0
        self._missing -= len(data)
        if self._missing <= 0:  # there is no pipelining, so nothing of another request
            self._missing = 0
            self._transport.write(_WHOLE_ANSWER)


async def _nothing(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Responder, "127.0.0.1", port)
    await _until_stopped()
    server.close()


async def _until_stopped() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
