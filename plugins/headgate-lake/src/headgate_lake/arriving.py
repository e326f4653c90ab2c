"""The events of a batch as columns in memory, in Arrow's layout, which DuckDB reads in place.

Bodies stay the bytes that the client sent: Python does not decode them. DuckDB is stricter than
intake in two things, so they are mended: escapes of half a character (``\\ud800``), and bytes that
are no UTF-8.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gateway import Event, visitor_of

if TYPE_CHECKING:
    from nanoarrow.c_array import CArray
    from nanoarrow.c_schema import CSchema

__all__ = ["CHUNK", "Arriving"]

CHUNK = 2_048
"""Events that are laid out at once, as many as DuckDB works on at once: joining their bodies holds
the interpreter for less than a millisecond."""

_TEXTS: dict[str, Callable[[Event], str | None]] = {
    "message_id": attrgetter("message_id"),
    "source": attrgetter("source_id"),
    "type": attrgetter("type"),
    "timestamp": attrgetter("timestamp"),
    "received_at": attrgetter("received_at"),
    "event": attrgetter("event"),
    "name": attrgetter("name"),
    "user_id": attrgetter("user_id"),
    "anonymous_id": attrgetter("anonymous_id"),
    "group_id": attrgetter("group_id"),
    "previous_id": attrgetter("previous_id"),
    "visitor": visitor_of,
}
_BODIES: dict[str, Callable[[Event], bytes]] = {
    "properties": attrgetter("raw_properties"),
    "traits": attrgetter("raw_traits"),
    "context": attrgetter("raw_context"),
}
_NO_NOTES = Event().notes
_UNPAIRED = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class Arriving:
    """Events as columns. DuckDB reads them by the Arrow PyCapsule protocol, as often as it likes.

    The columns: those of `_TEXTS` as VARCHAR, those of `_BODIES` as JSON, ``weight`` DOUBLE,
    ``weight_doubt`` VARCHAR, ``queue_offset`` BIGINT.

    Args:
        offsets: of the events in their queue.
    """

    def __init__(self, events: Sequence[Event], offsets: Sequence[int]) -> None:
        self._chunks = [
            _laid_out(events[first : first + CHUNK], offsets[first : first + CHUNK])
            for first in range(0, len(events), CHUNK)
        ]

    def __arrow_c_schema__(self) -> object:
        """Exports names and types of the columns."""
        return _schema().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Exports the columns."""
        from nanoarrow.c_array_stream import CArrayStream

        return CArrayStream.from_c_arrays(self._chunks, _schema()).__arrow_c_stream__()


@cache
def _schema() -> CSchema:
    import nanoarrow as na

    json = na.extension_type(na.string(), "arrow.json")
    kinds: dict[str, Any] = dict.fromkeys(_TEXTS, na.string()) | dict.fromkeys(_BODIES, json)
    kinds |= {"weight": na.float64(), "weight_doubt": na.string(), "queue_offset": na.int64()}
    return na.c_schema(na.struct(kinds))


def _laid_out(events: Sequence[Event], offsets: Sequence[int]) -> CArray:
    import nanoarrow as na

    notes = [event.notes if len(event.raw_notes) else _NO_NOTES for event in events]
    weights = [None if note.weight == 1.0 else note.weight for note in notes]
    columns = [
        *(_texts(list(map(read, events))) for read in _TEXTS.values()),
        *(_bodies(list(map(read, events))) for read in _BODIES.values()),
        na.c_array(weights, na.float64()),
        _texts([note.weight_doubt for note in notes]),
        na.c_array(array("q", offsets), na.int64()),
    ]
    return na.c_array_from_buffers(_schema(), len(events), [None], children=columns)


def _texts(texts: list[str | None]) -> CArray:
    import nanoarrow as na

    try:
        return na.c_array(texts, na.string())
    except ValueError:  # a transform has cut a character in half, or has set a number
        whole = [None if text is None else _whole(str(text)) for text in texts]
        return na.c_array(whole, na.string())


def _bodies(bodies: list[bytes]) -> CArray:
    """Lays out bodies of JSON; an empty one is an absent one."""
    import nanoarrow as na

    text = b"".join(bodies)
    if (b"\\" in text and (b"\\ud" in text or b"\\uD" in text)) or not _is_utf8(text):
        bodies = list(map(_mended, bodies))
        text = b"".join(bodies)
    present = None if all(bodies) else na.c_buffer(list(map(bool, bodies)), na.bool_())
    ends = array("i", accumulate(map(len, bodies), initial=0))
    return na.c_array_from_buffers(na.string(), len(bodies), [present, ends, text])


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mended(body: bytes) -> bytes:
    return _UNPAIRED.sub(
        lambda escape: rb"\ufffd" if escape[1] else escape[0],
        bytes(body).decode(errors="replace").encode(),
    )


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
