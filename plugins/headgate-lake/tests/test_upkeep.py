"""Small files are merged, days are closed, old ones go; no event is lost or doubled by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gateway import Batch, format_ms
from gateway.testing import START_MS, ManualClock, make_event
from headgate_lake import Lake, LakeConfig
from headgate_lake.retention import GRACE_MS
from headgate_lake.testing import write_lake
from headgate_lake.upkeep import keep_up

Rows = Callable[..., list[tuple[Any, ...]]]
BatchOf = Callable[..., Batch]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def events_of(day: str, number: int, user: str = "ada") -> list[dict[str, Any]]:
    return [
        {
            "event": "Seen",
            "userId": user,
            "messageId": f"{day}-{user}-{n}",
            "timestamp": f"{day}T10:00:{n:02d}Z",
        }
        for n in range(number)
    ]


def kinds(folder: Path) -> list[tuple[str, str, int]]:
    return sorted((file.day, file.kind, file.rows) for file in Lake.open(folder).files())


def test_small_files_become_one(folder: Path, clock: ManualClock, rows: Rows) -> None:
    """A day with many files of a level gets one file in their place, with the same rows."""
    write_lake(folder, events_of("2026-11-23", 4), batch_events=1)
    before = rows("*")
    assert len(kinds(folder)) == 4
    done = keep_up(folder, LakeConfig(merge_files=4, late_hours=1000), clock)
    assert done.merged == 4
    assert kinds(folder) == [("2026-11-23", "merged", 4)]
    assert rows("*") == before


def test_readers_finish_with_the_list_they_began_with(folder: Path, clock: ManualClock) -> None:
    """Files that were merged stay for a while, and are deleted afterwards."""
    write_lake(folder, events_of("2026-11-23", 4), batch_events=1)
    paths = Lake.open(folder).paths()
    config = LakeConfig(merge_files=4, late_hours=1000)
    keep_up(folder, config, clock)
    with duckdb.cursor() as db:
        sql = "SELECT count(*) FROM read_parquet($1)"
        assert db.execute(sql, [[str(path) for path in paths]]).fetchall() == [(4,)]
    clock.advance(GRACE_MS / 1000 + 1)
    keep_up(folder, config, clock)
    assert not any(path.exists() for path in paths)
    assert all(path.exists() for path in Lake.open(folder).paths())


def test_a_day_closes_once_the_watermark_has_passed(folder: Path, clock: ManualClock) -> None:
    """A closed day is one file, sorted by person and time; days within `late_hours` stay open."""
    events = [
        *events_of("2026-11-20", 3, "bo"),
        *events_of("2026-11-20", 3),
        *events_of("2026-11-21", 2),
    ]
    end_ms = START_MS // _DAY_MS * _DAY_MS - 2 * _DAY_MS  # the end of 2026-11-20
    write_lake(folder, events, batch_events=2, watermark_ms=end_ms + 47 * _HOUR_MS)
    assert keep_up(folder, LakeConfig(merge_files=4), clock).closed == []
    write_lake(folder, [], watermark_ms=end_ms + 48 * _HOUR_MS)
    assert keep_up(folder, LakeConfig(merge_files=4), clock).closed == ["2026-11-20"]
    assert kinds(folder)[0] == ("2026-11-20", "closed", 6)
    [path] = [path for path in Lake.open(folder).paths() if "2026-11-20" in path.name]
    with duckdb.cursor() as db:
        found = db.execute("SELECT person, ts FROM read_parquet($1)", [str(path)]).fetchall()
    assert found == sorted(found)


def test_late_rows_change_a_closed_day_on_record(folder: Path, clock: ManualClock) -> None:
    """Events of a closed day are late files of it, and the change has the rows before and after."""
    write_lake(folder, events_of("2026-11-20", 3), watermark_ms=START_MS + 90 * _DAY_MS)
    keep_up(folder, LakeConfig(merge_files=4), clock)
    lake = write_lake(folder, events_of("2026-11-20", 2, "late"))
    assert kinds(folder) == [("2026-11-20", "closed", 3), ("2026-11-20", "late", 2)]
    [change] = lake.changes()
    assert (change.day, change.old_rows, change.new_rows, change.why) == (
        "2026-11-20",
        3,
        5,
        "late",
    )


def test_old_days_go(folder: Path, clock: ManualClock) -> None:
    """Events older than `retention_days` leave the lake."""
    write_lake(folder, [*events_of("2026-10-01", 2), *events_of("2026-11-22", 2)])
    assert keep_up(folder, LakeConfig(retention_days=10), clock).removed == 1
    assert [day for day, _, _ in kinds(folder)] == ["2026-11-22"]


def test_a_lake_over_its_size_loses_the_oldest_days(folder: Path, clock: ManualClock) -> None:
    """Over `max_bytes` the oldest files go, and no more than needed."""
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        lake = write_lake(folder, events_of(day, 2))
    most = sum(file.bytes for file in lake.files()) - 1
    config = LakeConfig(max_bytes=most, late_hours=10_000, retention_days=0)
    assert keep_up(folder, config, clock).removed == 1
    assert [day for day, _, _ in kinds(folder)] == ["2026-11-21", "2026-11-22"]


@pytest.mark.parametrize("damage", ["cut", "foreign", "missing"])
def test_a_broken_file_is_set_aside(folder: Path, clock: ManualClock, damage: str) -> None:
    """A file that cannot be read is named and set aside; the others are merged without it."""
    lake = write_lake(folder, events_of("2026-11-23", 2 + 1), batch_events=1)
    broken = lake.paths()[0]
    if damage == "cut":
        broken.write_bytes(broken.read_bytes()[:-20])
    elif damage == "foreign":
        with duckdb.cursor() as db:
            db.execute(f"COPY (SELECT 1 AS a) TO '{broken}' (FORMAT parquet)")
    else:
        broken.unlink()
    done = keep_up(folder, LakeConfig(merge_files=2, late_hours=1000), clock)
    [(path, why)] = done.broken
    assert folder / path == broken
    assert why
    assert kinds(folder) == [("2026-11-23", "merged", 2)]
    assert [one.name for one in folder.glob("aside/*")] == (
        [] if damage == "missing" else [broken.name]
    )


async def test_delivery_has_the_work_done_by_a_process(
    make: Any, folder: Path, batch_of: BatchOf
) -> None:
    """The destination starts the work as soon as a day has many files, and delivers meanwhile."""
    write_lake(folder, events_of("2026-11-23", 4), batch_events=1)
    lake = await make(late_hours=1000, merge_files=4, most_files=10)
    moment = format_ms(START_MS)
    await lake.send(batch_of([make_event(message_id="new", timestamp=moment)]))
    async with asyncio.timeout(30):
        while len(kinds(folder)) > 2:
            await asyncio.sleep(0.05)
    assert sum(count for _, _, count in kinds(folder)) == 4 + 1


async def test_a_day_never_has_more_files_than_the_bound(
    make: Any, folder: Path, batch_of: BatchOf
) -> None:
    """A send waits for a merge before a day has too many files, whatever their levels."""
    write_lake(folder, events_of("2026-11-23", 10), batch_events=1)
    lake = await make(late_hours=1000, merge_files=20, most_files=10)
    await lake.send(batch_of([make_event(timestamp=format_ms(START_MS))]))
    assert [(kind, count) for _, kind, count in kinds(folder)] == [("fresh", 1), ("merged", 10)]
