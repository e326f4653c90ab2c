"""Events that are sent together, and when that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, overload

from msgspec import Meta, Struct

from gateway.events.event import Event

__all__ = ["Batch", "BatchPolicy"]


@dataclass(frozen=True, slots=True)
class Batch(Sequence[Event]):
    """Events for one call of `Destination.send`, in the order in which they were accepted.

    Attributes:
        events: the events; shared with other destinations, so not to be changed.
        offsets: position of each in the queue, stable over every retry.
        attempt: 1 for the first attempt at these events.
        queue_id: names the queue that the offsets belong to: a pair of it and an offset is never
            given to another event. A destination that stores the pair with the event, in one
            transaction and under a unique key, gets each event exactly once (`DestinationSpec`).
    """

    events: Sequence[Event]
    offsets: Sequence[int]
    attempt: int = 1
    queue_id: str = ""

    def __len__(self) -> int:
        return len(self.events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self.events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)


class BatchPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the events waiting for a destination are sent as a batch: at whichever comes first.

    Attributes:
        max_events: so many events.
        max_bytes: so many bytes of events as stored.
        max_age_seconds: the oldest has waited so long. 0 sends whatever is there.
    """

    max_events: Annotated[int, Meta(ge=1)] = 500
    max_bytes: Annotated[int, Meta(ge=1)] = 1_000_000
    max_age_seconds: Annotated[float, Meta(ge=0)] = 1.0
