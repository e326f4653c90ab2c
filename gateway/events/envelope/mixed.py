"""A request a few of whose events have to be looked at, among others that are stored as they were.

One address in a hundred events is no reason to decode the other ninety-nine. The text of the
request is cut between its events; those in which a transform suspects something are made, and the
others are sealed as they stand (`sealed`), run by run, so that their order is kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from gateway.events.envelope.heads import Head
from gateway.events.envelope.sealed import Origin, Run, seal, sent_events
from gateway.events.event import Event, encode_events

__all__ = ["MOST_SUSPECTS", "AsSent", "Mixed", "mixed"]

MOST_SUSPECTS = 0.5
"""Of a request's events, the share that is taken apart from the others; with more all are made."""

_BLANKS = frozenset(b" \t\r\n")
_elements = msgspec.json.Decoder(list[Raw]).decode


class AsSent:
    """The events of one request, in none of which anything is suspected.

    Attributes:
        events, ids: as those of `Mixed`.
    """

    def __init__(self, array: bytes, heads: Sequence[Head | Event]) -> None:
        self._array = array
        self.events: list[Event] = []
        self.ids = heads

    def seal(self, origin: Origin, *, addressed: bool) -> tuple[Sequence[Event], bytes]:
        """The events, and what the queue stores of them."""
        return seal(origin, self._array, len(self.ids), addressed=addressed)


class Mixed:
    """The events of one request, of which some are made.

    Attributes:
        events: those that are made; as they were sent, until somebody changes them.
        ids: what tells each event of the request from others; for those that are made, themselves.
    """

    def __init__(
        self,
        array: bytes,
        heads: Sequence[Head | Event],
        spans: Sequence[tuple[int, int]],
        places: Sequence[int],
    ) -> None:
        self._array = array
        self._spans = spans
        self._places = places
        apart = b",".join(array[start:end] for start, end in map(spans.__getitem__, places))
        self.events = sent_events(b"[%b]" % apart)
        made = dict(zip(places, self.events, strict=True))
        self.ids = [made.get(place, head) for place, head in enumerate(heads)]

    def seal(self, origin: Origin, *, addressed: bool) -> tuple[Run, bytes]:
        """The events in their order, and what the queue stores of them."""
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


def mixed(array: bytes, heads: Sequence[Head | Event], ends: Iterable[int]) -> Mixed | None:
    """Take apart the events of a request in which something is suspected.

    Args:
        array: a JSON array of plain events (`gateway.events.envelope.heads`).
        heads: of each of them.
        ends: places in it, each right behind something that is suspect.

    Returns:
        None where it is not worth it, as most of the events are suspect.
    """
    spans = []
    end = 0
    for element in _elements(array):
        start = end + 1  # behind the bracket, or a comma
        while array[start] in _BLANKS:
            start += 1
        end = start + len(element)
        while array[end] in _BLANKS:
            end += 1
        spans.append((start, end))
    starts = [start for start, _ in spans]
    places = sorted({max(0, bisect_right(starts, place - 1) - 1) for place in ends})
    if len(places) > MOST_SUSPECTS * len(heads):
        return None
    return Mixed(array, heads, spans, places)
