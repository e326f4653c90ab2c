"""The front of the queue: group commit, bounds, acknowledgement and reading."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
import structlog

from gateway.components import isolation
from gateway.config.settings import QueueSettings
from gateway.errors import QueueClosed, QueueFull
from gateway.events.event import Event, encode_events
from gateway.events.timestamps import now_ms
from gateway.queue.batching import BatchingQueue
from gateway.queue.memory import MemoryConfig, MemoryStore
from tests.support.crashes import CRASHES


class SlowStore(MemoryStore):
    """A memory store whose writes wait until the test releases them, and fail if it says so."""

    def __init__(self) -> None:
        super().__init__(MemoryConfig(), now_ms)
        self.go = threading.Event()
        self.entered = threading.Event()
        self.failures: list[BaseException] = []
        self.writes: list[int] = []
        self.syncs = 0

    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        self.entered.set()
        assert self.go.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        self.writes.append(sum(counts))
        return super().write(chunks, counts, sync=sync)

    def sync(self) -> None:
        self.syncs += 1


def make_queue(store: MemoryStore, **settings: object) -> BatchingQueue:
    return BatchingQueue(store, QueueSettings(**settings), structlog.get_logger())  # type: ignore[arg-type]


def put(queue: BatchingQueue, *ids: str) -> asyncio.Future[None]:
    events = [Event(type="track", message_id=i) for i in ids]
    return asyncio.ensure_future(queue.put(events, encode_events(events)))


async def entered(store: SlowStore) -> None:
    assert await asyncio.to_thread(store.entered.wait, 10)


async def test_what_arrives_during_a_write_goes_into_one_next_write() -> None:
    """Many requests share one write, and with it one fsync."""
    store = SlowStore()
    queue = make_queue(store)
    await queue.start()
    first = put(queue, "0")
    await entered(store)
    waiting = [put(queue, str(n)) for n in range(1, 50)]
    store.go.set()
    await asyncio.gather(first, *waiting)
    await queue.stop()

    assert store.writes == [1, 49]


async def test_small_requests_are_read_together_up_to_a_bound() -> None:
    """The events of one write come in few slices of bounded size, each once and in order."""
    store = SlowStore()
    queue = make_queue(store)
    counted: list[tuple[dict[str, int], int]] = []
    queue.when_stored = lambda sources, end: counted.append((dict(sources), end))
    await queue.start()
    first = put(queue, "first")
    await entered(store)
    large = [Event(type="track", message_id=str(n), event="x" * 20_000) for n in range(10)]
    puts = [queue.put([one], encode_events([one]), {"web": 1}) for one in large]
    store.go.set()
    await asyncio.gather(first, *puts)
    reader = queue.reader(1)
    lengths: list[int] = []
    seen: list[Event] = []
    while reader.behind:
        slice_ = await reader.read()
        lengths.append(len(slice_.events))
        seen += slice_.events
    await queue.stop()

    assert seen == large
    assert lengths == [3, 3, 3, 1]
    assert counted[1:] == [({"web": 10}, 11)]


async def test_put_is_done_only_once_the_store_has_written() -> None:
    """With ack = "fsync" a put is done only once the write has returned."""
    store = SlowStore()
    queue = make_queue(store)
    await queue.start()
    done = put(queue, "a")
    await entered(store)

    assert not done.done()
    store.go.set()
    await done
    assert queue.end == 1
    await queue.stop()


async def test_ack_memory_is_done_at_once_and_synced_later() -> None:
    """With ack = "memory" a put is done at once; stopping writes and syncs at the latest."""
    store = SlowStore()
    queue = make_queue(store, ack="memory")
    await queue.start()
    await put(queue, "a")

    assert store.writes == []
    store.go.set()
    await queue.stop()
    assert store.writes == [1]


async def test_ack_memory_keeps_answered_events_when_a_write_fails() -> None:
    """Events acknowledged from memory are written again after a failure, in order."""
    store = SlowStore()
    store.failures = [QueueFull("disk full")]
    store.go.set()
    queue = make_queue(store, ack="memory")
    await queue.start()
    await put(queue, "a")
    await put(queue, "b")
    reader = queue.reader(0)
    seen: list[str] = []
    while len(seen) < 2:
        seen += [event.message_id for event in (await reader.read()).events]
    await queue.stop()

    assert seen == ["a", "b"]


async def test_over_the_bound_on_pending_bytes_it_sheds() -> None:
    """Events beyond the bound are refused at once, and taken again later."""
    store = SlowStore()
    queue = make_queue(store, max_pending_bytes=200)
    await queue.start()
    first = put(queue, "a" * 50)
    await entered(store)
    second = put(queue, "b" * 50)
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="max_pending_bytes"):
        await put(queue, "c" * 50)
    store.go.set()
    await asyncio.gather(first, second)
    await put(queue, "c" * 50)
    await queue.stop()

    assert queue.pending_bytes == 0
    assert queue.end == 3


async def test_a_request_larger_than_the_bound_is_let_in_when_no_other_waits() -> None:
    """It is the only one in memory then, and would be refused for ever otherwise."""
    queue = make_queue(MemoryStore(MemoryConfig(max_bytes=20), lambda: 0), max_pending_bytes=20)
    await queue.start()
    await put(queue, "a" * 50)
    await queue.release(1, 0)
    await put(queue, "b" * 50)
    await queue.stop()

    assert queue.end == 2


async def test_a_failed_write_fails_all_that_wait_for_it_and_nothing_else() -> None:
    """Each put of the group fails; the next write works, and no offset is lost."""
    store = SlowStore()
    store.failures = [QueueClosed("disk on fire")]
    queue = make_queue(store)
    await queue.start()
    failing = [put(queue, "a"), put(queue, "b")]
    store.go.set()
    results = await asyncio.gather(*failing, return_exceptions=True)
    await put(queue, "c")
    slice_ = await queue.reader(0).read()
    await queue.stop()

    assert [type(r) for r in results] == [QueueClosed, QueueClosed]
    assert [event.message_id for event in slice_.events] == ["c"]


@pytest.mark.parametrize("error", [ZeroDivisionError, *CRASHES])
async def test_a_store_that_breaks_its_word_does_not_end_the_writer(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error of the store is a failed write, and the writer goes on."""
    monkeypatch.setattr(isolation, "is_interrupt", lambda _: False)  # as in `gateway serve`
    store = SlowStore()
    store.failures = [error()]
    store.go.set()
    queue = make_queue(store)
    await queue.start()
    with pytest.raises(QueueClosed):
        await put(queue, "a")
    await put(queue, "b")
    await queue.stop()


async def test_settle_waits_for_what_was_put_before_and_fails_with_it() -> None:
    """A duplicate is acknowledged only if its first copy is stored."""
    store = SlowStore()
    store.failures = [QueueFull("disk full")]
    queue = make_queue(store)
    await queue.start()
    first = put(queue, "a")
    await entered(store)
    settled = asyncio.ensure_future(queue.settle())
    await asyncio.sleep(0)
    assert not settled.done()
    store.go.set()
    results = await asyncio.gather(first, settled, return_exceptions=True)
    await queue.settle()
    await queue.stop()

    assert [type(r) for r in results] == [QueueFull, QueueFull]


async def test_a_caller_that_goes_away_takes_nobody_with_it() -> None:
    """Cancelling one request's wait leaves the write and other requests alone."""
    store = SlowStore()
    queue = make_queue(store)
    await queue.start()
    gone, stays = put(queue, "a"), put(queue, "b")
    settled = asyncio.ensure_future(queue.settle())
    await entered(store)
    gone.cancel()
    settled.cancel()
    store.go.set()
    await stays
    await queue.stop()

    assert queue.end == 2


@pytest.mark.parametrize("asked_first", [True, False])
async def test_settle_waits_for_events_whose_caller_went_away(asked_first: bool) -> None:
    """Events whose caller went away are still written, and `settle` waits for them."""
    store = SlowStore()
    store.failures = [QueueFull("disk full")]
    queue = make_queue(store)
    await queue.start()
    gone = put(queue, "a")
    await entered(store)
    settled = [queue.settle()] if asked_first else []
    gone.cancel()
    await asyncio.sleep(0)
    settled += [queue.settle()]
    store.go.set()
    results = await asyncio.gather(*settled, return_exceptions=True)
    await queue.stop()

    assert {type(r) for r in results} == {QueueFull}


async def test_one_write_takes_no_more_than_its_bound() -> None:
    """A long backlog is written in several frames of bounded size."""
    store = SlowStore()
    queue = make_queue(store, max_write_bytes=150)
    await queue.start()
    first = put(queue, "0")
    await entered(store)
    rest = [put(queue, "x" * 40) for _ in range(6)]
    store.go.set()
    await asyncio.gather(first, *rest)
    await queue.stop()

    assert store.writes[0] == 1
    assert max(store.writes) <= 2
    assert sum(store.writes) == 7


async def test_a_reader_that_is_caught_up_reads_from_memory() -> None:
    """A reader gets the objects that intake put in, without touching the store."""
    queue = make_queue(MemoryStore(MemoryConfig(), now_ms))
    await queue.start()
    events = [Event(type="track", message_id="a")]
    await queue.put(events, encode_events(events))
    slice_ = await queue.reader(0).read()
    await queue.stop()

    assert slice_.events[0] is events[0]


async def test_a_reader_that_lags_reads_from_the_store_and_then_from_memory() -> None:
    """Beyond the feed a reader reads the store, and catches up in order."""
    queue = make_queue(MemoryStore(MemoryConfig(), now_ms), memory_feed_bytes=400)
    await queue.start()
    for n in range(100):
        await put(queue, str(n))
    assert queue.from_memory(0) is None
    assert queue.from_memory(99) is not None
    reader = queue.reader(0)
    seen: list[str] = []
    while len(seen) < 100:
        slice_ = await reader.read()
        assert slice_.offset == len(seen)
        seen += [event.message_id for event in slice_.events]
    await reader.close()
    await queue.stop()

    assert seen == [str(n) for n in range(100)]


async def test_a_reader_begins_in_the_middle_of_a_frame() -> None:
    """A cursor between the events of one write gets the rest of them, once."""
    queue = make_queue(MemoryStore(MemoryConfig(), now_ms), memory_feed_bytes=1)
    await queue.start()
    await put(queue, "a", "b", "c")
    slice_ = await queue.reader(1).read()
    await queue.stop()

    assert (slice_.offset, [e.message_id for e in slice_.events]) == (1, ["b", "c"])


async def test_stopping_writes_what_is_pending_and_refuses_more() -> None:
    """stop() writes what is pending; it is safe twice and without start()."""
    store = SlowStore()
    queue = make_queue(store)
    await queue.start()
    done = put(queue, "a")
    await entered(store)
    later = put(queue, "b")
    await asyncio.sleep(0)
    store.go.set()
    await queue.stop()
    await queue.stop()
    with pytest.raises(QueueClosed):
        await put(queue, "c")
    await make_queue(MemoryStore(MemoryConfig(), now_ms)).stop()

    assert done.done()
    assert later.done()
    assert queue.end == 2


async def test_what_is_held_is_not_released() -> None:
    """A destination that is being added has no cursor yet, and keeps its events none the less."""
    store = MemoryStore(MemoryConfig(), lambda: 0)
    queue = make_queue(store)
    await queue.start()
    await put(queue, "a")
    await put(queue, "b")
    await queue.hold("new", 1)
    await queue.release(2, 0)
    assert 1 in [frame.offset for frame in store.recent(0, 9)]
    queue.let_go("new")
    await queue.release(2, 0)
    assert list(store.recent(0, 9)) == []
    await queue.stop()
