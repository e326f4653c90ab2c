"""Decodes only those events of a request that need it, and seals the others.

An event needs it if it is odd (`gateway.events.envelope.heads`) or if a transform may change it. If
one event of a hundred does, the other ninety-nine need no decoding. The request's text is cut
between its events. The others are sealed as they were sent (`sealed`), in pieces, so that the order
stays the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from uuid import uuid4

import msgspec
from msgspec import Raw

from gateway.events.envelope.arrival import Plain
from gateway.events.envelope.heads import Head
from gateway.events.envelope.sealed import Origin, Run, seal, sent_events
from gateway.events.event import Event, encode_events

__all__ = ["MOST_DECODED", "Mixed", "mixed", "with_ids"]

MOST_DECODED = 250
"""Events of a request that are decoded at once. More would hold up the event loop; they take the
slow road, which lets others have their turn in between."""

_BLANKS = frozenset(b" \t\r\n")
_elements = msgspec.json.Decoder(list[Raw]).decode


class Mixed:
    """The events of a request, of which some are decoded.

    Attributes:
        events: the decoded events, as they were sent. They may be changed.
        ids: for each event of the request an object with its ids: the event itself if it is
            decoded, else its head.

    Args:
        array: JSON array of the events.
        heads: the head of each event.
        spans: where each event begins and ends in the array; empty if none is decoded.
        made: the decoded events by their places, in order.
    """

    def __init__(
        self,
        array: bytes,
        heads: Sequence[Head | Event],
        spans: Sequence[tuple[int, int]] = (),
        made: Mapping[int, Event] | None = None,
    ) -> None:
        self._array = array
        self._spans = spans
        self._places = list(made or ())
        self.events = list(made.values()) if made else []
        self.ids: Sequence[Head | Event] = heads
        if made:
            self.ids = [made.get(place, head) for place, head in enumerate(heads)]

    def seal(self, origin: Origin, *, addressed: bool) -> tuple[Sequence[Event], bytes]:
        """Returns the events in their order, and the bytes that the queue stores."""
        if not self.events:
            return seal(origin, self._array, len(self.ids), addressed=addressed)
        run, pieces = Run(), []
        before = -1
        for place, event in (*zip(self._places, self.events, strict=True), (len(self.ids), None)):
            if place - before > 1:
                start, end = self._spans[before + 1][0], self._spans[place - 1][1]
                array = b"[%b]" % self._array[start:end]
                events, data = seal(origin, array, place - before - 1, addressed=addressed)
                run.append(events)
                pieces.append(data[1:-1])
            if event is not None:
                run.append([event], addressed=addressed)
                pieces.append(encode_events([event])[1:-1])
            before = place
        return run, b"[%b]" % b",".join(pieces)


def mixed(
    plain: Plain, array: bytes, odd: Iterable[int] = (), ends: Iterable[int] = ()
) -> Mixed | None:
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
    spans = _spans_of(array)
    starts = [start for start, _ in spans]
    wanted = {max(0, bisect_right(starts, end - 1) - 1) for end in ends}
    wanted.update(odd, plain.made)
    if len(wanted) > MOST_DECODED:
        return None
    places = sorted(wanted - plain.made.keys())
    apart = b",".join([array[start:end] for start, end in map(spans.__getitem__, places)])
    made = {**plain.made, **dict(zip(places, sent_events(b"[%b]" % apart, plain.type), strict=True))}
    return Mixed(array, heads, spans, {place: made[place] for place in sorted(wanted)})


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
