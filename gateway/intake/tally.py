"""Notes what becomes of the events of one request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.events.envelope.arrival import Receipt
from gateway.events.envelope.mixed import Part
from gateway.events.event import Event
from gateway.state import Discard

__all__ = ["RequestTally"]


@dataclass(slots=True)
class RequestTally:
    """The outcome for the events of one request, or for events that transforms made for a source.

    Attributes:
        discarded: number of discarded events by code.
        duplicate: number of events that were seen before.
        not_stored: the discarded and duplicate events that have a message id.
        new: valid events that were not seen before. Their ids are remembered.
        kept: those of `new` that are stored.
        made: events that the transforms made.
        added: those of `made` that were not seen before. They are to be stored.
        announced: is settled once they are stored, if transforms take long; see `LongWork`.
    """

    source_id: str
    received_ms: int
    discarded: Counter[str] = field(default_factory=Counter)
    duplicate: int = 0
    not_stored: list[Discard] = field(default_factory=list)
    new: Sequence[Part] = ()
    kept: Sequence[Event] = ()
    made: list[Event] = field(default_factory=list)
    added: list[Event] = field(default_factory=list)
    announced: asyncio.Future[None] | None = None

    def discard(self, events: Sequence[Part], code: str) -> None:
        """Counts events as discarded."""
        if events:
            self.discarded[code] += len(events)
            self._note(events, code)

    def repeat(self, events: Sequence[Part]) -> None:
        """Counts events as duplicates."""
        self.duplicate += len(events)
        self._note(events, "duplicate")

    def receipt(self) -> Receipt:
        """Returns the counts for the source."""
        return Receipt(len(self.kept), self.duplicate, self.discarded)

    def _note(self, events: Iterable[Part], code: str) -> None:
        self.not_stored += [
            Discard(self.received_ms, self.source_id, event.message_id, code)
            for event in events
            if event.message_id
        ]
