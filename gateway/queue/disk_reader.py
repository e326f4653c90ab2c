"""Reads the disk store forward from an offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.components.store import Frame, Reader, StoreStatus
from gateway.queue.files import FileSystem
from gateway.queue.record import Codec
from gateway.queue.segment import Damage, Segment, SegmentReader

__all__ = ["DiskReader", "SegmentedStore"]


class SegmentedStore(Protocol):
    """The part of the disk store that a reader uses."""

    @property
    def files(self) -> FileSystem:
        """The file system of the segments."""

    def status(self) -> StoreStatus:
        """Returns the status, which has the end of the queue."""

    def segments(self) -> Sequence[Segment]:
        """Returns the current segments, oldest first."""

    def extent(self, segment: Segment) -> tuple[int, int]:
        """Returns a segment's acknowledged bytes, and the offset after its last event."""

    def report(self, damage: Damage) -> None:
        """Reports events that cannot be read."""


class DiskReader(Reader):
    """Reads segments and skips damage, while the store's writer runs."""

    def __init__(self, store: SegmentedStore, offset: int, codec: Codec) -> None:
        self._store = store
        self._position = offset
        self._codec = codec
        self._segment: Segment | None = None
        self._open: SegmentReader | None = None

    def next(self) -> Frame | None:
        """See `Reader`."""
        while self._position < self._store.status().end:
            segment = self._find_segment()
            if segment is None:
                continue
            assert self._open is not None
            size, end = self._store.extent(segment)
            step = self._open.next_header(size, end)
            if step is None:
                # The whole segment was read, or frames are missing at its end.
                if end > self._open.expected:
                    self._lost(Damage(segment.path, size, size, self._open.expected, end))
                self._position = max(self._position, end)
                continue
            if isinstance(step, Damage):
                self._lost(step)
                self._open.skip(step)
                continue
            if step.end <= self._position:
                self._open.skip(step)
                continue
            loaded = self._open.load(step)
            self._open.skip(step)
            if isinstance(loaded, Damage):
                self._lost(loaded)
                continue
            self._position = loaded.end
            return loaded
        return None

    def close(self) -> None:
        """See `Reader`."""
        if self._open is not None:
            self._open.close()
            self._open = None
        self._segment = None

    def _find_segment(self) -> Segment | None:
        """Opens and returns the segment that holds the position, or else the next one.

        Returns None if its file is gone; the position is then behind it.
        """
        if self._segment is not None and self._position < self._segment.end:
            return self._segment
        self.close()
        while True:
            segment = next(s for s in self._store.segments() if s.end > self._position)
            try:
                self._open = SegmentReader(
                    self._store.files, segment.path, self._codec, expected=segment.first
                )
            except FileNotFoundError:
                if any(s is segment for s in self._store.segments()):
                    end = self._store.extent(segment)[1]
                    self._lost(Damage(segment.path, 0, 0, segment.first, end))
                    self._position = end
                return None
            # If the segment was replaced meanwhile, the open file may be the new one, which has
            # another size.
            if any(s is segment for s in self._store.segments()):
                self._segment = segment
                return segment
            self.close()

    def _lost(self, damage: Damage) -> None:
        if damage.end > self._position:
            self._store.report(damage)
            self._position = max(self._position, damage.end)
