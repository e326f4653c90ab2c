"""What a running gateway does beside the road of an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.config.settings import QueueSettings, TraceConfig
from gateway.errors import StateError
from gateway.privacy.suppression import Suppressions
from gateway.queue.batching import BatchingQueue
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.rollouts.controller import Rollouts
from gateway.runtime.housekeeping import Upkeep
from gateway.runtime.rates import Rates
from gateway.state import Commit, Discard, State, Tally, reading
from gateway.state.audit_trail import Audit
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import Books
from tests.state.test_state import letter


class House:
    """An upkeep over a state file, with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.now_ms = 1_000_000_000
        self.state = State(folder / "state.sqlite")
        self.suppressed = Suppressions(folder / "suppressed.sqlite")
        log = structlog.get_logger()
        audit = Audit(self.state, self.clock, log)
        self.rollouts = Rollouts(folder, audit, self.clock, log)
        store = MemoryStore(MemoryConfig(), self.clock)
        self.upkeep = Upkeep(
            BatchingQueue(store, QueueSettings(), log),
            self.state,
            Books(Ledger()),
            self.suppressed,
            {},
            lambda: {"crm": 3, "lake": 100},
            lambda: TraceConfig(retention_hours=1, max_discards=1000),
            Rates(),
            self.rollouts,
            self.clock,
            log,
        )

    def clock(self) -> int:
        return self.now_ms


@pytest.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.state.start()
    yield house
    house.suppressed.close()
    await house.state.stop()


async def test_dead_letters_are_bounded(house: House) -> None:
    """Beyond the bound the oldest go, of that destination; they stay counted, and it is logged."""
    letters = [letter(n, last_ms=n) for n in range(5)]
    await house.state.commit(Commit("crm", 5, dead=letters))
    await house.state.commit(Commit("lake", 5, dead=letters))
    with capture_logs() as logs:
        await house.upkeep.trim_dead_letters()
        await house.upkeep.trim_dead_letters()

    assert [one.offset for one in await house.state.dead_letters("crm")] == [4, 3, 2]
    assert len(await house.state.dead_letters("lake")) == 5
    assert (await house.state.standing("crm"))[1].dead == {"rejected": 5}
    assert [log["events"] for log in logs] == [2]


async def test_once_a_second_what_is_old_is_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discards beyond the time that they are remembered, and dead letters once a minute."""
    monkeypatch.setattr("gateway.runtime.housekeeping._EVERY_SECONDS", 0.001)
    discards = [Discard(ms, "web", f"m{ms}", "duplicate") for ms in (1, house.now_ms)]
    await house.state.add_tally(Tally(discards=discards))
    await house.state.commit(Commit("crm", 5, dead=[letter(n, last_ms=n) for n in range(5)]))
    task = asyncio.create_task(house.upkeep.run())
    async with asyncio.timeout(10):
        while await house.state.call(reading.discards, "m1"):
            await asyncio.sleep(0.001)
        assert len(await house.state.dead_letters("crm")) == 5
        house.now_ms += 60_000
        while len(await house.state.dead_letters("crm")) > 3:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})
    assert await house.state.call(reading.discards, discards[1].message_id)


async def test_what_fails_is_said_once_and_stops_nothing_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a defect nor a store that cannot be used ends the rest, or fills the log."""
    monkeypatch.setattr("gateway.runtime.housekeeping._EVERY_SECONDS", 0.001)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        ticks += 1
        raise RuntimeError("a defect")

    async def prune(*_: object) -> bool:
        raise StateError("no room")

    monkeypatch.setattr(house.rollouts, "tick", tick)
    monkeypatch.setattr(house.state, "prune", prune)
    with capture_logs() as logs:
        task = asyncio.create_task(house.upkeep.run())
        async with asyncio.timeout(10):
            while ticks < 5:
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait({task})
    assert sorted(log["event"] for log in logs) == [
        "upkeep failed unexpectedly",
        "what is about old events cannot be removed",
    ]
