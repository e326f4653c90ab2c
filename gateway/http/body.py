"""Reads the body of a request within limits of bytes, time and decompressed size.

For servers that run with ``auto_decompress=False``: the bytes arrive as they were sent and are
decompressed here. A small body that decompresses to gigabytes never allocates more than the limit.
(RFC 1952 for gzip, RFC 1950 for deflate, RFC 9110 section 8.4 for Content-Encoding.)
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from isal import isal_zlib

from gateway.errors import GatewayError

__all__ = [
    "BodyEncodingError",
    "BodyError",
    "BodyIncomplete",
    "BodyTimeout",
    "BodyTooLarge",
    "inflate",
    "read_body",
]


class BodyError(GatewayError):
    """The body cannot be used; `code` names the reason in answers and metrics."""

    code: ClassVar[str]


class BodyTooLarge(BodyError):
    """The body has more bytes than allowed, as sent or decompressed."""

    code = "payload_too_large"


class BodyEncodingError(BodyError):
    """The body contradicts its Content-Encoding, or that is not supported."""

    code = "invalid_encoding"


class BodyTimeout(BodyError):
    """The client took too long to send the body."""

    code = "request_timeout"


class BodyIncomplete(BodyError):
    """The client disconnected, or broke the framing, before the end of the body."""

    code = "incomplete_body"


_IsalError = cast("type[Exception]", isal_zlib.error)  # an instance in isal's stubs
_PLAIN = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15
_MAX_MEMBERS = 16
"""Members that a gzip body may have. Each costs a copy of the bytes after it."""


async def read_body(
    request: web.BaseRequest,
    *,
    max_bytes: int,
    max_compressed_bytes: int,
    timeout_seconds: float,
) -> bytes:
    """Returns the body, decompressed.

    Args:
        max_bytes: limit of the result.
        max_compressed_bytes: limit of the bytes as sent, where they are compressed.
        timeout_seconds: limit for receiving the whole body, even if bytes keep arriving.

    Raises:
        BodyError: the subclass says what is wrong.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in _PLAIN:
        return await _receive(request, max_bytes, timeout_seconds)
    if encoding not in _GZIP and encoding != "deflate":
        raise BodyEncodingError("Content-Encoding is neither gzip, deflate nor identity")
    return inflate(await _receive(request, max_compressed_bytes, timeout_seconds), max_bytes)


async def _receive(request: web.BaseRequest, limit: int, timeout_seconds: float) -> bytes:
    declared = request.content_length
    if declared is not None and declared > limit:
        raise BodyTooLarge(f"{declared} bytes are announced, {limit} are allowed")
    content = request.content
    try:
        if content.is_eof():  # the usual case: it came with the head, so no time limit is needed
            return _bounded(content.read_nowait(), limit)
        pieces: list[bytes] = []
        room = limit
        async with asyncio.timeout(timeout_seconds):
            while piece := await content.readany():
                pieces.append(_bounded(piece, room))
                room -= len(piece)
        return b"".join(pieces)
    except TimeoutError:
        raise BodyTimeout(f"not complete within {timeout_seconds} seconds") from None
    except (ConnectionError, HttpProcessingError, web.RequestPayloadError) as error:
        raise BodyIncomplete(str(error)) from None
    except RuntimeError as error:  # aiohttp raises it for a connection that is already closed
        raise BodyIncomplete(str(error)) from None


def _bounded(piece: bytes, room: int) -> bytes:
    if len(piece) > room:
        raise BodyTooLarge(f"at least {len(piece) - room} bytes over the limit")
    return piece


def inflate(data: bytes, max_bytes: int) -> bytes:
    """Decompresses a whole gzip, zlib or raw deflate stream; its first bytes tell which it is.

    Args:
        max_bytes: limit of the result; no more than about twice this is ever allocated.

    Raises:
        BodyTooLarge: the result would be larger.
        BodyEncodingError: the stream is truncated, damaged, followed by something else, or none of
            the three.
    """
    bits = _window_bits(data)
    pieces: list[bytes] = []
    room = max_bytes
    for _ in range(_MAX_MEMBERS):
        stream = isal_zlib.decompressobj(wbits=bits)
        try:
            piece = stream.decompress(data, room + 1)
        except _IsalError as error:
            raise BodyEncodingError(f"cannot be decompressed: {error}") from None
        pieces.append(_bounded(piece, room))
        room -= len(piece)
        if not stream.eof:
            raise BodyEncodingError("the compressed body ends too early")
        data = stream.unused_data
        if not data:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if bits != _GZIP_BITS or _window_bits(data) != _GZIP_BITS:
            break
    raise BodyEncodingError("something follows the compressed body")


def _window_bits(data: bytes) -> int:
    """Returns zlib's window bits for a stream. Clients send all three kinds as ``deflate``."""
    if data[:2] == b"\x1f\x8b":
        return _GZIP_BITS
    if len(data) >= 2 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0:
        return _ZLIB_BITS
    return _RAW_BITS
