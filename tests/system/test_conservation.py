"""The statement of the ledger balances, or says what does not balance and where."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.commands.ledger import ledger
from gateway.queue.offline import QueueFolder
from gateway.state import Commit, State, Tally, Waiting
from gateway.state.ledger.counts import DestinationCounts
from gateway.state.ledger.statement import Statement, balance, queue_gaps, statement, with_stored
from gateway.state.schema import connect
from tests.support.disk_store import open_store

numbers = st.integers(0, 1000)
counters = st.dictionaries(st.sampled_from("abc"), numbers, max_size=3).map(Counter)


@given(numbers, numbers, counters, counters, numbers, numbers, numbers)
def test_a_destination_balances_if_all_are_accounted_for(
    base: int,
    delivered: int,
    filtered: Counter[str],
    dead: Counter[str],
    waiting: int,
    replayed: int,
    queued: int,
) -> None:
    """Accepted and replayed equal delivered, filtered, dead and pending; one more is missing."""
    counts = DestinationCounts(delivered, filtered, dead, replayed=replayed, base=base)
    cursor = base + counts.finished + waiting - replayed
    end = cursor + queued
    found = balance("d", counts, cursor, waiting, end)
    assert found.missing == 0
    assert found.accepted + found.replayed == counts.finished + found.pending
    assert balance("d", counts, cursor + 1, waiting, end + 1).missing == 1
    assert balance("d", counts, cursor, waiting + 1, end).missing == -1


async def commits(path: Path, *all_: Commit) -> list[int]:
    """Returns how many events each commit leaks."""
    state = State(path)
    await state.start()
    try:
        await state.rebase_sources("q", 0)
        await state.add_tally(Tally(Counter({("web", "accepted", ""): 20}), 20))
        await state.begin("crm", 0)
        return [(await state.commit(commit, 99)).missing for commit in all_]
    finally:
        await state.stop()


def read(path: Path, end: int = 20) -> Statement:
    with closing(connect(path)) as db:
        return statement(db, end)


def waiting(offset: int) -> Waiting:
    return Waiting(offset, "web", "m", "busy", 1, 0, 0, 0, False, b"{}")


def test_commits_that_add_up_leave_nothing_behind(tmp_path: Path) -> None:
    """Commits that deliver, filter, set aside and settle leave no event unaccounted for."""
    path = tmp_path / "state.sqlite"
    leaks = asyncio.run(
        commits(
            path,
            Commit("crm", 10, delivered=7, filtered={"consent": 2}, waiting=[waiting(3)]),
            Commit("crm", 12, delivered=1, lost=1),
            Commit("crm", delivered=1, settled=[3]),
            Commit("crm", replayed=2, delivered=1, waiting=[waiting(1)], replay=(1, 5)),
        )
    )
    assert leaks == [0, 0, 0, 0]
    found = read(path)
    assert found.balanced
    (crm,) = found.destinations
    assert (crm.accepted, crm.replayed, crm.delivered, crm.pending) == (20, 2, 10, 9)


def test_a_commit_that_does_not_add_up_is_recorded_with_its_offsets(tmp_path: Path) -> None:
    """A leak of one event is recorded when it happens, with the offsets around it."""
    path = tmp_path / "state.sqlite"
    leaks = asyncio.run(
        commits(path, Commit("crm", 10, delivered=10), Commit("crm", 15, delivered=4))
    )
    assert leaks == [0, 1]
    first, second = read(path).findings
    assert (first.where, first.missing, first.first, first.end) == ("destination crm", 1, 10, 15)
    assert (second.where, second.missing) == ("destination crm", 1)


def test_an_event_that_is_already_waiting_counts_once(tmp_path: Path) -> None:
    """An event that is in the lane and fails again is not counted twice."""
    path = tmp_path / "state.sqlite"
    asyncio.run(
        commits(
            path,
            Commit("crm", 10, delivered=9, waiting=[waiting(3)]),
            Commit("crm", replayed=1, waiting=[waiting(3)], replay=(1, 5)),
        )
    )
    found = read(path)
    assert found.balanced
    assert found.destinations[0].filtered == {"already waiting": 1}


def test_events_of_the_queue_that_were_not_counted_yet_are_added() -> None:
    """After a crash the statement counts them by source, and unreadable ones for none."""
    found = with_stored(Statement([], [], 0, 10, 14), {"web": 3}, 14)
    assert {one.id: one.accepted for one in found.sources} == {"web": 3, "": 1}
    assert found.counted_to == 14


def test_offsets_that_are_not_in_the_queue_are_named(tmp_path: Path) -> None:
    """A damaged frame is reported as a range of offsets."""
    store = open_store(tmp_path)
    for _ in range(3):
        store.write([b'[{"type":"track"},{"type":"track"}]'], [2], sync=True)
    store.close()
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"HGFR", 30)] ^= 0xFF  # the second frame's header
    segment.write_bytes(data)
    assert queue_gaps(QueueFolder(tmp_path)) == [(2, 4)]


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    config = tmp_path / "config.toml"
    config.write_text('[destinations.crm]\ntype = "null"\n')
    store = open_store(tmp_path / "data" / "queue")
    store.write([b"[" + b",".join([b'{"sourceId":"web"}'] * 20) + b"]"], [20], sync=True)
    store.close()
    asyncio.run(commits(tmp_path / "data" / "state.sqlite", Commit("crm", 15, delivered=15)))
    return config


def test_the_command_says_that_the_books_balance(config: Path) -> None:
    """Offline the command reads the data directory, and its exit code is 0."""
    result = CliRunner().invoke(ledger, ["--config", str(config)])
    assert result.exit_code == 0, result.output
    assert "the ledger balances" in result.output
    as_json = CliRunner().invoke(ledger, ["--config", str(config), "--json"])
    (crm,) = json.loads(as_json.output)["destinations"]
    assert (crm["accepted"], crm["delivered"], crm["queued"]) == (20, 15, 5)


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (
            "UPDATE outcomes SET events = events - 2",
            "destination crm: 2 events are missing, at offsets 0 to 14",
        ),
        (
            "UPDATE outcomes SET events = events + 1",
            "destination crm: 1 events are counted twice, at offsets 0 to 14",
        ),
        (
            "UPDATE sources SET events = events - 3 WHERE outcome = 'accepted'",
            "sources: 3 events are missing, at offsets 0 to 19",
        ),
    ],
)
def test_the_command_fails_on_a_leak_and_names_the_offsets(
    config: Path, tamper: str, expected: str
) -> None:
    """One event that is accounted for nowhere makes the command fail."""
    with closing(sqlite3.connect(config.parent / "data" / "state.sqlite")) as db, db:
        db.execute(tamper)
    result = CliRunner().invoke(ledger, ["--config", str(config)])
    assert result.exit_code == 1
    assert expected in " ".join(result.output.split())


def test_the_command_says_what_is_wrong_without_a_state(tmp_path: Path) -> None:
    """A folder in which no gateway ever ran is an error, not a balanced ledger."""
    (tmp_path / "config.toml").write_text("")
    result = CliRunner().invoke(ledger, ["--config", str(tmp_path / "config.toml")])
    assert result.exit_code == 2
    assert "has the gateway run here?" in result.output
