"""Events in the bytes of an NDJSON file, ready for a gateway.

An event needs a message id, so that sending it again does not count it twice. A line without one
gets an id made from the path of the file, the line and its number. So sending the same file again
repeats the ids, even if the file was cut or lines were appended, while equal lines of one file or
of several stay different events. A stream has no such identity: two runs of ``echo ... | gateway
send -`` are two events. A line of a stream gets such an id only if it has a timestamp, and else a
random one.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from gateway.events.envelope.normalise import Discarded, depth_exceeds, normalise
from gateway.events.envelope.validate import validate

__all__ = ["MAX_DEPTH", "BadLine", "Line", "LineSplitter", "prepare"]

MAX_DEPTH = 64
"""Deepest nesting of `properties`, `traits` or `context` that the gateway accepts by default."""

_BOM = b"\xef\xbb\xbf"
_fields = msgspec.json.Decoder(dict[str, Raw])
_CODES = {
    "event_not_defined": "a track event needs a name in `event`",
    "id_required": "group needs `groupId`, alias needs `userId` and `previousId`",
    "invalid_type": "`type` must be track, identify, page, screen, group or alias",
    "no_user_anon_id": "needs `userId` or `anonymousId`",
}


class BadLine(Exception):
    """The gateway would not accept the event in a line; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is ready to send.

    Attributes:
        number: from 1, blank lines included.
        event: JSON object.
    """

    number: int
    event: bytes


class LineSplitter:
    """Splits chunks of bytes into numbered lines; memory holds at most one line of the limit."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._number = 1
        self._rest = bytearray()
        self._too_long = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        r"""Yields the lines that end in this chunk, without ``\n``; None for one over the limit."""
        first, *others = chunk.split(b"\n")
        self._grow(first)
        for piece in others:
            yield self._finish()
            self._grow(piece)

    def close(self) -> Iterator[tuple[int, bytes | None]]:
        """Yields the last line if it has no line end."""
        if self._rest or self._too_long:
            yield self._finish()

    def _grow(self, piece: bytes) -> None:
        self._too_long = self._too_long or len(self._rest) + len(piece) > self._max
        if self._too_long:
            self._rest.clear()
        else:
            self._rest += piece

    def _finish(self) -> tuple[int, bytes | None]:
        line = None if self._too_long else bytes(self._rest)
        number, self._number = self._number, self._number + 1
        self._rest.clear()
        self._too_long = False
        return number, line


def prepare(number: int, text: bytes, *, path: str, max_bytes: int) -> Line | None:
    """Checks a line by the gateway's own rules, and adds a message id if it has none.

    Args:
        path: of the file, the same each time; empty for a stream, see the module.
        max_bytes: limit of the event.

    Returns:
        None for a blank line.

    Raises:
        BadLine: the gateway would refuse or discard it.
    """
    if number == 1:
        text = text.removeprefix(_BOM)
    text = text.strip(b" \t\r")
    if not text:
        return None
    has_id, dated = _check(text)
    if not has_id:
        text = _with_id(text, _derived_id(path, number, text) if dated or path else _random_id())
    if len(text) > max_bytes:
        raise BadLine(f"has {len(text)} bytes, over {max_bytes}")
    return Line(number, text)


def _check(text: bytes) -> tuple[bool, bool]:
    """Checks an event; tells whether it has a message id, and a time.

    Raises:
        BadLine: the gateway would refuse or discard the event.
    """
    if depth_exceeds(text, MAX_DEPTH + 1):
        raise BadLine(f"nests deeper than {MAX_DEPTH}")
    try:
        text.decode()
        event = normalise(_fields.decode(text))
        has_id = bool(event.message_id.strip())
        code = validate(event)
        if code is not None:
            raise Discarded(code)
    except UnicodeDecodeError as error:
        raise BadLine(f"is not UTF-8 (byte {error.start})") from None
    except msgspec.ValidationError:
        raise BadLine("is not a JSON object") from None
    except msgspec.DecodeError as error:
        raise BadLine(f"is not JSON: {error}") from None
    except Discarded as error:
        raise BadLine(f"would be discarded: {_CODES.get(error.code, error.code)}") from None
    else:
        return has_id, event.timestamp is not None or event.original_timestamp is not None


def _derived_id(path: str, number: int, text: bytes) -> str:
    digest = hashlib.sha256(b"%s\0%d:%s" % (os.fsencode(path), number, text))
    return f"line-{digest.hexdigest()[:40]}"


def _random_id() -> str:
    return f"line-{uuid.uuid4()}"


def _with_id(text: bytes, message_id: str) -> bytes:
    # At the end: the last of equal keys counts, and the line may have "messageId": null.
    return b'%s,"messageId":"%s"}' % (text[:-1], message_id.encode())
