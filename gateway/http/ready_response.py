"""An answer whose bytes are known before anybody asks for it.

aiohttp makes and encodes an answer's headers each time, which for the answer to a single event is a
fifth of all the work. What is nearly always answered is the same each time, but for its date.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

__all__ = ["SECURE_HEADERS", "ReadyResponse"]

SECURE_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Server": "headgate",
}
"""Headers of every answer: no browser is to guess what it is, nor anybody what we run on."""


class ReadyResponse(web.Response):
    """A 200 for any number of requests, all of which must `suit`.

    Args:
        headers: all of them but `SECURE_HEADERS`, Content-Length and Date.
    """

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(body=body, headers={**headers, **SECURE_HEADERS})
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        status = f"HTTP/1.1 {HTTPStatus.OK} {HTTPStatus.OK.phrase}\r\n"
        self._head = f"{status}{''.join(lines)}Content-Length: {len(body)}\r\n".encode()
        self._tail = body
        self._second = 0
        self._message = b""

    @staticmethod
    def suits(request: web.BaseRequest) -> bool:
        """Whether a request asks for nothing that an answer made beforehand has not."""
        return (
            request.version == HttpVersion11
            and request.keep_alive
            and request.method != "HEAD"
            and "Origin" not in request.headers
        )

    @property
    def keep_alive(self) -> bool | None:
        """See `web.StreamResponse`."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it."""
        await request.writer.drain()  # to a client that does not read, no more is sent
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone away")
        transport.write(self._at(int(time.time())))
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """All was sent by `prepare`."""

    def _at(self, second: int) -> bytes:
        if second != self._second:
            date = f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()
            self._message = self._head + date + self._tail
            self._second = second
        return self._message
