"""The client's side of a connection, which keeps the status of an answer that cannot be parsed.

A server that has taken a request may answer with a header that is too large, with one that
contradicts itself, or with a body whose frame is broken. Its status still says whether the request
was taken. Without it a request that succeeded would be sent again and again.
"""

from __future__ import annotations

import asyncio
import functools
import re
import zlib
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

__all__ = [
    "MAX_FIELD_BYTES",
    "MAX_HEADERS",
    "MOST_INFORMATIONAL",
    "AnswerHandler",
    "UnreadableAnswer",
    "connector",
    "decoded",
]

MAX_FIELD_BYTES = 32_768
"""Longest header of an answer that is read; of an answer with a longer one only the status is."""

MOST_INFORMATIONAL = 20
"""Informational answers (102 Processing, 103 Early Hints) that may come before the real one."""

MAX_HEADERS = 256
"""Most headers of an answer that are read."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})(?=[ \r\n])")
_STATUS_LINE_BYTES = 13
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS


class UnreadableAnswer(HttpProcessingError):
    """The parsing of an answer failed after its status line; `code` is its status."""


class AnswerHandler(ResponseHandler):
    """Remembers the status line of the answer, and ends a row of informational answers.

    aiohttp skips informational answers one by one. If they came without end, it would do nothing
    else.

    Attributes:
        unreadable: the parsing of the answer failed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.unreadable = False
        self._line = b""
        self._informational = 0

    def set_response_params(self, **params: Any) -> None:
        """Begins to read the answer to another request."""
        self.unreadable = False
        self._line = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Reads a piece of the answer."""
        if len(self._line) < _STATUS_LINE_BYTES:
            self._line += data[:_STATUS_LINE_BYTES]
        super().data_received(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Takes the head of an answer."""
        if self._informational > MOST_INFORMATIONAL:
            return  # the rest of what came with the one too many
        if 100 <= data[0].code < HTTPStatus.OK and data[0].code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL:
                self.close()
                self.set_exception(aiohttp.ClientPayloadError("informational answers without end"))
                return
        else:
            self._informational = 0
        super().feed_data(data, size)

    def set_exception(self, exc: Any, *cause: BaseException) -> None:
        """Notes that nothing more of the answer can be read."""
        if isinstance(exc, HttpProcessingError):
            self.unreadable = True
            if found := _STATUS_LINE.match(self._line):
                exc = UnreadableAnswer(code=int(found[1]), message=exc.message)
        super().set_exception(exc, *cause)


def connector(**options: Any) -> aiohttp.TCPConnector:
    """Returns a connector whose connections are read by an `AnswerHandler`."""
    made = aiohttp.TCPConnector(**options)
    # aiohttp has no public way to name the protocol of a connection.
    handler: type[ResponseHandler] = AnswerHandler
    made._factory = functools.partial(handler, loop=asyncio.get_running_loop())
    return made


def decoded(body: bytes, encoding: str, limit: int) -> tuple[bytes, bool]:
    """Undoes the encoding of a body, for a server that encodes it without being asked to.

    Args:
        encoding: the header Content-Encoding.
        limit: most bytes that are returned.

    Returns:
        The body, and True if it is whole. A body that does not have the encoding stays as it is.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body, True
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return body, False
    decoder = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error:
        return body, False
    return plain[:limit], decoder.eof and len(plain) <= limit
