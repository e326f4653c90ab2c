"""Pausing a worker: nothing is sent meanwhile, and nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.delivery.worker import Worker
from gateway.errors import BatchError, Retryable
from gateway.events.subjects import ERASED, Subjects
from gateway.testing import RecordingDestination
from tests.support.delivery_bench import QUICK, Bench, make_bench


@pytest.fixture(name="bench")
async def _bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with make_bench(tmp_path) as bench:
        yield bench


class Slow(Destination):
    """Delivers once the test lets it."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.began = asyncio.Event()
        self.delivered: list[str] = []

    async def send(self, batch: Batch) -> None:
        self.began.set()
        await self.let.wait()
        self.delivered += [event.message_id for event in batch]


async def test_a_send_under_way_ends_first(bench: Bench) -> None:
    """A pause begins once the send under way has its outcome, and nothing is sent twice."""
    slow = Slow()
    worker = bench.worker(slow)
    await bench.state.begin("d", 0)
    bench.start(worker)
    await bench.put("a", "b")
    await slow.began.wait()
    paused = asyncio.Event()

    async def pause() -> None:
        async with worker.paused():
            paused.set()

    pausing = asyncio.create_task(pause())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not paused.is_set()
    slow.let.set()
    await pausing
    await bench.put("c")
    await bench.settled(worker)
    assert slow.delivered == ["a", "b", "c"]
    assert (worker.counts.delivered, worker.missing) == (3, 0)
    assert await bench.state.leaks() == []


async def test_nothing_is_sent_while_it_is_paused(bench: Bench) -> None:
    """Events that come meanwhile are sent afterwards; marks put there meanwhile are seen."""
    destination = RecordingDestination()
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.put("a", user_id="bob")
    await bench.settled(worker)
    async with worker.paused():
        await bench.put("b", user_id="ada")
        await bench.put("c", user_id="bob")
        await bench.queue.erase(Subjects(frozenset({"ada"})))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(destination.delivered) == 1
    await bench.settled(worker)
    assert [event.message_id for event in destination.delivered] == ["a", "c"]
    assert worker.counts.filtered == {ERASED: 1}
    assert worker.missing == 0


async def test_a_failing_destination_forgets_what_it_had_read(bench: Bench) -> None:
    """Events that were about to be tried again are read anew, and are marks then."""
    destination = RecordingDestination([Retryable("down")] * 5)
    worker = bench.worker(
        destination,
        policy=BatchPolicy(max_age_seconds=0, max_events=1),
        retry=structs.replace(QUICK, initial_seconds=0.2, max_seconds=0.2),
    )
    bench.start(worker)
    await bench.put("a", "b", user_id="ada")
    while not destination.batches:
        await asyncio.sleep(0.001)
    await bench.queue.erase(Subjects(frozenset({"ada"})))
    async with worker.paused():
        pass
    before = len(destination.batches)
    await bench.settled(worker)
    assert len(destination.batches) == before
    assert worker.counts.filtered == {ERASED: 2}
    assert worker.missing == 0


async def test_a_cancelled_pause_changes_nothing(bench: Bench) -> None:
    """If a pause is cancelled while a send is under way, the worker goes on as before."""
    slow = Slow()
    worker = bench.worker(slow)
    bench.start(worker)
    await bench.put("a")
    await slow.began.wait()

    async def pause() -> None:
        async with worker.paused():
            raise AssertionError("the send is still under way")

    pausing = asyncio.create_task(pause())
    await asyncio.sleep(0.01)
    pausing.cancel()
    await asyncio.wait({pausing})
    slow.let.set()
    await bench.put("b")
    await bench.settled(worker)
    assert slow.delivered == ["a", "b"]


async def test_one_that_does_not_run_can_be_paused(bench: Bench) -> None:
    """A worker can be paused before it begins and after it has ended; two pauses take turns."""
    worker = bench.worker(RecordingDestination())
    async with worker.paused():
        pass
    await bench.put("a")
    bench.start(worker)

    async def pause() -> None:
        async with worker.paused():
            await asyncio.sleep(0)

    await asyncio.gather(*(pause() for _ in range(5)))
    await bench.settled(worker)
    worker.drain()
    await asyncio.gather(*bench.tasks)
    async with worker.paused():
        pass
    assert worker.counts.delivered == 1


async def test_what_was_sent_of_a_batch_is_not_sent_again(bench: Bench) -> None:
    """The rest of a batch waits in the lane, in order, and is sent next."""
    let = asyncio.Event()

    class Halves(RecordingDestination):
        async def send(self, batch: Batch) -> None:
            if len(self.batches) == 1:
                await let.wait()
            await super().send(batch)

    destination = Halves()
    worker = bench.worker(destination, ordering=True)  # one event of a user at a time
    await bench.state.begin("d", 0)
    await bench.put("a", "b", "c", user_id="ada")
    bench.start(worker)
    while not destination.delivered:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    pausing = asyncio.create_task(_paused(worker))
    await asyncio.sleep(0.01)
    let.set()
    await pausing
    assert worker.cursor == 3
    await bench.settled(worker)
    assert [event.message_id for event in destination.delivered] == ["a", "b", "c"]
    assert (worker.counts.delivered, worker.missing) == (3, 0)
    assert await bench.state.leaks() == []


async def _paused(worker: Worker) -> None:
    async with worker.paused():
        pass


async def test_one_that_is_retired_ends(bench: Bench) -> None:
    """A retired worker ends with its cursor past what it has sent, and failed events stay."""
    first = RecordingDestination([BatchError({0: Retryable("not now")})])
    worker = bench.worker(first, retry=structs.replace(QUICK, initial_seconds=60, max_seconds=60))
    await bench.state.begin("d", 0)
    await bench.put("a", "b")
    bench.start(worker)
    await bench.reaches(worker, 2)
    async with worker.paused():
        worker.retire()
    await asyncio.wait_for(asyncio.gather(*bench.tasks), 10)
    assert (worker.waiting, worker.missing) == (1, 0)
    assert (await bench.state.standing("d"))[0] == 1
    await bench.put("c")
    await asyncio.sleep(0.02)
    assert [event.message_id for event in first.delivered] == ["b"]
