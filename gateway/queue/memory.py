"""A store in memory, for tests, benchmarks and gateways that may lose events when they end."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated

from msgspec import Meta, Struct

from gateway.components.store import Erased, Frame, Reader, Store, StoreStatus
from gateway.errors import QueueFull
from gateway.events.subjects import Redacted
from gateway.queue.queue_id import new_identity
from gateway.queue.record import joined

__all__ = ["MemoryConfig", "MemoryStore"]

_FULL_RETRY_SECONDS = 5


class MemoryConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of `[queue]` with ``type = "memory"``.

    Attributes:
        max_bytes: bound on the events kept; over it the gateway sheds.
    """

    max_bytes: Annotated[int, Meta(ge=1)] = 256_000_000


class MemoryStore(Store):
    """Frames in a list. They are dropped once every destination has finished with them."""

    def __init__(self, config: MemoryConfig, clock: Callable[[], int]) -> None:
        self._config = config
        self._clock = clock
        self._identity = new_identity()
        self._lock = threading.Lock()
        self._frames: list[Frame] = []
        self._end = 0
        self._finished = 0
        self._bytes = 0
        self._problem = ""
        self._refused_bytes = 0  # of the write that `_problem` is about

    def open(self) -> None:
        """See `Store`."""

    def close(self) -> None:
        """See `Store`."""

    def sync(self) -> None:
        """See `Store`."""

    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        """See `Store`."""
        raw = joined(chunks)
        with self._lock:
            self._drop_finished()
            # One write is let in whatever its size, or it would be refused for ever.
            if self._frames and self._bytes + len(raw) > self._config.max_bytes:
                self._problem = (
                    f"the queue holds queue.max_bytes = {self._config.max_bytes} of events that "
                    "not every destination has finished with"
                )
                self._refused_bytes = len(raw)
                raise QueueFull(self._problem, _FULL_RETRY_SECONDS)
            self._problem = ""
            first = self._end
            self._frames.append(Frame(first, sum(counts), self._clock(), raw))
            self._end = self._frames[-1].end
            self._bytes += len(raw)
        return first

    def reader(self, offset: int) -> Reader:
        """See `Store`."""
        return _MemoryReader(self, offset)

    def release(self, offset: int, now_ms: int) -> int:
        """See `Store`. Events are not retained once all destinations have finished with them."""
        with self._lock:
            self._finished = min(offset, self._end)
            self._drop_finished()
            if not self._frames or self._bytes + self._refused_bytes <= self._config.max_bytes:
                self._problem = ""
            return self._frames[0].offset if self._frames else self._end

    def recent(self, since_ms: int, limit: int) -> Iterator[Frame]:
        """See `Store`."""
        with self._lock:
            frames = self._frames[::-1]
        for frame in frames:
            if limit <= 0 or frame.time_ms < since_ms:
                return
            yield frame
            limit -= frame.count

    def erase(
        self, redact: Callable[[bytes], Redacted | None], progress: Callable[[int, int], None]
    ) -> Erased:
        """See `Store`."""
        erased = Erased()
        with self._lock:
            for place, frame in enumerate(self._frames):
                redacted = redact(frame.payload)
                if redacted is not None:
                    erased.ids += redacted.ids
                    self._frames[place] = replace(frame, payload=redacted.payload)
                    self._bytes += len(redacted.payload) - len(frame.payload)
        return erased

    def identity(self) -> str:
        """See `Store`. The name is new in each process, as the events are."""
        return self._identity

    def status(self) -> StoreStatus:
        """See `Store`."""
        with self._lock:
            first = self._frames[0].offset if self._frames else self._end
            return StoreStatus(first, self._end, self._bytes, self._problem)

    def after(self, offset: int) -> Frame | None:
        """Returns the first frame that ends after an offset."""
        with self._lock:
            index = bisect_right(self._frames, offset, key=_end)
            return self._frames[index] if index < len(self._frames) else None

    def _drop_finished(self) -> None:
        number = bisect_right(self._frames, self._finished, key=_end)
        # Many at once, as removing from the front of a list moves the rest of it.
        if number > len(self._frames) // 2:
            self._bytes -= sum(len(frame.payload) for frame in self._frames[:number])
            del self._frames[:number]


def _end(frame: Frame) -> int:
    return frame.end


class _MemoryReader(Reader):
    def __init__(self, store: MemoryStore, offset: int) -> None:
        self._store = store
        self._position = offset

    def next(self) -> Frame | None:
        frame = self._store.after(self._position)
        if frame is not None:
            self._position = frame.end
        return frame

    def close(self) -> None:
        pass
