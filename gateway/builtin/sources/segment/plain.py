"""Reads bodies without decoding the events that have the SDKs' form.

Only an event in another form is decoded here, by `gateway.builtin.sources.segment.decode`. Each
check either surely passes, or leaves the whole body to `decode` and `limits`, which decode its
events one by one. No request is refused here.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct, structs

from gateway.builtin.sources.segment.answers import Rejected
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import (
    LooseBatch,
    as_utf8,
    decode_element,
    key_of,
    parse_event,
    read_loosely,
    text_of,
    time_of,
)
from gateway.events.envelope.arrival import Plain
from gateway.events.envelope.heads import Head, plain_context, read_head, read_heads
from gateway.events.envelope.mixed import MOST_DECODED
from gateway.events.envelope.normalise import Discarded, clean_text, nests_within
from gateway.events.envelope.shared import is_object
from gateway.events.event import EMPTY, Event

__all__ = ["MOST_GROWTH", "limited", "plain_batch", "plain_event"]

MOST_GROWTH = 16
"""Limit for the bytes that objects beside a batch add to its events, as a multiple of the bytes
that are stored. Beyond it a small body would become much larger in memory than the queue counts."""


class _Around(Struct, rename="camel"):
    """A batch without its events."""

    batch: tuple[()]
    sent_at: Raw = EMPTY
    write_key: Raw = EMPTY
    context: Raw = EMPTY
    integrations: Raw = EMPTY


class _Read(Struct):
    """The events of a JSON array.

    Attributes:
        heads, largest, made, discarded: as in `Plain`.
        write_key: of the first event.
    """

    heads: list[Head | Event]
    largest: int
    made: dict[int, Event]
    discarded: dict[int, str]
    write_key: str | None


_around = msgspec.json.Decoder(_Around).decode
_elements = msgspec.json.Decoder(list[Raw]).decode
_BATCH = re.compile(rb'"batch"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
_ARRAY_AND_EVENT = 2  # levels around the bodies of an event: the array and the event
_PIECE_BYTES = 32_768  # the default limit for an event
_LONGEST_START = 60
_BETWEEN = (b"},", b"}, ")
_MOST_EVENTS = 2_500  # the default limit for a batch


def plain_batch(body: bytes, most_events: int = _MOST_EVENTS) -> Plain | None:
    """Reads a batch; None for a body that has to be decoded as a whole.

    Args:
        most_events: limit for the events of a batch that has events in another form.
    """
    body = as_utf8(body)
    plain = _batch(body, most_events)
    if plain is None and b"\\u" in body:  # may be a lone surrogate
        cleaned = clean_text(body)
        if cleaned != body:
            return _batch(cleaned, most_events)
    return plain


def _batch(body: bytes, most_events: int) -> Plain | None:
    found = _cut(body)
    read = _read(found[1], most_events) if found else None
    if found is None or read is None:
        found = _decoded(body)
        read = _read(found[1], most_events) if found else None
        if found is None or read is None:
            return None
    around, array = found
    return Plain(
        array,
        read.heads,
        read.largest,
        read.made,
        read.discarded,
        around.context if is_object(around.context) else EMPTY,
        around.integrations if is_object(around.integrations) else EMPTY,
        sent_at=time_of(around.sent_at),
        write_key=text_of(around.write_key) or read.write_key,
    )


def _cut(body: bytes) -> tuple[_Around | LooseBatch, bytes] | None:
    """Cuts out the array that looks like that of the batch, without reading it.

    If the array is JSON, and the rest with ``[]`` in its place is a JSON object whose `batch` is
    empty, then the whole body is JSON and the array holds its events.
    """
    match = _BATCH.search(body)
    if match is None:
        return None
    start, end = match.end(), body.rfind(b"]") + 1
    if b"\\u" in body[:start]:  # another key may be an escaped "batch"
        return None
    try:
        around = _around(b"".join((body[:start], b"[]", body[end:])))
    except (msgspec.DecodeError, RecursionError):
        return None
    return around, body[start:end]


def _decoded(body: bytes) -> tuple[_Around | LooseBatch, bytes] | None:
    """Reads the array of a batch that has an array behind it, for example."""
    try:
        batch = read_loosely(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return batch, bytes(batch.batch)


def _read(array: bytes, most_events: int) -> _Read | None:
    """Reads the events of a JSON array; None if it is empty, or not an array of events.

    A large array is read in pieces, cut where an event seems to begin. If each piece is a JSON
    array, then together they hold the same events, and no event is larger than its piece. Measuring
    the elements of the whole array would take 0.7 µs an event, a third of the time of reading it.
    """
    pieces = _pieces(array) if len(array) > _PIECE_BYTES else [array]
    heads: list[Head | Event] = []
    for piece in pieces:
        some = read_heads(piece)
        if not some:
            return _read_each(array, most_events)
        heads += some
    first = heads[0]
    assert isinstance(first, Head)
    return _Read(heads, max(map(len, pieces)), {}, {}, first.write_key)


def _read_each(array: bytes, most_events: int) -> _Read | None:
    """Reads events one by one, and decodes those that have no head."""
    try:
        elements = _elements(array)
        if not 0 < len(elements) <= most_events:
            return None
        made: dict[int, Event] = {}
        discarded: dict[int, str] = {}
        heads: list[Head | Event] = []
        for place, element in enumerate(elements):
            head: Head | Event | None = read_head(element)
            if head is None:
                if len(made) == MOST_DECODED:
                    return None
                try:
                    head = decode_element(element)
                except Discarded as error:
                    head, discarded[place] = Event(), error.code
                made[place] = head
            heads.append(head)
    except (msgspec.DecodeError, RecursionError):
        return None
    return _Read(heads, max(map(len, elements)), made, discarded, key_of(elements[0]))


def _pieces(array: bytes) -> list[bytes]:
    """Cuts an array into arrays of at most `_PIECE_BYTES`, or larger if no cut is possible."""
    first = array[1 : array.find(b'"', 3) + 1]  # events usually begin with the same key
    for between in _BETWEEN:
        start = between + first
        if 5 < len(start) < _LONGEST_START and start in array:
            break
    else:
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
    """Reads a single event; None for a body that is none."""
    body = as_utf8(body)
    array = b"[%b]" % body
    heads = read_heads(array)
    if heads is not None and len(heads) == 1:
        return Plain(array, heads, len(body), type=kind, write_key=heads[0].write_key)
    try:
        parsed = parse_event(body, kind)
    except Rejected:
        return None
    if not parsed.events:
        return None
    return Plain(
        b"[%b]" % parsed.body,
        parsed.events,
        len(parsed.body),
        dict(enumerate(parsed.events)),
        type=kind,
        write_key=parsed.write_key,
    )


def limited(plain: Plain, config: SegmentConfig) -> Plain | None:
    """Leaves out events that are too large; None if other limits of a source may be exceeded."""
    if (
        len(plain.heads) > config.max_batch_events
        or not nests_within(plain.array, config.max_depth + _ARRAY_AND_EVENT)
        or not _shares_within(plain, config)
    ):
        return None
    most = config.max_event_bytes
    return plain if plain.largest <= most else _without_large(plain, most)


def _without_large(plain: Plain, most: int) -> Plain | None:
    """Leaves out events that are larger than `most`; None if a single event is."""
    if len(plain.heads) == 1:
        return None
    sizes = map(len, _elements(plain.array))
    large = [place for place, size in enumerate(sizes) if size > most]
    heads, made, discarded = list(plain.heads), plain.made.copy(), plain.discarded.copy()
    for place in large:
        heads[place] = made[place] = Event()
        discarded[place] = "event_too_large"
    return structs.replace(plain, heads=heads, made=made, discarded=discarded)


def _shares_within(plain: Plain, config: SegmentConfig) -> bool:
    """Tells whether objects beside the batch can become part of each event."""
    stored = len(plain.array) + len(plain.context) + len(plain.integrations)
    for raw, name in ((plain.context, "context"), (plain.integrations, "integrations")):
        size = len(raw)
        if not size:
            continue
        merged = size * len(plain.heads)
        own = sum(getattr(head, name) is not None for head in plain.heads)
        if (
            size > config.max_event_bytes
            or merged > min(config.max_merged_bytes, MOST_GROWTH * stored)
            or size * own > config.max_copied_bytes
            or not nests_within(bytes(raw), config.max_depth)
            or (name == "context" and not plain_context(raw))
        ):
            return False
    return True
