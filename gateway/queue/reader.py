"""Reads the queue for one destination: from memory where possible, otherwise from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from gateway.components.isolation import contained_call
from gateway.components.store import Reader, Store
from gateway.events.envelope.sealed import stored_events
from gateway.queue.memory_feed import Slice

__all__ = ["QueueReader", "ReadableQueue", "finished"]

_T = TypeVar("_T")


class ReadableQueue(Protocol):
    """The part of the queue that a reader uses."""

    @property
    def store(self) -> Store:
        """The store, for events that are no longer in memory."""

    @property
    def end(self) -> int:
        """Offset of the next event to come."""

    def from_memory(self, offset: int) -> Slice | None:
        """Returns the events at an offset if they are still in memory."""

    async def grown_beyond(self, offset: int) -> None:
        """Waits until there is an event at `offset`."""


class QueueReader:
    """Reads the queue from an offset on.

    Attributes:
        position: offset of the next event to read.
    """

    def __init__(self, queue: ReadableQueue, offset: int) -> None:
        self._queue = queue
        self._stored: Reader | None = None
        self.position = offset

    @property
    def behind(self) -> bool:
        """True if the queue holds more events."""
        return self.position < self._queue.end

    def read_now(self) -> Slice | None:
        """Returns the next events if they are in memory, without waiting.

        It must not run while `read` does.
        """
        if self._stored is not None:
            return None  # `read` changes back to memory, as it closes files in a thread
        found = self._queue.from_memory(self.position)
        if found is not None:
            self.position = found.end
        return found

    async def read(self) -> Slice:
        """Waits for the next events and returns them; at least one.

        The slice begins after `position` if events in between are no longer there. If this call is
        cancelled, `rewind` must follow before the next read.
        """
        while True:
            await self._queue.grown_beyond(self.position)
            found = self._queue.from_memory(self.position)
            if found is not None:
                await self.close()
            else:
                found = await finished(asyncio.to_thread(contained_call(self._read_stored)))
            if found is not None:
                self.position = found.end
                return found

    async def rewind(self, offset: int) -> None:
        """Continues at `offset`."""
        await self.close()
        self.position = offset

    async def close(self) -> None:
        """Closes the store's files."""
        if self._stored is not None:
            stored, self._stored = self._stored, None
            await asyncio.to_thread(stored.close)

    def _read_stored(self) -> Slice | None:
        if self._stored is None:
            self._stored = self._queue.store.reader(self.position)
        frame = self._stored.next()
        if frame is None:
            # All is damaged up to the end. There is nothing to read before new events come.
            self.position = max(self.position, self._queue.store.status().end)
            return None
        events = stored_events(frame.payload)
        skip = max(0, self.position - frame.offset)
        return Slice(frame.offset, events, len(frame.payload)).after(skip)


async def finished(work: Coroutine[Any, Any, _T]) -> _T:
    """Awaits work in a thread. If cancelled, it returns only once the thread has finished."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
