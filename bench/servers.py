"""Servers to compare the gateway with; each does less than the gateway.

``read`` reads a request's body with aiohttp and answers; ``decode`` also decodes it into the Struct
that the gateway uses, and drops the events.
"""

from __future__ import annotations

import asyncio
import signal

import msgspec
import uvloop
from aiohttp import web

from bench.cases.decode import Envelope
from gateway.events.event import Event

__all__ = ["SERVERS", "serve"]

SERVERS = ("read", "decode")

_ANSWER = b'{"success":true}'


def serve(name: str, port: int) -> None:
    """Runs one of `SERVERS` on the loopback address until SIGTERM."""
    uvloop.run(_aiohttp(port, decoding=name == "decode"))


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


async def _until_stopped() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
