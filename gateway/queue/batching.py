"""The front of the queue: group commit, bounds, and reading for destinations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.components.store import Erased, Reader, Store
from gateway.config.settings import QueueSettings
from gateway.errors import QueueClosed, QueueError, QueueFull
from gateway.events.envelope.sealed import Run, stored_events
from gateway.events.event import Event
from gateway.events.subjects import Subjects, redact
from gateway.queue.memory_feed import MemoryFeed, Slice

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["BatchingQueue", "QueueReader"]

_PENDING_RETRY_SECONDS = 1
_MEMORY_ACK_SYNC_SECONDS = 1.0
_SLICE_BYTES = 65_536
_T = TypeVar("_T")


@dataclass(slots=True)
class _Group:
    """The events of one `put`."""

    events: Sequence[Event]
    data: bytes
    sources: Mapping[str, int]
    done: asyncio.Future[None]
    settled: asyncio.Future[None] | None = None

    def outcome(self) -> asyncio.Future[None]:
        """Done as `done` is, but not cancelled when the caller of `put` stops waiting."""
        if self.settled is None:
            self.settled = asyncio.get_running_loop().create_future()
        return self.settled

    def finish(self, error: QueueError | None = None) -> None:
        """Tell who waits."""
        for future in (self.done, self.settled):
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


class BatchingQueue:
    """Takes events from intake, stores them in groups, and feeds destinations.

    Args:
        store: opened and closed here; all its blocking work runs in threads.

    Attributes:
        end: offset of the next event to come.
        when_stored: called for events that were stored, with how many there are of each source and
            the new `end`.
    """

    def __init__(self, store: Store, settings: QueueSettings, log: FilteringBoundLogger) -> None:
        self.store = store
        self._settings = settings
        self._log = log
        self._durable = settings.ack == "fsync"
        self._feed = MemoryFeed(settings.memory_feed_bytes)
        self._pending: list[_Group] = []
        self._pending_bytes = 0
        self._in_flight: list[_Group] = []
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
        """Recover the store and begin to write."""
        await self._in_thread(self.store.open)
        self.end = self.store.status().end
        self._closed = False
        self._writer = asyncio.create_task(self._write_forever(), name="queue writer")

    async def stop(self) -> None:
        """Write what is pending, then close the store. Safe twice and without `start`."""
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

    def put(
        self, events: Sequence[Event], data: bytes, sources: Mapping[str, int] | None = None
    ) -> Awaitable[None]:
        """Add events.

        Args:
            data: the same events as a JSON array: one by one, or `gateway.events.envelope.sealed`.
            sources: how many of them there are of each source; for `when_stored`.

        Returns:
            Done when the events are as safe as ``queue.ack`` promises; raises `QueueError` if they
            could not be stored.

        Raises:
            QueueFull: too many bytes are waiting to be written.
            QueueClosed: the gateway is stopping.
        """
        if self._closed:
            raise QueueClosed("the gateway is stopping")
        if self._pending_bytes + len(data) > self._settings.max_pending_bytes:
            raise QueueFull(
                f"{self._pending_bytes} bytes wait to be written "
                f"(queue.max_pending_bytes = {self._settings.max_pending_bytes})"
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(_Group(events, data, sources or {}, done))
        self._pending_bytes += len(data)
        self._wanted.set()
        if not self._durable:
            done.set_result(None)
        return done

    def settle(self) -> Awaitable[None]:
        """Done when all that was put before this call is as safe as ``queue.ack`` promises.

        Raises `QueueError` when awaited if some of it was not stored. It need not be awaited.
        """
        if not self._durable:
            return _all_done(())
        # Not their `done`, which a caller may cancel. To shield it would cost every `put` 2.7 µs,
        # and few ever ask.
        return _all_done([group.outcome() for group in (*self._in_flight, *self._pending)])

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
                groups = self._take_groups()
                await self._write(groups)
            if self._closed:
                return

    def _take_groups(self) -> list[_Group]:
        """The oldest pending groups, up to the bound on one write; at least one."""
        size = taken = 0
        for group in self._pending:
            size += len(group.data)
            if taken and size > self._settings.max_write_bytes:
                break
            taken += 1
        groups, self._pending = self._pending[:taken], self._pending[taken:]
        return groups

    async def _write(self, groups: list[_Group]) -> None:
        self._in_flight = groups
        try:
            first = await self._in_thread(self._store_groups, groups)
        except QueueError as error:
            await self._not_written(groups, error)
            return
        except Exception as error:  # noqa: BLE001 - the writer outlives a store that breaks its word
            self._log.error("queue: the store failed", exc_info=error)
            await self._not_written(groups, QueueClosed(f"the store failed: {error!r}"))
            return
        finally:
            self._in_flight = []
        self._feed_groups(first, groups)
        self._synced = self._durable
        self._wake_readers()
        for group in groups:
            self._pending_bytes -= len(group.data)
            group.finish()

    def _feed_groups(self, first: int, groups: list[_Group]) -> None:
        """Count the events of groups, and keep them in memory for readers.

        Small groups are put together: what readers do for a slice costs several times what they do
        for an event.
        """
        stored: dict[str, int] = {}
        events = Run()
        size = 0
        for group in groups:
            for source_id, number in group.sources.items():
                stored[source_id] = stored.get(source_id, 0) + number
            if events and size + len(group.data) > _SLICE_BYTES:
                self._feed.push(first, events, size)
                first += len(events)
                events, size = Run(), 0
            events.append(group.events)
            size += len(group.data)
        self._feed.push(first, events, size)
        self.end = first + len(events)
        if self.when_stored is not None:
            self.when_stored(stored, self.end)

    def _store_groups(self, groups: list[_Group]) -> int:
        return self.store.write(
            [group.data for group in groups],
            [len(group.events) for group in groups],
            sync=self._durable,
        )

    async def _not_written(self, groups: list[_Group], error: QueueError) -> None:
        if not self._durable and not self._closed:
            # Answered already: they stay, and the bound on pending bytes sheds if that lasts.
            self._pending = groups + self._pending
            self._wanted.set()
            await asyncio.sleep(_PENDING_RETRY_SECONDS)
            return
        if not self._durable:
            self._log.error(
                "queue: events acknowledged from memory could not be written and are lost",
                events=sum(len(group.events) for group in groups),
                reason=str(error),
            )
        for group in groups:
            self._pending_bytes -= len(group.data)
            group.finish(error)

    async def _sync_late(self) -> None:
        try:
            await self._in_thread(self.store.sync)
        except QueueError as error:
            self._log.error("queue: sync failed", reason=str(error))
        self._synced = True

    async def _in_thread(self, work: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    # -- reading -------------------------------------------------------------

    def reader(self, offset: int) -> QueueReader:
        """Reads forward from an offset."""
        return QueueReader(self, offset)

    async def release(self, offset: int, now_ms: int) -> int:
        """All destinations are past `offset`; returns the oldest offset that is kept."""
        self._feed.trim(offset)
        return await self._in_thread(self.store.release, offset, now_ms)

    async def erase(
        self, subjects: Subjects, progress: Callable[[int, int], None] = lambda *_: None
    ) -> Erased:
        """Put marks in place of the subjects' events that were put before; see `Store.erase`."""
        under_way = [group.outcome() for group in (*self._in_flight, *self._pending)]
        if under_way:
            for outcome in (await asyncio.wait(under_way))[0]:
                outcome.exception()  # what was not stored need not be erased
        await self._in_thread(self.store.seal)
        work = partial(self.store.erase, partial(redact, subjects), progress)
        erased = await _unbroken(asyncio.to_thread(work))
        self._feed.clear()
        return erased

    def from_memory(self, offset: int) -> Slice | None:
        """The events at an offset if they are still in memory."""
        return self._feed.get(offset)

    async def grown_beyond(self, offset: int) -> None:
        """Wait until there is an event at `offset`."""
        while self.end <= offset:
            grown = asyncio.get_running_loop().create_future()
            self._grown.append(grown)
            await grown

    def _wake_readers(self) -> None:
        waiting, self._grown = self._grown, []
        for grown in waiting:
            if not grown.done():
                grown.set_result(None)


class QueueReader:
    """One destination's way through the queue: from memory where possible, else from the store."""

    def __init__(self, queue: BatchingQueue, offset: int) -> None:
        self._queue = queue
        self._stored: Reader | None = None
        self.position = offset

    @property
    def behind(self) -> bool:
        """Whether there are events to read without waiting for more to be put."""
        return self.position < self._queue.end

    def read_now(self) -> Slice | None:
        """The next events if they are in memory, without waiting; must not run beside `read`."""
        if self._stored is not None:
            return None  # `read` changes over, as files are closed in a thread
        found = self._queue.from_memory(self.position)
        if found is not None:
            self.position = found.end
        return found

    async def read(self) -> Slice:
        """The next events, at least one; waits until there are some.

        The slice begins after `position` where events in between are no longer there. If it is
        cancelled, `rewind` must follow before the next read.
        """
        while True:
            await self._queue.grown_beyond(self.position)
            found = self._queue.from_memory(self.position)
            if found is not None:
                await self.close()
            else:
                found = await _unbroken(asyncio.to_thread(self._read_stored))
            if found is not None:
                self.position = found.end
                return found

    async def rewind(self, offset: int) -> None:
        """Go on reading at `offset`."""
        await self.close()
        self.position = offset

    async def close(self) -> None:
        """Release the store's files."""
        if self._stored is not None:
            stored, self._stored = self._stored, None
            await asyncio.to_thread(stored.close)

    def _read_stored(self) -> Slice | None:
        if self._stored is None:
            self._stored = self._queue.store.reader(self.position)
        frame = self._stored.next()
        if frame is None:
            # Damage up to the end: there is nothing left to read before new events come.
            self.position = max(self.position, self._queue.store.status().end)
            return None
        events = stored_events(frame.payload)
        skip = max(0, self.position - frame.offset)
        return Slice(frame.offset, events, len(frame.payload)).after(skip)


def _all_done(outstanding: Iterable[asyncio.Future[None]]) -> asyncio.Future[None]:
    """Done once all of them are; has the first error among them."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = set(outstanding)

    def one_done(one: asyncio.Future[None]) -> None:
        waiting.discard(one)
        if done.done():
            return
        error = one.exception()
        if error is not None:
            done.set_exception(error)
            done.exception()  # seen, even if nobody awaits it
        elif not waiting:
            done.set_result(None)

    if not waiting:
        done.set_result(None)
    for one in tuple(waiting):
        one.add_done_callback(one_done)
    return done


async def _unbroken(work: Coroutine[Any, Any, _T]) -> _T:
    """Await work in a thread; if cancelled, only once the thread is done with what it uses."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
