"""The front of the queue: group commit, bounds, and events for readers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from gateway.components.isolation import contained_call
from gateway.components.store import Erased, Store
from gateway.config.settings import QueueSettings
from gateway.errors import QueueClosed, QueueError, QueueFull
from gateway.events.envelope.sealed import Run
from gateway.events.event import Event
from gateway.events.subjects import Subjects, redact
from gateway.queue.memory_feed import MemoryFeed, Slice
from gateway.queue.pending import PendingPut, all_done
from gateway.queue.reader import QueueReader, finished

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["BatchingQueue"]

_PENDING_RETRY_SECONDS = 1
_MEMORY_ACK_SYNC_SECONDS = 1.0
_SLICE_BYTES = 65_536
_T = TypeVar("_T")


class BatchingQueue:
    """Takes events from intake, stores them in groups, and feeds destinations.

    Args:
        store: is opened and closed here. All its blocking work runs in threads.

    Attributes:
        end: offset of the next event to come.
        when_stored: is called after events were stored, with the number of events of each source
            and the new `end`.
    """

    def __init__(self, store: Store, settings: QueueSettings, log: FilteringBoundLogger) -> None:
        self.store = store
        self._settings = settings
        self._log = log
        self._durable = settings.ack == "fsync"
        self._feed = MemoryFeed(settings.memory_feed_bytes)
        self._pending: list[PendingPut] = []
        self._pending_bytes = 0
        self._held: dict[str, int] = {}
        self._in_flight: list[PendingPut] = []
        self._closed = True
        self._wanted = asyncio.Event()
        self._grown: list[asyncio.Future[None]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="queue")
        self._writer: asyncio.Task[None] | None = None
        self._synced = True
        self.end = 0
        self.when_stored: Callable[[Mapping[str, int], int], None] | None = None

    # -- life cycle ----------------------------------------------------------

    async def start(self) -> None:
        """Recovers the store and begins to write."""
        await self._in_thread(self.store.open)
        self.end = self.store.status().end
        self._closed = False
        self._writer = asyncio.create_task(self._write_forever(), name="queue writer")

    async def stop(self) -> None:
        """Writes what is pending, then closes the store. Safe twice and without `start`."""
        self._closed = True
        self._wanted.set()
        if self._writer is not None:
            await self._writer
            self._writer = None
            await self._in_thread(self.store.close)
        self._thread.shutdown()

    # -- putting -------------------------------------------------------------

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be written or are being written."""
        return self._pending_bytes

    @property
    def max_pending_bytes(self) -> int:
        """Limit for the bytes that wait."""
        return self._settings.max_pending_bytes

    def put(
        self, events: Sequence[Event], data: bytes, sources: Mapping[str, int] | None = None
    ) -> Awaitable[None]:
        """Adds events.

        Args:
            data: the same events as a JSON array: one by one, or `gateway.events.envelope.sealed`.
            sources: number of events of each source, for `when_stored`.

        Returns:
            Done when the events are as safe as ``queue.ack`` promises; raises `QueueError` if they
            could not be stored.

        Raises:
            QueueFull: too many bytes wait to be written.
            QueueClosed: the gateway is stopping.
        """
        if self._closed:
            raise QueueClosed("the gateway is stopping")
        # One request is let in whatever its size, or it would be refused for ever.
        if (
            self._pending_bytes
            and self._pending_bytes + len(data) > self._settings.max_pending_bytes
        ):
            raise QueueFull(
                f"{self._pending_bytes} bytes wait to be written "
                f"(queue.max_pending_bytes = {self._settings.max_pending_bytes})"
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(PendingPut(events, data, sources or {}, done))
        self._pending_bytes += len(data)
        self._wanted.set()
        if not self._durable:
            done.set_result(None)
        return done

    def settle(self) -> Awaitable[None]:
        """Returns a future for all events that were put before this call.

        It is done when they are as safe as ``queue.ack`` promises, and raises `QueueError` if some
        of them were not stored. It need not be awaited.
        """
        if not self._durable:
            return all_done(())
        # Not `done`, as its caller may cancel it. Shielding it would cost every `put` 2.7 µs, and
        # `settle` is rarely called.
        return all_done([put.outcome() for put in (*self._in_flight, *self._pending)])

    # -- writing -------------------------------------------------------------

    async def _write_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(None if self._synced else _MEMORY_ACK_SYNC_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                await self._sync_late()
                continue
            self._wanted.clear()
            while self._pending:
                group = self._take_group()
                await self._write(group)
            if self._closed:
                return

    def _take_group(self) -> list[PendingPut]:
        """Returns the oldest pending puts, up to the bound on one write; at least one."""
        size = taken = 0
        for put in self._pending:
            size += len(put.data)
            if taken and size > self._settings.max_write_bytes:
                break
            taken += 1
        group, self._pending = self._pending[:taken], self._pending[taken:]
        return group

    async def _write(self, group: list[PendingPut]) -> None:
        self._in_flight = group
        try:
            first = await self._in_thread(self._store_group, group)
        except QueueError as error:
            await self._not_written(group, error)
            return
        except Exception as error:  # noqa: BLE001 - the writer survives a store that breaks its word
            self._log.error("queue: the store failed", exc_info=error)
            await self._not_written(group, QueueClosed(f"the store failed: {error!r}"))
            return
        finally:
            self._in_flight = []
        self._feed_group(first, group)
        self._synced = self._durable
        self._wake_readers()
        for put in group:
            self._pending_bytes -= len(put.data)
            put.finish()

    def _feed_group(self, first: int, group: list[PendingPut]) -> None:
        """Counts the events of a group, and keeps them in memory for readers.

        Small puts become one slice, as a slice costs readers several times as much as an event.
        """
        stored: dict[str, int] = {}
        events = Run()
        size = 0
        for put in group:
            for source_id, number in put.sources.items():
                stored[source_id] = stored.get(source_id, 0) + number
            if events and size + len(put.data) > _SLICE_BYTES:
                self._feed.push(first, events, size)
                first += len(events)
                events, size = Run(), 0
            events.append(put.events)
            size += len(put.data)
        self._feed.push(first, events, size)
        self.end = first + len(events)
        if self.when_stored is not None:
            self.when_stored(stored, self.end)

    def _store_group(self, group: list[PendingPut]) -> int:
        return self.store.write(
            [put.data for put in group],
            [len(put.events) for put in group],
            sync=self._durable,
        )

    async def _not_written(self, group: list[PendingPut], error: QueueError) -> None:
        if not self._durable and not self._closed:
            # These were acknowledged already, so they stay. If that lasts, the bound on pending
            # bytes sheds.
            self._pending = group + self._pending
            self._wanted.set()
            await asyncio.sleep(_PENDING_RETRY_SECONDS)
            return
        if not self._durable:
            self._log.error(
                "queue: events acknowledged from memory could not be written and are lost",
                events=sum(len(put.events) for put in group),
                reason=str(error),
            )
        for put in group:
            self._pending_bytes -= len(put.data)
            put.finish(error)

    async def _sync_late(self) -> None:
        try:
            await self._in_thread(self.store.sync)
        except QueueError as error:
            self._log.error("queue: sync failed", reason=str(error))
        self._synced = True

    async def _in_thread(self, work: Callable[..., _T], *args: object) -> _T:
        """Runs the store's code in its thread; what it raises is always an `Exception`."""
        inside = contained_call(work)
        return await asyncio.get_running_loop().run_in_executor(self._thread, inside, *args)

    # -- reading -------------------------------------------------------------

    def reader(self, offset: int) -> QueueReader:
        """Returns a reader that begins at an offset."""
        return QueueReader(self, offset)

    async def release(self, offset: int, now_ms: int) -> int:
        """Notes that no destination needs the events below `offset`; returns the oldest kept one.

        What `hold` keeps stays.
        """
        offset = min((offset, *self._held.values()))
        self._feed.trim(offset)
        return await self._in_thread(self.store.release, offset, now_ms)

    async def hold(self, name: str, offset: int) -> None:
        """Keeps the events from `offset` on until `let_go`, for a destination that is to come."""
        self._held[name] = offset
        # The store must know before the next write, which may remove events to make room.
        await self._in_thread(self.store.release, offset, 0)

    def let_go(self, name: str) -> None:
        """Ends a `hold`; does nothing if there is none."""
        self._held.pop(name, None)

    async def erase(
        self, subjects: Subjects, progress: Callable[[int, int], None] = lambda *_: None
    ) -> Erased:
        """Replaces the subjects' events that were put before with marks; see `Store.erase`."""
        under_way = [put.outcome() for put in (*self._in_flight, *self._pending)]
        if under_way:
            for outcome in (await asyncio.wait(under_way))[0]:
                outcome.exception()  # events that were not stored need not be erased
        await self._in_thread(self.store.seal)
        work = partial(self.store.erase, partial(redact, subjects), progress)
        erased = await finished(asyncio.to_thread(work))
        self._feed.clear()
        return erased

    def from_memory(self, offset: int) -> Slice | None:
        """Returns the events at an offset if they are still in memory."""
        return self._feed.get(offset)

    async def grown_beyond(self, offset: int) -> None:
        """Waits until there is an event at `offset`."""
        while self.end <= offset:
            grown = asyncio.get_running_loop().create_future()
            self._grown.append(grown)
            await grown

    def _wake_readers(self) -> None:
        waiting, self._grown = self._grown, []
        for grown in waiting:
            if not grown.done():
                grown.set_result(None)
