"""Events as lines of JSON, from which DuckDB makes columns.

Bodies stay the bytes that the client sent: Python does not decode them. DuckDB's reader is stricter
than intake in three things, so they are mended in the text: line breaks between tokens, escapes of
half a character (``\\ud800``), and bytes that are no UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec
from msgspec import Raw, Struct

from gateway import Event, visitor_of

__all__ = ["Line", "fields_of", "lines_of"]

_CHUNK = 500
"""Events encoded in one call, which holds the interpreter: about a millisecond."""

_UNPAIRED = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_ABSENT = Raw(b"null")
_NO_NOTES = Event().notes


class Line(Struct, omit_defaults=True, gc=False):
    """What the columns are made from."""

    message_id: str
    source: str
    type: str
    queue_offset: int
    timestamp: str | None = None
    received_at: str | None = None
    event: str | None = None
    name: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    visitor: str | None = None
    weight: float | None = None
    weight_doubt: str | None = None
    properties: Raw = _ABSENT
    traits: Raw = _ABSENT
    context: Raw = _ABSENT


def fields_of() -> dict[str, str]:
    """Returns the fields of a line with their types in DuckDB."""
    kinds = dict.fromkeys(("properties", "traits", "context"), "JSON")
    kinds |= {"queue_offset": "BIGINT", "weight": "DOUBLE"}
    return {name: kinds.get(name, "VARCHAR") for name in Line.__struct_fields__}


def lines_of(events: Sequence[Event], offsets: Sequence[int]) -> Iterator[bytes]:
    """Yields the lines of events, some hundred at a time."""
    pairs = zip(events, offsets, strict=True)
    while chunk := [_line(event, offset) for event, offset in islice(pairs, _CHUNK)]:
        yield _encoded(chunk)


def _line(event: Event, offset: int) -> Line:
    notes = event.notes if len(event.raw_notes) else _NO_NOTES
    return Line(
        event.message_id,
        event.source_id,
        event.type,
        offset,
        event.timestamp,
        event.received_at,
        event.event,
        event.name,
        event.user_id,
        event.anonymous_id,
        event.group_id,
        event.previous_id,
        visitor_of(event),
        None if notes.weight == 1.0 else notes.weight,
        notes.weight_doubt,
        event.raw_properties if len(event.raw_properties) else _ABSENT,
        event.raw_traits if len(event.raw_traits) else _ABSENT,
        event.raw_context if len(event.raw_context) else _ABSENT,
    )


def _encoded(chunk: list[Line]) -> bytes:
    try:
        lines = _encoder.encode_lines(chunk)
    except UnicodeEncodeError:  # a transform has cut a character in half
        chunk = [_whole(line) for line in chunk]
        lines = _encoder.encode_lines(chunk)
    if lines.count(b"\n") != len(chunk) or b"\r" in lines:
        lines = b"".join(_encoder.encode(line).translate(_BREAKS) + b"\n" for line in chunk)
    if b"\\ud" in lines or b"\\uD" in lines:
        lines = _UNPAIRED.sub(_mended, lines)
    if not lines.isascii():
        try:
            lines.decode()
        except UnicodeDecodeError:
            lines = lines.decode(errors="replace").encode()
    return lines


def _mended(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _whole(line: Line) -> Line:
    changed = {}
    for name in line.__struct_fields__:
        value = getattr(line, name)
        if isinstance(value, str):
            text = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            changed[name] = text
    return msgspec.structs.replace(line, **changed)


_encoder = msgspec.json.Encoder()
