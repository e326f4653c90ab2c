"""A destination that crashes or hangs fails as any other does: its events wait or die alone."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import pytest

from gateway.components import isolation
from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.errors import GatewayError
from tests.support.crashes import CRASHES
from tests.support.delivery_bench import Bench, Scripted
from tests.support.waiting import until


class Crashing(Scripted):
    """Raises on one event as often as told."""

    def __init__(self, crash: type[BaseException], times: int) -> None:
        super().__init__()
        self.crash, self.times = crash, times

    async def send(self, batch: Batch) -> None:
        if any(event.message_id == "poison" for event in batch) and self.times:
            self.times -= 1
            raise self.crash
        await super().send(batch)


@pytest.mark.parametrize("crash", CRASHES)
async def test_a_crash_in_send_is_tried_again(bench: Bench, crash: type[BaseException]) -> None:
    """Whatever `send` raises, the events are tried again, and those behind them are delivered."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # as `gateway serve`
    try:
        await bench.put("one", "poison", "two")
        destination = Crashing(crash, times=1)
        worker = bench.worker(destination, policy=BatchPolicy(max_events=1, max_age_seconds=0))
        bench.start(worker)
        await bench.settled(worker)
    finally:
        signal.signal(signal.SIGINT, before)

    assert sorted(destination.delivered) == ["one", "poison", "two"]
    assert worker.sender.failures == 1


async def test_an_event_that_always_crashes_becomes_a_dead_letter(bench: Bench) -> None:
    """An event that crashes `send` each time, while others are delivered, is given up."""
    await bench.put("one", "poison")
    destination = Crashing(SystemExit, times=1_000_000)
    worker = bench.worker(destination)
    bench.start(worker)
    async with asyncio.timeout(10):
        while not worker.counts.dead:
            await bench.put("more")
            await asyncio.sleep(0.005)
    await bench.settled(worker)

    assert worker.counts.dead.total() == 1
    assert {*destination.delivered} == {"one", "more"}


class Stubborn(Destination):
    """Ignores cancellations until it is released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.sends = 0

    async def send(self, batch: Batch) -> None:
        self.sends += 1
        while not self.release.is_set():
            with suppress(asyncio.CancelledError):
                await self.release.wait()


async def test_a_send_that_ignores_its_time_out_is_shown_and_not_doubled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health shows a send that does not end, and no other send begins beside it."""
    monkeypatch.setattr(isolation, "CANCEL_SECONDS", 0.01)
    await bench.put("a")
    destination = Stubborn()
    worker = bench.worker(destination, timeout=0.01)
    bench.start(worker)
    await until(lambda: "ignores the cancellation" in worker.condition.error)

    assert (worker.condition.state, destination.sends) == ("retrying", 1)
    destination.release.set()
    await bench.settled(worker)
    assert worker.condition.state == "ok"


async def test_a_destination_that_was_not_started_in_time_is_started_before_it_sends(
    bench: Bench,
) -> None:
    """Nothing is sent before a late start succeeds, and health says what is waited for."""
    await bench.put("a")
    destination = Scripted()
    worker = bench.worker(destination)
    starts = 0

    async def start() -> None:
        nonlocal starts
        starts += 1
        assert not destination.calls
        if starts < 3:
            raise GatewayError("not yet")

    worker.sender.start_first(start, "destinations.d: has not started within 10 s")
    assert worker.condition.error == "destinations.d: has not started within 10 s"
    bench.start(worker)
    await bench.settled(worker)

    assert (starts, destination.delivered) == (3, ["a"])
    assert worker.condition.state == "ok"
