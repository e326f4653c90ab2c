"""Housekeeping of a running gateway."""

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
from gateway.runtime.housekeeping import Housekeeping, HousekeepingContext
from gateway.runtime.jobs import Jobs
from gateway.runtime.rates import Rates
from gateway.state import Commit, Discard, State, Tally, reading
from gateway.state.audit_trail import Audit
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import SourceLedger
from tests.support.dead_letters import make_dead_letter


class Harness:
    """Housekeeping over a state file, with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.now_ms = 1_000_000_000
        self.state = State(folder / "state.sqlite")
        self.suppressed = Suppressions(folder / "suppressed.sqlite")
        log = structlog.get_logger()
        audit = Audit(self.state, self.clock, log)
        self.rollouts = Rollouts(folder, audit, self.clock, log)
        store = MemoryStore(MemoryConfig(), self.clock)
        self.housekeeping = Housekeeping(
            HousekeepingContext(
                queue=BatchingQueue(store, QueueSettings(), log),
                state=self.state,
                source_ledger=SourceLedger(Ledger()),
                suppressed=self.suppressed,
                workers={},
                rates=Rates(),
                rollouts=self.rollouts,
                jobs=Jobs(self.state, self.clock, log, runs=True),
                max_dead_letters=lambda: {"crm": 3, "lake": 100},
                trace=lambda: TraceConfig(retention_hours=1, max_discards=1000),
                clock=self.clock,
                log=log,
            )
        )

    def clock(self) -> int:
        return self.now_ms


@pytest.fixture(name="harness")
async def _harness(tmp_path: Path) -> AsyncIterator[Harness]:
    harness = Harness(tmp_path)
    await harness.state.start()
    yield harness
    harness.suppressed.close()
    await harness.state.stop()


async def test_dead_letters_are_bounded(harness: Harness) -> None:
    """The oldest dead letters of a destination beyond its bound go, stay counted and are logged."""
    letters = [make_dead_letter(n, last_ms=n) for n in range(5)]
    await harness.state.commit(Commit("crm", 5, dead=letters))
    await harness.state.commit(Commit("lake", 5, dead=letters))
    with capture_logs() as logs:
        await harness.housekeeping.trim_dead_letters()
        await harness.housekeeping.trim_dead_letters()

    assert [one.offset for one in await harness.state.dead_letters("crm")] == [4, 3, 2]
    assert len(await harness.state.dead_letters("lake")) == 5
    assert (await harness.state.standing("crm"))[1].dead == {"rejected": 5}
    assert [log["events"] for log in logs] == [2]


async def test_once_a_second_what_is_old_is_forgotten(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old discards are deleted each second, dead letters beyond the bound each minute."""
    monkeypatch.setattr("gateway.runtime.housekeeping._EVERY_SECONDS", 0.001)
    discards = [Discard(ms, "web", f"m{ms}", "duplicate") for ms in (1, harness.now_ms)]
    await harness.state.add_tally(Tally(discards=discards))
    await harness.state.commit(
        Commit("crm", 5, dead=[make_dead_letter(n, last_ms=n) for n in range(5)])
    )
    task = asyncio.create_task(harness.housekeeping.run())
    async with asyncio.timeout(10):
        while await harness.state.call(reading.discards, "m1"):
            await asyncio.sleep(0.001)
        assert len(await harness.state.dead_letters("crm")) == 5
        harness.now_ms += 60_000
        while len(await harness.state.dead_letters("crm")) > 3:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait({task})
    assert await harness.state.call(reading.discards, discards[1].message_id)


async def test_what_fails_is_said_once_and_stops_nothing_else(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that keeps failing is logged once, and the other jobs go on."""
    monkeypatch.setattr("gateway.runtime.housekeeping._EVERY_SECONDS", 0.001)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        ticks += 1
        raise RuntimeError("a defect")

    async def prune(*_: object) -> bool:
        raise StateError("no room")

    monkeypatch.setattr(harness.rollouts, "tick", tick)
    monkeypatch.setattr(harness.state, "prune", prune)
    with capture_logs() as logs:
        task = asyncio.create_task(harness.housekeeping.run())
        async with asyncio.timeout(10):
            while ticks < 5:
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait({task})
    assert sorted(log["event"] for log in logs) == [
        "housekeeping failed unexpectedly",
        "records of old events cannot be deleted",
    ]
