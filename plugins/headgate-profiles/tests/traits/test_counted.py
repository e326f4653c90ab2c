"""Offsets of a queue count once, in whatever pieces they come."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_profiles.traits.counted import MOST_RUNS, count_offsets
from headgate_profiles.traits.tables import KEPT


@pytest.fixture(name="db", scope="module")
def _db() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    for statement in KEPT:
        if "INDEX" not in statement:
            db.execute(statement)
    yield db
    db.close()


def runs(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """Returns the stored runs of the queue q."""
    rows = db.execute("SELECT first, next FROM counted WHERE queue_id = 'q' ORDER BY first")
    return rows.fetchall()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=12))
def test_each_offset_is_new_once(db: sqlite3.Connection, batches: list[tuple[int, int]]) -> None:
    """For batches without gaps, exactly those offsets are new that did not come before."""
    db.execute("DELETE FROM counted")
    seen: set[int] = set()
    for first, length in batches:
        offsets = range(first, first + length)
        assert count_offsets(db, "q", offsets) == [one not in seen for one in offsets]
        seen.update(offsets)
    covered = [offset for first, following in runs(db) for offset in range(first, following)]
    assert covered == sorted(seen)


def test_runs_are_bounded(db: sqlite3.Connection) -> None:
    """Beyond the bound the two nearest runs become one, and other queues are not touched."""
    db.execute("DELETE FROM counted")
    for number in range(MOST_RUNS):
        count_offsets(db, "q", [number * 10])
    count_offsets(db, "r", [5])
    assert count_offsets(db, "q", [53]) == [True]
    assert len(runs(db)) == MOST_RUNS
    assert (50, 54) in runs(db)
    assert count_offsets(db, "q", [51, 55]) == [False, True]
    assert count_offsets(db, "r", [5, 6]) == [False, True]
