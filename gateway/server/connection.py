"""A client's connection, and answers in JSON."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import StreamReader, web

__all__ = ["Connection", "error_answer", "is_head_begun", "json_answer", "without_repeats"]

_HEAD = re.compile(rb"[A-Z]+ [^ \r\n]+ HTTP/1\.[01]\r\n")
_HEAD_BEGUN = re.compile(rb"[A-Z]+(?: [^ \r\n]*(?: [HTP/1.0]*\r?)?)?")
_MOST_HELD_BYTES = 16_384
"""Bytes of a head that has not ended which are held back; a longer one is left to the parser."""
_REPEATABLE = (b"\r\ncontent-type:", b"\r\nuser-agent:")


def json_answer(value: Any, status: int) -> web.Response:
    """Makes a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


def error_answer(code: str, message: str, status: int) -> web.Response:
    """Makes a JSON answer that SDKs understand as an error."""
    body = {"success": False, "code": code, "message": message, "error": message}
    return json_answer(body, status)


def without_repeats(data: bytes) -> bytes:
    """Returns what a client has sent without the repeats of harmless headers in its first head.

    Some proxies and SDKs send Content-Type or User-Agent twice, which aiohttp's parser refuses. The
    first one counts. Headers that frame or route a request are left to the parser.

    Args:
        data: what comes next on a connection, at the start of a request.
    """
    end = data.find(b"\r\n\r\n")
    low = data[:end].lower()
    for name in _REPEATABLE:
        first = low.find(name)
        if first >= 0 and low.find(name, first + 1) >= 0:
            break
    else:
        return data
    if end < 0 or not _HEAD.match(data):
        return data
    seen: set[bytes] = set()
    lines = []
    for line in data[:end].split(b"\r\n"):
        name = b"\r\n" + line.partition(b":")[0].lower() + b":"
        if name in _REPEATABLE:
            if name in seen:
                continue
            seen.add(name)
        lines.append(line)
    return b"\r\n".join(lines) + data[end:]


def is_head_begun(data: bytes) -> bool:
    """Tells whether bytes are the beginning of a request's head, whose end has yet to come."""
    if len(data) > _MOST_HELD_BYTES or b"\r\n\r\n" in data or b"\n\n" in data:
        return False
    if b"\r\n" in data:
        return _HEAD.match(data) is not None
    return _HEAD_BEGUN.fullmatch(data) is not None


class Connection(web.RequestHandler):
    """A connection that answers malformed HTTP and defects of the gateway in JSON, as sources do.

    The answer does not quote the request. SDKs fail on anything but JSON, and would resend what can
    never be accepted.
    """

    __slots__ = ("_held", "_payload")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._payload: StreamReader | None = None
        self._held = b""

    def data_received(self, data: bytes) -> None:
        """Takes bytes of the client, and drops headers that are repeated without any harm."""
        if not self._messages and (self._payload is None or self._payload.is_eof()):
            data, self._held = self._held + data, b""
            if is_head_begun(data):  # it arrives in several packets
                self._held = data
                return
            data = without_repeats(data)
        super().data_received(data)
        if self._messages:
            self._payload = self._messages[-1][1]

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Logs the error and makes the answer, after which the connection is closed."""
        has_left = self.transport is None or self.transport.is_closing()
        if not (has_left and isinstance(exc, ConnectionError)):  # which is no defect
            super().handle_error(request, status, exc, message)
        is_defect = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        response = error_answer(
            "internal_error" if is_defect else "bad_request",
            "The gateway failed to answer." if is_defect else "This is not a request in HTTP.",
            status,
        )
        response.force_close()
        return response
