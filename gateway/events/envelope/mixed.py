"""Decodes only those events of a request that a transform may change, and seals the others.

If one event of a hundred contains an e-mail address, the other ninety-nine need no decoding. The
request's text is cut between its events. The suspect ones are decoded. The others are sealed as
they were sent (`sealed`), in pieces, so that the order stays the same.
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
"""Largest share of suspect events for which decoding them alone pays off."""

_BLANKS = frozenset(b" \t\r\n")
_elements = msgspec.json.Decoder(list[Raw]).decode


class AsSent:
    """The events of a request without suspect ones.

    Attributes:
        events, ids: as in `Mixed`.
    """

    def __init__(self, array: bytes, heads: Sequence[Head | Event]) -> None:
        self._array = array
        self.events: list[Event] = []
        self.ids = heads

    def seal(self, origin: Origin, *, addressed: bool) -> tuple[Sequence[Event], bytes]:
        """Returns the events and the bytes that the queue stores."""
        return seal(origin, self._array, len(self.ids), addressed=addressed)


class Mixed:
    """The events of a request, of which some are decoded.

    Attributes:
        events: the decoded events, as they were sent. They may be changed.
        ids: for each event of the request an object with its ids: the event itself if it is
            decoded, else its head.
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
        """Returns the events in their order, and the bytes that the queue stores."""
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
    """Decodes the suspect events of a request.

    Args:
        array: JSON array of events that `gateway.events.envelope.heads` accepts.
        heads: the head of each event.
        ends: positions in the array, each right behind a suspect text.

    Returns:
        None if so many events are suspect that decoding them alone does not pay off.
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
