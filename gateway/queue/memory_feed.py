"""Keeps the newest events in memory, for destinations that have caught up."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.events.event import Event

__all__ = ["MemoryFeed", "Slice"]


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive events of the queue.

    Attributes:
        offset: offset of the first event.
        events: shared by all readers, which must not change them.
        size: bytes of the events as stored.
    """

    offset: int
    events: Sequence[Event]
    size: int

    @property
    def end(self) -> int:
        """Offset after the last event."""
        return self.offset + len(self.events)

    def after(self, number: int) -> Slice:
        """Returns the slice without its first events."""
        if not number:
            return self
        return _sized(self.offset + number, self.events[number:])

    def first(self, number: int) -> Slice:
        """Returns a slice of the first events."""
        return _sized(self.offset, self.events[:number])


def _sized(offset: int, events: Sequence[Event]) -> Slice:
    return Slice(offset, events, sum(event.size for event in events))


class MemoryFeed:
    """The newest events of the queue, bounded in bytes.

    Args:
        max_bytes: bound on the events kept, by their size as stored.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._slices: deque[Slice] = deque()
        self._bytes = 0

    def push(self, offset: int, events: Sequence[Event], size: int) -> None:
        """Adds events at the end, and drops the oldest to make room."""
        self._slices.append(Slice(offset, events, size))
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._bytes -= self._slices.popleft().size

    def trim(self, offset: int) -> None:
        """Drops the events before an offset that all readers are past."""
        while self._slices and self._slices[0].end <= offset:
            self._bytes -= self._slices.popleft().size

    def clear(self) -> None:
        """Drops all events; readers then use the store."""
        self._slices.clear()
        self._bytes = 0

    def get(self, offset: int) -> Slice | None:
        """Returns the events from `offset` to the end of its slice, or None."""
        if not self._slices or offset < self._slices[0].offset:
            return None
        # Readers that have caught up want the last few events, so the search begins at the end.
        for kept in reversed(self._slices):
            if kept.offset <= offset < kept.end:
                return kept.after(offset - kept.offset)
            if kept.end <= offset:
                break
        return None
