"""Sends a request to the sources of a gateway that does not run, over a pair of sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from aiohttp import web
from msgspec import Struct

from gateway.errors import GatewayError
from gateway.http.basic_auth import basic_authorization
from gateway.runtime.gateway import Gateway

__all__ = ["Answer", "answer_of"]

_ANSWER_SECONDS = 30.0


class Answer(Struct, frozen=True):
    """The answer of the source.

    Attributes:
        code: of the error; empty if the source accepts the request.
    """

    status: int
    code: str = ""


async def answer_of(
    gateway: Gateway, path: str, body: bytes, headers: Mapping[str, str], write_key: str
) -> Answer:
    """Sends a request to the sources, and returns their answer.

    Raises:
        GatewayError: a header or the path has a line break.
    """
    app = web.Application(client_max_size=0)
    for source in gateway.sources:
        for route in source.routes():
            app.router.add_route(route.method, route.path, route.handler)
    head = {"Host": "localhost", "Content-Type": "application/json", **headers}
    head |= {"Content-Length": str(len(body)), "Connection": "close"}
    if write_key:
        head["Authorization"] = basic_authorization(write_key)
    if any("\r" in text or "\n" in text for pair in (*head.items(), (path,)) for text in pair):
        raise GatewayError("a header or path has a line break in it")
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    request = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
    runner = web.AppRunner(app, handle_signals=False, auto_decompress=False)
    await runner.setup()
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return _read(await _exchange(cast("Any", runner.server), request))
    finally:
        await runner.cleanup()


async def _exchange(server: Any, request: bytes) -> bytes:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    await asyncio.get_running_loop().connect_accepted_socket(server, theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


def _read(response: bytes) -> Answer:
    head, _, body = response.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    code = ""
    if status >= 400:
        try:
            code = str(msgspec.json.decode(body)["code"])
        except (msgspec.DecodeError, KeyError, TypeError):
            code = f"http_{status}"
    return Answer(status, code)
