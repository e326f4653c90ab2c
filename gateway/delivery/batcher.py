"""Reads the queue for one destination and makes batches, bounded in number, bytes and age."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.components.destination import BatchPolicy
from gateway.delivery.selection import Outgoing, Selection
from gateway.events.event import Event
from gateway.queue.memory_feed import Slice
from gateway.queue.reader import QueueReader

__all__ = ["Batcher"]

_MOST_READ = 10_000
"""Most events read for one smaller batch, so that the cursor moves even if all are filtered."""


class Batcher:
    """Makes batches for one destination, in the order of the queue.

    Args:
        selection: decides which events go into a batch.
    """

    def __init__(
        self,
        reader: QueueReader,
        policy: BatchPolicy,
        selection: Selection,
    ) -> None:
        self._reader = reader
        self._policy = policy
        self._selection = selection
        self._expected = reader.position
        self._began = reader.position
        self._left: Slice | None = None
        self._reading: asyncio.Task[Slice] | None = None

    @property
    def position(self) -> int:
        """Offset of the next event to come."""
        return self._expected

    @property
    def behind(self) -> bool:
        """True if the queue holds more events."""
        return self._left is not None or self._reader.behind

    @property
    def exhausted(self) -> bool:
        """True if every event of the queue is in a batch already."""
        return not self.behind and self._reader.position == self._expected

    async def next(self, hurry: asyncio.Event) -> Outgoing | None:
        """Reads until a batch is full or old enough.

        Args:
            hurry: once set, the batch ends with the last event of the queue.

        Returns:
            None if `hurry` is set and the queue has no more events.
        """
        outgoing = await self._gather(hurry)
        if outgoing is not None and self._selection.interceptor is not None:
            await self._selection.interceptor.take(outgoing)
        return outgoing

    async def _gather(self, hurry: asyncio.Event) -> Outgoing | None:
        outgoing = Outgoing(self._expected)
        self._began = self._expected
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while True:
            wait = None if deadline is None else max(0.0, deadline - loop.time())
            part = await self._next_slice(wait, hurry)
            if part is None:
                return outgoing if deadline is not None else None
            if deadline is None:
                deadline = loop.time() + self._policy.max_age_seconds
            if await self._take(part, outgoing):
                return outgoing

    def use(self, policy: BatchPolicy, selection: Selection) -> None:
        """Makes batches in another way from the next events on."""
        self._policy = policy
        self._selection = selection

    async def transform(self, events: Sequence[Event], offsets: Sequence[int]) -> Outgoing:
        """Runs the present transforms over events of the retry lane; see `Selection.transform`."""
        return await self._selection.transform(events, offsets)

    async def rewind(self, offset: int) -> None:
        """Forgets what was read, and reads again from an offset."""
        if self._selection.interceptor is not None:
            self._selection.interceptor.forget()
        await self._stop_reading()
        await self._reader.rewind(offset)
        self._expected = offset
        self._left = None

    async def close(self) -> None:
        """Stops reading and closes files; safe twice."""
        await self._stop_reading()
        await self._reader.close()

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            task, self._reading = self._reading, None
            task.cancel()
            await asyncio.wait({task})

    async def _next_slice(self, wait: float | None, hurry: asyncio.Event) -> Slice | None:
        """Returns the next events; None if none came in time or there is a hurry."""
        if self._left is not None:
            part, self._left = self._left, None
            return part
        if self._reading is None:
            # Events that came while the last batch was sent go into this one, in one commit.
            ready = self._reader.read_now()
            if ready is not None:
                return ready
            self._reading = asyncio.create_task(self._reader.read())
        # A read is never cancelled here. It may run in a thread, and its result must not be lost.
        if not self._reading.done():
            hurried = asyncio.ensure_future(hurry.wait())
            try:
                await asyncio.wait(
                    {self._reading, hurried}, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                hurried.cancel()
            if hurry.is_set() and self._reader.behind:
                await asyncio.wait({self._reading})
        if not self._reading.done():
            return None
        task, self._reading = self._reading, None
        return task.result()

    async def _take(self, part: Slice, outgoing: Outgoing) -> bool:
        """Adds events to the batch; returns True when it is full."""
        if part.offset > self._expected:
            outgoing.lost += part.offset - self._expected
        taken = self._fitting(part, outgoing)
        if taken < len(part.events):
            self._left = part.after(taken)
            part = part.first(taken)
        self._expected = outgoing.cursor = part.end
        outgoing.size += part.size
        await self._selection.sort(part.events, range(part.offset, part.end), outgoing)
        return (
            self._left is not None
            or len(outgoing.events) >= self._policy.max_events
            or outgoing.cursor - self._began >= max(_MOST_READ, self._policy.max_events)
        )

    def _fitting(self, part: Slice, outgoing: Outgoing) -> int:
        """Counts the events that fit into the batch; at least one fits into an empty batch."""
        room = self._policy.max_events - len(outgoing.events)
        if len(part.events) <= room and outgoing.size + part.size <= self._policy.max_bytes:
            return len(part.events)
        taken, size = 0, outgoing.size
        for event in part.events:
            if taken == room or (size and size + event.size > self._policy.max_bytes):
                break
            size += event.size
            taken += 1
        return taken
