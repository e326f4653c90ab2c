"""Accepts bodies whose events all have the SDKs' form, without decoding the events.

Each check here either surely passes, or leaves the body to `gateway.builtin.sources.segment.decode`
and `limits`, which decode its events one by one. No request is refused here.
"""

from __future__ import annotations

from operator import add

import msgspec
from msgspec import Struct

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.events.envelope.arrival import Plain
from gateway.events.envelope.heads import Head, read_heads

__all__ = ["plain_batch", "plain_event", "within"]


class _Envelope(Struct, rename="camel"):
    """The fields of a batch around its events. A `context` of the batch needs decoded events."""

    batch: tuple[()]
    sent_at: str | None = None
    write_key: str | None = None
    context: None = None
    integrations: None = None


_envelope = msgspec.json.Decoder(_Envelope).decode
_BATCH = b'"batch":'
_MESSAGE_ID = b'"messageId"'
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_AS_BRACES = bytes.maketrans(b"[]", b"{}")
_ARRAY_AND_EVENT = 2  # levels around the bodies of an event: the array and the event
_PIECE_BYTES = 32_768  # the default limit for an event
_LONGEST_START = 60


def plain_batch(body: bytes) -> Plain | None:
    """Reads a batch whose events all have the SDKs' form; None for any other body."""
    start = body.find(_BATCH) + len(_BATCH)
    end = body.rfind(b"]") + 1
    if not _is_storable(body) or body[start : start + 1] != b"[":
        return None
    # If the array is JSON, and the rest with ``[]`` in its place is a JSON object whose `batch` is
    # empty, then the whole body is JSON and the array holds its events.
    array = body[start:end]
    try:
        envelope = _envelope(b"".join((body[:start], b"[]", body[end:])))
    except (msgspec.DecodeError, RecursionError):
        return None
    read = _read(array)
    if read is None:
        return None
    heads, largest = read
    write_key = envelope.write_key or heads[0].write_key
    return Plain(array, heads, largest, "", envelope.sent_at, write_key)


def _read(array: bytes) -> tuple[list[Head], int] | None:
    """Returns the heads of a JSON array, and an upper bound for the size of its elements.

    A large array is read in pieces, cut where an event seems to begin. If each piece is a JSON
    array, then together they hold the same events, and no event is larger than its piece. Measuring
    the elements of the whole array would take 0.7 µs an event, a third of the time of reading it.
    """
    pieces = _pieces(array) if len(array) > _PIECE_BYTES else [array]
    heads: list[Head] = []
    for piece in pieces:
        some = read_heads(piece)
        if not some:
            break
        heads += some
    else:
        return heads, max(map(len, pieces))
    whole = read_heads(array) if len(pieces) > 1 else None
    return (whole, len(array)) if whole else None


def _pieces(array: bytes) -> list[bytes]:
    """Cuts an array into arrays of at most `_PIECE_BYTES`, or larger if no cut is possible."""
    start = b"}," + array[1 : array.find(b'"', 3) + 1]  # events usually begin with the same key
    if not 5 < len(start) < _LONGEST_START:
        return [array]
    pieces = []
    at, end = 1, len(array) - 1
    while end - at > _PIECE_BYTES - 2:
        cut = array.rfind(start, at, at + _PIECE_BYTES - 2)
        if cut < 0:
            break
        pieces.append(b"[%b]" % array[at : cut + 1])
        at = cut + 2
    pieces.append(b"[%b" % array[at:])
    return pieces


def plain_event(body: bytes, kind: str) -> Plain | None:
    """Reads a single event that has the SDKs' form; None for any other body."""
    if not _is_storable(body):
        return None
    array = b"[%b]" % body
    heads = read_heads(array)
    if heads is None or len(heads) != 1:
        return None
    return Plain(array, heads, len(body), kind, None, heads[0].write_key)


def _is_storable(body: bytes) -> bool:
    """Tells whether a body is UTF-8 without NUL. The decoder checks all other rules of JSON."""
    if b"\\" in body and b"\\u0000" in body:
        return False
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
    return True


def within(plain: Plain, config: SegmentConfig) -> bool:
    """Tells whether all events are surely within the limits of a source."""
    array = plain.array
    return (
        len(plain.heads) <= config.max_batch_events
        and (plain.largest <= config.max_event_bytes or _none_larger(array, plain, config))
        and _nests_within(array, config.max_depth + _ARRAY_AND_EVENT)
    )


def _none_larger(array: bytes, plain: Plain, config: SegmentConfig) -> bool:
    """Tells by the distances of message ids whether no event is larger than allowed.

    Each event has that key. If the key occurs as often as there are events, each event has it once,
    and lies between the key before and the key after its own.
    """
    pieces = array.split(_MESSAGE_ID)
    if len(pieces) != len(plain.heads) + 1 or (b"\\" in array and b"\\u" in array):
        return False  # the key can be written with escapes
    sizes = list(map(len, pieces))
    largest: int = max(map(add, sizes, sizes[1:]))
    return largest + len(_MESSAGE_ID) <= config.max_event_bytes


def _nests_within(text: bytes, limit: int) -> bool:
    """Tells whether JSON text surely nests no deeper than `limit`.

    Empty pairs of brackets are removed, level by level. Brackets in strings leave a rest or make
    the text seem deeper, so the answer may be a wrong no, but never a wrong yes.
    """
    brackets = text.translate(_AS_BRACES, _NOT_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"")
    return not brackets
