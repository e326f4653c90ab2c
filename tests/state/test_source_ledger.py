"""The source ledger counts each event once, whatever ends in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from gateway.errors import StateError
from gateway.events.event import Event, encode_events
from gateway.queue.disk import DiskConfig, DiskStore
from gateway.state import Discard, State, Tally, reading
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import SourceLedger
from gateway.state.ledger.statement import statement


class Harness:
    """A queue on disk, a state file and the source ledger over both; `restart` as after SIGKILL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State(folder / "state.sqlite")
        self.store = self._store()
        self.source_ledger = SourceLedger(Ledger(), self.state, structlog.get_logger())

    def _store(self) -> DiskStore:
        return DiskStore(self.folder / "queue", DiskConfig(), lambda: 0, structlog.get_logger())

    async def start(self) -> None:
        self.store.open()
        await self.state.start()
        await self.source_ledger.start(self.store)

    async def restart(self, *, killed: bool = True) -> None:
        if not killed:
            await self.source_ledger.stop()
        elif self.source_ledger._writer is not None:
            self.source_ledger._writer.cancel()
        await self.state.stop()
        self.store.close()
        self.state = State(self.folder / "state.sqlite")
        self.store = self._store()
        self.source_ledger = SourceLedger(Ledger(), self.state, structlog.get_logger())
        await self.start()

    def put(self, *sources: str, counted: bool = True) -> None:
        """Stores events of these sources; uncounted means killed right after the write."""
        data = encode_events([Event(type="track", source_id=source) for source in sources])
        first = self.store.write([data], [len(sources)], sync=True)
        if counted:
            self.source_ledger.stored(Counter(sources), first + len(sources))

    @property
    def accepted(self) -> dict[str, int]:
        return {id_: counts.accepted for id_, counts in self.source_ledger.ledger.sources.items()}


@pytest.fixture(name="harness")
async def _harness(tmp_path: Path) -> AsyncIterator[Harness]:
    harness = Harness(tmp_path)
    await harness.start()
    yield harness
    await harness.source_ledger.stop()
    await harness.state.stop()
    harness.store.close()


def discard(code: str = "duplicate", message_id: str = "m") -> Discard:
    return Discard(5, "web", message_id, code)


async def test_what_was_accepted_outlives_the_process(harness: Harness) -> None:
    """Counts continue after a regular stop, and after a kill between write and count."""
    harness.put("web", "web", "app")
    await harness.restart(killed=False)
    assert harness.accepted == {"web": 2, "app": 1}
    harness.put("web", counted=False)
    await harness.restart()
    assert harness.accepted == {"web": 3, "app": 1}
    assert harness.source_ledger.missing == 0


async def test_a_checkpoint_is_not_counted_again(harness: Harness) -> None:
    """Each event counts once, whatever a killed process had written."""
    harness.put("web")
    await harness.source_ledger.flush()
    harness.put("web")
    await harness.restart()
    await harness.restart()
    assert harness.accepted == {"web": 2}


async def test_what_was_not_stored_is_written_down_before_the_answer(harness: Harness) -> None:
    """Events that were not stored are on disk when the call returns."""
    await harness.source_ledger.not_stored(
        "web", 2, {"too_deep": 1}, [discard(), discard("too_deep", "n")]
    )
    await harness.restart()
    counts = harness.source_ledger.ledger.source("web")
    assert (counts.duplicate, counts.discarded) == (2, Counter(too_deep=1))
    assert [one.code for one in await harness.state.call(reading.discards, "m")] == ["duplicate"]


async def test_while_the_store_fails_the_answer_goes_first(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked state store delays an answer by at most a second, and no count is lost."""
    real, failures = harness.state.add_tally, [StateError("locked")] * 3

    async def flaky(tally: Tally) -> None:
        if failures:
            raise failures.pop()
        await real(tally)

    monkeypatch.setattr(harness.state, "add_tally", flaky)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._MOST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._AGAIN_SECONDS", 0.01)
    harness.put("web")
    await harness.source_ledger.not_stored("web", 1, {}, [discard()])
    assert failures
    async with asyncio.timeout(10):
        while failures:
            await asyncio.sleep(0.005)
    await harness.source_ledger.flush()
    stored = (await harness.state.sources())["web"]
    assert (stored.accepted, stored.duplicate) == (1, 1)
    assert len(await harness.state.call(reading.discards, "m")) == 1


async def test_damaged_events_are_of_no_source(harness: Harness) -> None:
    """Damaged events count without a source, so that the ledger balances."""
    harness.put("web", counted=False)
    harness.put("web", counted=False)
    (segment,) = (harness.folder / "queue").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[20 + 44 + 3] ^= 0xFF  # in the first frame's payload
    segment.write_bytes(data)
    await harness.restart()
    assert harness.accepted == {"web": 1, "": 1}
    assert harness.source_ledger.missing == 0


async def test_a_new_queue_is_counted_from_its_beginning(harness: Harness) -> None:
    """With the queue removed, old counts stay and new events are added to them."""
    harness.put("web", "web")
    await harness.source_ledger.flush()
    for path in (harness.folder / "queue").glob("*.seg"):
        path.unlink()
    await harness.restart()
    harness.put("web")
    await harness.restart()
    assert harness.accepted == {"web": 3}
    assert harness.source_ledger.missing == 0


async def test_without_a_state_counts_are_kept_in_memory() -> None:
    """Without a state store counts stay in memory."""
    source_ledger = SourceLedger(Ledger())
    source_ledger.stored({"web": 2}, 2)
    await source_ledger.not_stored("web", 1, {"too_deep": 1}, [])
    await source_ledger.stop()
    assert source_ledger.ledger.source("web").received == 4


async def test_few_discards_are_held_while_they_cannot_be_written(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the oldest discards are dropped, but every count is kept."""

    async def broken(tally: Tally) -> None:
        raise StateError("locked")

    real = harness.state.add_tally
    monkeypatch.setattr(harness.state, "add_tally", broken)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._MOST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._MOST_PENDING_DISCARDS", 3)
    for number in range(5):
        await harness.source_ledger.not_stored("web", 1, {}, [discard(message_id=f"m{number}")])
    monkeypatch.setattr(harness.state, "add_tally", real)
    await harness.source_ledger.flush()
    assert (await harness.state.sources())["web"].duplicate == 5
    assert await harness.state.call(reading.discards, "m0") == []
    assert len(await harness.state.call(reading.discards, "m4")) == 1


async def test_a_lost_end_of_the_queue_is_named(tmp_path: Path) -> None:
    """An emptied newest segment must not make the ledger balance."""
    harness = Harness(tmp_path)
    await harness.start()
    harness.put("web", "web", "web")
    await harness.source_ledger.stop()
    await harness.state.stop()
    harness.store.close()
    (newest,) = (tmp_path / "queue").glob("*.seg")
    newest.write_bytes(b"")
    harness.state, harness.store = State(tmp_path / "state.sqlite"), harness._store()
    harness.source_ledger = SourceLedger(Ledger(), harness.state, structlog.get_logger())
    await harness.start()
    found = await harness.state.call(statement, harness.store.status().end)

    assert [(one.where, one.missing, one.first, one.end) for one in found.findings] == [
        ("queue", 3, 0, 3)
    ]
    await harness.source_ledger.stop()
    await harness.state.stop()
    harness.store.close()
