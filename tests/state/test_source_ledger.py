"""The books of the sources: what came in is counted once, whatever ends in between."""

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
from gateway.state.ledger.source_ledger import Books
from gateway.state.ledger.statement import statement


class House:
    """A queue on disk, a state file and the books over both; `restart` as after SIGKILL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State(folder / "state.sqlite")
        self.store = self._store()
        self.books = Books(Ledger(), self.state, structlog.get_logger())

    def _store(self) -> DiskStore:
        return DiskStore(self.folder / "queue", DiskConfig(), lambda: 0, structlog.get_logger())

    async def start(self) -> None:
        self.store.open()
        await self.state.start()
        await self.books.start(self.store)

    async def restart(self, *, killed: bool = True) -> None:
        if not killed:
            await self.books.stop()
        elif self.books._writer is not None:
            self.books._writer.cancel()
        await self.state.stop()
        self.store.close()
        self.state = State(self.folder / "state.sqlite")
        self.store = self._store()
        self.books = Books(Ledger(), self.state, structlog.get_logger())
        await self.start()

    def put(self, *sources: str, counted: bool = True) -> None:
        """Store events of these sources; not counted is as if killed right after the write."""
        data = encode_events([Event(type="track", source_id=source) for source in sources])
        first = self.store.write([data], [len(sources)], sync=True)
        if counted:
            self.books.stored(Counter(sources), first + len(sources))

    @property
    def accepted(self) -> dict[str, int]:
        return {id_: counts.accepted for id_, counts in self.books.ledger.sources.items()}


@pytest.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.start()
    yield house
    await house.books.stop()
    await house.state.stop()
    house.store.close()


def discard(code: str = "duplicate", message_id: str = "m") -> Discard:
    return Discard(5, "web", message_id, code)


async def test_what_was_accepted_outlives_the_process(house: House) -> None:
    """Counts go on after a tidy end, and after a kill between the write and the count."""
    house.put("web", "web", "app")
    await house.restart(killed=False)
    assert house.accepted == {"web": 2, "app": 1}
    house.put("web", counted=False)
    await house.restart()
    assert house.accepted == {"web": 3, "app": 1}
    assert house.books.missing == 0


async def test_a_checkpoint_is_not_counted_again(house: House) -> None:
    """Whatever was written down when it was killed, each event counts once."""
    house.put("web")
    await house.books.flush()
    house.put("web")
    await house.restart()
    await house.restart()
    assert house.accepted == {"web": 2}


async def test_what_was_not_stored_is_written_down_before_the_answer(house: House) -> None:
    """After the call returns a kill changes nothing any more."""
    await house.books.not_stored("web", 2, {"too_deep": 1}, [discard(), discard("too_deep", "n")])
    await house.restart()
    counts = house.books.ledger.source("web")
    assert (counts.duplicate, counts.discarded) == (2, Counter(too_deep=1))
    assert [one.code for one in await house.state.call(reading.discards, "m")] == ["duplicate"]


async def test_while_the_store_fails_the_answer_goes_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state store that is locked delays an answer by no more than a second, and loses nothing."""
    real, failures = house.state.add_tally, [StateError("locked")] * 3

    async def flaky(tally: Tally) -> None:
        if failures:
            raise failures.pop()
        await real(tally)

    monkeypatch.setattr(house.state, "add_tally", flaky)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._MOST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._AGAIN_SECONDS", 0.01)
    house.put("web")
    await house.books.not_stored("web", 1, {}, [discard()])
    assert failures
    async with asyncio.timeout(10):
        while failures:
            await asyncio.sleep(0.005)
    await house.books.flush()
    stored = (await house.state.sources())["web"]
    assert (stored.accepted, stored.duplicate) == (1, 1)
    assert len(await house.state.call(reading.discards, "m")) == 1


async def test_damaged_events_are_of_no_source(house: House) -> None:
    """What cannot be read again is counted all the same, or the books would not balance."""
    house.put("web", counted=False)
    house.put("web", counted=False)
    (segment,) = (house.folder / "queue").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[20 + 44 + 3] ^= 0xFF  # in the first frame's payload
    segment.write_bytes(data)
    await house.restart()
    assert house.accepted == {"web": 1, "": 1}
    assert house.books.missing == 0


async def test_a_new_queue_is_counted_from_its_beginning(house: House) -> None:
    """With the queue removed what was accepted stays counted, and new events are counted on."""
    house.put("web", "web")
    await house.books.flush()
    for path in (house.folder / "queue").glob("*.seg"):
        path.unlink()
    await house.restart()
    house.put("web")
    await house.restart()
    assert house.accepted == {"web": 3}
    assert house.books.missing == 0


async def test_without_a_state_counts_are_kept_in_memory() -> None:
    """Tests and benches need no file."""
    books = Books(Ledger())
    books.stored({"web": 2}, 2)
    await books.not_stored("web", 1, {"too_deep": 1}, [])
    await books.stop()
    assert books.ledger.source("web").received == 4


async def test_few_discards_are_held_while_they_cannot_be_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the oldest records are let go; their counts never are."""

    async def broken(tally: Tally) -> None:
        raise StateError("locked")

    real = house.state.add_tally
    monkeypatch.setattr(house.state, "add_tally", broken)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._MOST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr("gateway.state.ledger.source_ledger._MOST_PENDING_DISCARDS", 3)
    for number in range(5):
        await house.books.not_stored("web", 1, {}, [discard(message_id=f"m{number}")])
    monkeypatch.setattr(house.state, "add_tally", real)
    await house.books.flush()
    assert (await house.state.sources())["web"].duplicate == 5
    assert await house.state.call(reading.discards, "m0") == []
    assert len(await house.state.call(reading.discards, "m4")) == 1


async def test_a_lost_end_of_the_queue_is_named(tmp_path: Path) -> None:
    """An emptied newest segment must not make the books balance."""
    house = House(tmp_path)
    await house.start()
    house.put("web", "web", "web")
    await house.books.stop()
    await house.state.stop()
    house.store.close()
    (newest,) = (tmp_path / "queue").glob("*.seg")
    newest.write_bytes(b"")
    house.state, house.store = State(tmp_path / "state.sqlite"), house._store()
    house.books = Books(Ledger(), house.state, structlog.get_logger())
    await house.start()
    found = await house.state.call(statement, house.store.status().end)

    assert [(one.where, one.missing, one.first, one.end) for one in found.findings] == [
        ("queue", 3, 0, 3)
    ]
    await house.books.stop()
    await house.state.stop()
    house.store.close()
