"""Decodes only those events of a request that need it, and seals the others.

An event needs it if it is odd (`gateway.events.envelope.heads`) or if a transform may change it. If
one event of a hundred does, the other ninety-nine need no decoding. The request's text is cut
between its events. The others are sealed as they were sent (`sealed`), in pieces, so that the order
stays the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias, cast
from uuid import uuid4

import msgspec
from msgspec import Raw

from gateway.events.envelope.arrival import Plain
from gateway.events.envelope.heads import Head
from gateway.events.envelope.sealed import Origin, Run, seal, sent_events
from gateway.events.event import Event, decode_events, encode_events

__all__ = ["MOST_DECODED", "Decoded", "Mixed", "Part", "Taken", "mixed", "with_ids"]

MOST_DECODED = 250
"""Events of a request that are decoded at once. More would hold up the event loop; they take the
slow road, which lets others have their turn in between."""

_BLANKS = frozenset(b" \t\r\n")
_elements = msgspec.json.Decoder(list[Raw]).decode


Part: TypeAlias = Head | Event
"""An event of a request: itself if it is decoded, else its head."""


class Taken(Protocol):
    """The events of a request that are to be stored.

    Attributes:
        ids: each event, or its head if it is not decoded.
        events: those that are decoded. They may be changed.
    """

    ids: Sequence[Part]
    events: Sequence[Event]

    def keep(self, some: Iterable[Part]) -> None:
        """Leaves out all but some of `ids`."""

    def seal(self, origin: Origin, *, addressed: bool) -> tuple[Sequence[Event], bytes]:
        """Returns the events in their order, and the bytes that the queue stores."""


class Decoded:
    """The events of a request that are all decoded.

    Args:
        body_bytes: size of the request's body, which the events' bodies are views of.
    """

    def __init__(self, events: Sequence[Event], body_bytes: int) -> None:
        self.events = events
        self.ids: Sequence[Part] = events
        self._body_bytes = body_bytes

    def keep(self, some: Iterable[Part]) -> None:
        """Leaves out all but some events."""
        kept = set(map(id, some))
        self.events = [event for event in self.events if id(event) in kept]
        self.ids = self.events

    def seal(self, origin: Origin, *, addressed: bool) -> tuple[Sequence[Event], bytes]:
        """Returns the events, and the bytes that the queue stores."""
        data = encode_events(self.events)
        # If little of the request is left, a copy frees the request's bytes.
        return decode_events(data) if 2 * len(data) < self._body_bytes else self.events, data


class Mixed:
    """The events of a request, of which some are decoded.

    Args:
        array: JSON array of the events.
        ids: each event, or its head if it is not decoded.
        spans: where each event begins and ends in the array; None if that is not known yet.
    """

    def __init__(
        self, array: bytes, ids: Sequence[Part], spans: Sequence[tuple[int, int]] | None = None
    ) -> None:
        self.ids = ids
        self.events: Sequence[Event] = ()
        self._array = array
        self._spans = spans
        self._places: Sequence[int] = range(len(ids))
        if spans is not None:
            self.events = [one for one in ids if isinstance(one, Event)]

    def keep(self, some: Iterable[Part]) -> None:
        """Leaves out all but some events."""
        kept = set(map(id, some))
        left = [(n, one) for n, one in zip(self._places, self.ids, strict=True) if id(one) in kept]
        self._places = [place for place, _ in left]
        self.ids = [one for _, one in left]
        self.events = [one for one in self.ids if isinstance(one, Event)]
        if self._spans is None:
            self._spans = _spans_of(self._array)

    def seal(self, origin: Origin, *, addressed: bool) -> tuple[Sequence[Event], bytes]:
        """Returns the events in their order, and the bytes that the queue stores."""
        if self._spans is None:
            return seal(origin, self._array, len(self.ids), addressed=addressed)
        run = Run()
        pieces: list[bytes] = []
        for first, parts in self._runs():
            events: Sequence[Event]
            if isinstance(parts[0], Event):
                events = cast("list[Event]", parts)
                data = encode_events(events)
            else:
                start, end = self._spans[first][0], self._spans[first + len(parts) - 1][1]
                array = b"[%b]" % self._array[start:end]
                events, data = seal(origin, array, len(parts), addressed=addressed)
            run.append(events, addressed=addressed)
            pieces.append(data[1:-1])
        return run, b"[%b]" % b",".join(pieces)

    def _runs(self) -> Iterator[tuple[int, list[Part]]]:
        """Yields neighbours that are stored in one way, with the place of the first."""
        parts: list[Part] = []
        first = 0
        for place, one in zip(self._places, self.ids, strict=True):
            if parts and (
                isinstance(one, Event) != isinstance(parts[0], Event)
                or (place != first + len(parts) and isinstance(one, Head))
            ):
                yield first, parts
                parts = []
            if not parts:
                first = place
            parts.append(one)
        if parts:
            yield first, parts


def mixed(
    plain: Plain, array: bytes, odd: Iterable[int] = (), ends: Iterable[int] = ()
) -> Taken | None:
    """Decodes some events of a request.

    Args:
        array: the array of `plain`, maybe with ids added.
        odd: places of events to decode.
        ends: positions in the array, each right behind a suspect text; its event is decoded too.

    Returns:
        None for more than `MOST_DECODED` events.
    """
    heads = plain.heads
    if not (plain.made or odd or ends):
        return Mixed(array, heads)
    wanted = set(odd)
    spans: list[tuple[int, int]] = []
    if ends:
        spans = _spans_of(array)
        starts = [start for start, _ in spans]
        wanted.update([max(0, bisect_right(starts, end - 1) - 1) for end in ends])
    wanted |= plain.made.keys()
    if len(wanted) > MOST_DECODED:
        return None
    if len(wanted) == len(heads) and not plain.made:
        return Decoded(sent_events(array, plain.type), len(array))
    spans = spans or _spans_of(array)
    places = sorted(wanted - plain.made.keys())
    apart = b",".join([array[start:end] for start, end in map(spans.__getitem__, places)])
    ids = list(heads)
    for place, event in zip(places, sent_events(b"[%b]" % apart, plain.type), strict=True):
        ids[place] = event
    return Mixed(array, ids, spans)


def with_ids(array: bytes, heads: Sequence[Head | Event], places: Iterable[int]) -> bytes:
    """Gives message ids to events that have none, in their heads and where they lie in the array.

    The events are stored as they are then, so each keeps its id from now on.
    """
    spans = _spans_of(array)
    pieces: list[bytes] = []
    before = 0
    for place in places:
        heads[place].message_id = id_ = str(uuid4())
        start = spans[place][0] + len(b"{")
        pieces += (array[before:start], b'"messageId":"%b",' % id_.encode())
        before = start
    return b"".join((*pieces, array[before:]))


def _spans_of(array: bytes) -> list[tuple[int, int]]:
    """Returns where each element of a JSON array begins and ends."""
    spans = []
    end = 0
    for element in _elements(array):
        start = end + 1  # behind the bracket, or a comma
        while array[start] in _BLANKS:
            start += 1
        end = start + len(element)
        spans.append((start, end))
        while array[end] in _BLANKS:
            end += 1
    return spans
