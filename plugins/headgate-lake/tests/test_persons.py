"""The index finds a person's files, and misses none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Subjects
from gateway.testing import START_MS, ManualClock
from headgate_lake import Lake, LakeConfig, Query, Runner, person_of
from headgate_lake.columns import person_sql
from headgate_lake.parquet import Engine
from headgate_lake.persons import (
    MOST_PART_BYTES,
    PARTS,
    all_parts,
    may_hold,
    part_bytes,
    part_of,
    parts_sql,
)
from headgate_lake.testing import write_lake
from headgate_lake.upkeep import keep_up

_LATE_MS = START_MS + 90 * 86_400_000


@pytest.fixture(scope="module")
def db() -> Any:
    with duckdb.cursor() as one:
        yield one


def index_of(db: Any, numbers: list[int]) -> tuple[bytes, ...]:
    db.execute("CREATE OR REPLACE TEMP TABLE ids AS SELECT unnest($1::BIGINT[]) AS id", [numbers])
    return all_parts(db.execute(parts_sql("ids", part_bytes(len(numbers)))).fetchall())


@given(numbers=st.sets(st.integers(0, 2**63 - 1), max_size=300))
def test_no_id_is_missed(db: Any, numbers: set[int]) -> None:
    """Whatever DuckDB put into an index, Python finds there."""
    parts = index_of(db, sorted(numbers))
    assert all(may_hold(parts[part_of(number)], number) for number in numbers)


@given(text=st.text())
def test_a_number_is_the_same_in_sql(db: Any, text: str) -> None:
    """An id has the same number in DuckDB as in Python."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert db.execute(f"SELECT {person_sql('$1')}", [text]).fetchone() == (person_of(text),)


def test_few_others_are_found(db: Any) -> None:
    """One id in a hundred, at most, is taken for one of the index."""
    parts = index_of(db, [person_of(f"in-{number}") for number in range(20_000)])
    others = [person_of(f"out-{number}") for number in range(20_000)]
    assert sum(may_hold(parts[part_of(one)], one) for one in others) < 200


def test_an_index_is_bounded() -> None:
    """However many ids a file has, its index has no more than a mebibyte."""
    assert part_bytes(10**9) * PARTS == MOST_PART_BYTES * PARTS == 1 << 20


def a_closed_lake(folder: Path, clock: ManualClock, days: int = 4) -> Lake:
    """Writes a lake with a closed file for each day, and a user of their own in each."""
    events = [
        {"userId": user, "timestamp": f"2026-10-{day:02d}T10:00:00Z"}
        for day in range(1, days + 1)
        for user in (f"day-{day}", "always")
    ]
    lake = write_lake(folder, events, watermark_ms=_LATE_MS)
    keep_up(folder, LakeConfig(), clock)
    return lake


def test_only_the_files_of_a_person_are_read(folder: Path, clock: ManualClock) -> None:
    """Closed files without the person are left out; files of batches may hold anybody."""
    lake = a_closed_lake(folder, clock)
    one, always = person_of("day-2"), person_of("always")
    assert [file.day for file in lake.files_of([one])] == ["2026-10-02"]
    assert len(lake.files_of([one, always])) == 4
    assert lake.files_of([person_of("nobody")]) == ()
    fresh = write_lake(folder, [{"userId": "new", "timestamp": "2026-10-09T10:00:00Z"}])
    assert [file.day for file in fresh.files_of([one])] == ["2026-10-02", "2026-10-09"]
    with Runner(lake) as runner:
        query = Query(sql="SELECT count(*) FROM events", persons=[one])
        assert runner.run(query).rows == [(2 + 1,)]


async def test_an_erasure_reads_only_the_files_of_the_user(
    make: Any, folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files without the user are not even opened, and the new file has an index again."""
    a_closed_lake(folder, clock)
    opened: list[str] = []
    count = Engine.count
    monkeypatch.setattr(
        Engine, "count", lambda self, part, *given: opened.append(part) or count(self, part, *given)
    )
    erasure = await (await make()).erase(Subjects(frozenset({"day-3"})))
    assert (erasure.items, len(opened)) == (1, 1)
    left = Lake.open(folder)
    assert left.files_of([person_of("day-3")]) == ()
    assert len(left.files_of([person_of("always")])) == 4
