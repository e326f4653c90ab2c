"""The events of a batch as columns in memory, in Arrow's layout, which DuckDB reads in place.

Bodies stay the bytes that the client sent: Python does not decode them. DuckDB is stricter than
intake in two things, so they are mended: escapes of half a character (``\\ud800``), and bytes that
are no UTF-8.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
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

_TEXTS = {
    "message_id": "message_id",
    "source": "source_id",
    "type": "type",
    "timestamp": "timestamp",
    "received_at": "received_at",
    "event": "event",
    "name": "name",
    "user_id": "user_id",
    "anonymous_id": "anonymous_id",
    "group_id": "group_id",
    "previous_id": "previous_id",
}
"""Columns of texts, with the attributes of events that they are."""

_BODIES = {name: f"raw_{name}" for name in ("properties", "traits", "context")}
"""Columns of JSON, likewise."""

_read = attrgetter(
    *_TEXTS.values(), *_BODIES.values()
)  # at once: each event is fetched from memory
_NO_NOTES = Event().notes
_UNPAIRED = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class Arriving:
    """Events as columns. DuckDB reads them by the Arrow PyCapsule protocol, as often as it likes.

    The columns: those of `_TEXTS` as VARCHAR, those of `_BODIES` as JSON, ``visitor`` VARCHAR,
    ``weight`` DOUBLE, ``weight_doubt`` VARCHAR, ``queue_offset`` BIGINT.

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
    kinds |= {"visitor": na.string(), "weight": na.float64(), "weight_doubt": na.string()}
    kinds["queue_offset"] = na.int64()
    return na.c_schema(na.struct(kinds))


def _laid_out(events: Sequence[Event], offsets: Sequence[int]) -> CArray:
    import nanoarrow as na

    columns = list(zip(*map(_read, events), strict=True))
    notes = [event.notes if len(event.raw_notes) else _NO_NOTES for event in events]
    weights = [None if note.weight == 1.0 else note.weight for note in notes]
    laid_out = [
        *map(_texts, columns[: len(_TEXTS)]),
        *map(_bodies, columns[len(_TEXTS) :]),
        _texts(list(map(visitor_of, events))),
        na.c_array(weights, na.float64()),
        _texts([note.weight_doubt for note in notes]),
        na.c_array(array("q", offsets), na.int64()),
    ]
    return na.c_array_from_buffers(_schema(), len(events), [None], children=laid_out)


def _texts(texts: Sequence[str | None]) -> CArray:
    import nanoarrow as na

    try:
        return na.c_array(texts, na.string())
    except ValueError:  # a transform has cut a character in half, or has set a number
        whole = [None if text is None else _whole(str(text)) for text in texts]
        return na.c_array(whole, na.string())


def _bodies(bodies: Sequence[bytes]) -> CArray:
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
