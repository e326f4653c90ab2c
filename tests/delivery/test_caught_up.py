"""A destination is told when no event waits for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery import worker as worker_module
from gateway.errors import Retryable
from tests.support.delivery_bench import Bench, Scripted


class Told(Scripted):
    """Counts how often it was told, and can refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []
        self.refuses = False

    async def caught_up(self) -> None:
        self.told.append(len(self.delivered))
        if self.refuses:
            raise Retryable("not now")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_CAUGHT_UP_SECONDS", 0.01)


async def until_told(destination: Told, times: int) -> None:
    async with asyncio.timeout(5):
        while len(destination.told) < times:
            await asyncio.sleep(0.01)


async def test_is_told_again_and_again_while_nothing_waits(bench: Bench) -> None:
    """Once all events are delivered, the destination is told, and told again, errors or not."""
    destination = Told()
    destination.refuses = True
    await bench.put("a", "b")
    worker = bench.worker(destination)
    bench.start(worker)
    await bench.reaches(worker, 2)
    destination.told.clear()
    await until_told(destination, 3)
    assert set(destination.told) == {2}


async def test_is_not_told_while_events_wait(bench: Bench) -> None:
    """A destination that fails is not told, since its events wait."""

    class Fails(Told):
        async def send(self, batch: object) -> None:
            raise Retryable("down")

    destination = Fails()
    await bench.put("a")
    bench.start(bench.worker(destination))
    await asyncio.sleep(0.2)
    assert destination.told == []
