"""Reads the events of a replay from the queue, in batches."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field

from gateway.components.store import Frame, Store
from gateway.delivery.replay_request import Request
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event

__all__ = ["Chosen", "ReplayBatch", "ReplayReader", "choose"]

_MOST_EVENTS = 500
_MOST_READ = 20_000
_CLOCK_MARGIN_MS = 3_600_000


class Chosen(Struct):
    """Events that a replay asks for, with their offsets."""

    events: list[Event] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


class ReplayBatch(Chosen):
    """Events that are replayed together.

    Attributes:
        first, next: the offsets from `first` to before `next` were searched for these events.
    """

    first: int = 0
    next: int = 0


def choose(frame: Frame, request: Request, first: int, end: int) -> Chosen:
    """Returns the events of a frame that are asked for, from offset `first` to before `end`."""
    chosen = Chosen()
    # A frame is written after its events were received, unless the clock was set back.
    if frame.time_ms < request.from_ms - _CLOCK_MARGIN_MS:
        return chosen
    for offset, event in enumerate(stored_events(frame.payload), frame.offset):
        if first <= offset < end and request.chooses(event):
            chosen.events.append(event)
            chosen.offsets.append(offset)
    return chosen


class ReplayReader:
    """Reads the events that a replay asks for, from offset `first` to before `end`.

    A batch ends early after many offsets without an event to replay, so that the replay's progress
    is committed now and then.
    """

    def __init__(self, store: Store, request: Request, first: int, end: int) -> None:
        self._reader = store.reader(first)
        self._request = request
        self._next = self._reached = first
        self._end = end
        self._left = Chosen()
        # A slow rate is a steady trickle of small batches, not a large batch now and then.
        self._size = max(1, min(_MOST_EVENTS, int(request.rate or _MOST_EVENTS)))

    async def next(self) -> ReplayBatch | None:
        """Returns the next batch, which may be empty; None at the end."""
        left = self._left
        while self._reached < self._end or left.offsets:
            if len(left.offsets) < _MOST_EVENTS and self._reached < self._end:
                await self._read_frame()
                searched = self._reached - self._next
                may_go_on = self._reached < self._end and searched < _MOST_READ
                if len(left.offsets) < _MOST_EVENTS and may_go_on:
                    continue
            return self._take()
        return None

    async def close(self) -> None:
        """Closes the queue's files."""
        await asyncio.to_thread(self._reader.close)

    async def _read_frame(self) -> None:
        found = await asyncio.to_thread(self._chosen_next)
        if found is None:
            self._reached = self._end
            return
        frame, more = found
        self._left.events += more.events
        self._left.offsets += more.offsets
        self._reached = min(frame.end, self._end)

    def _chosen_next(self) -> tuple[Frame, Chosen] | None:
        """Reads a frame and looks at its events, which may be many; None at the end."""
        frame = self._reader.next()
        if frame is None or frame.offset >= self._end:
            return None
        return frame, choose(frame, self._request, self._next, self._end)

    def _take(self) -> ReplayBatch:
        left, number = self._left, self._size
        first = self._next
        batch = ReplayBatch(left.events[:number], left.offsets[:number], first)
        del left.events[:number], left.offsets[:number]
        batch.next = self._next = left.offsets[0] if left.offsets else self._reached
        return batch
