"""Erased users are gone from every byte of the lake; others stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gateway import Batch, Subjects
from gateway.testing import START_MS, ManualClock, make_event
from headgate_lake import Lake, LakeConfig, Query, Runner, erased_since, reports_of
from headgate_lake.sql.history import history_of
from headgate_lake.testing import write_lake
from headgate_lake.upkeep import keep_up

Rows = Callable[..., list[tuple[Any, ...]]]
BatchOf = Callable[..., Batch]

_LATE_MS = START_MS + 90 * 86_400_000


def mentions(folder: Path, text: str) -> list[str]:
    """Returns the files whose bytes contain a text; ids short enough are stored as they are."""
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def aside_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("aside/*")]


async def test_a_user_is_gone_from_every_byte(
    make: Any, folder: Path, clock: ManualClock, rows: Rows
) -> None:
    """Fresh, closed and replaced files lose the user's rows at once, aliases too; others stay."""
    users = ["keep-me-1", "erase-me-1", "keep-me-2"]
    closed = [
        {"userId": user, "messageId": f"{user}-{n}", "timestamp": "2026-11-20T10:00:00Z"}
        for n in range(4)
        for user in users
    ]
    write_lake(folder, closed, batch_events=3, watermark_ms=_LATE_MS)
    keep_up(folder, LakeConfig(merge_files=4), clock)
    write_lake(
        folder,
        [
            {"userId": "erase-me-1", "timestamp": "2026-11-23T10:00:00Z"},
            {"anonymousId": "erase-me-2", "timestamp": "2026-11-23T10:00:00Z"},
            {
                "type": "alias",
                "userId": "keep-me-1",
                "previousId": "erase-me-2",
                "timestamp": "2026-11-23T10:00:00Z",
            },
        ],
    )
    assert mentions(folder, "erase-me")
    destination = await make()
    subjects = Subjects(frozenset({"erase-me-1"}), frozenset({"erase-me-2"}))
    erasure = await destination.erase(subjects)
    assert (erasure.status, erasure.items) == ("FINISHED", 4 + 3)
    assert mentions(folder, "erase-me") == []
    assert {user for (user,) in rows("user_id")} == {"keep-me-1", "keep-me-2"}
    assert [file.kind for file in Lake.open(folder).files()] == ["closed"]
    assert [change.why for change in Lake.open(folder).changes()] == ["erased"]
    assert (await destination.erase(subjects)).items == 0


async def test_files_without_the_user_stay_as_they_are(make: Any, folder: Path) -> None:
    """Only files that hold the user are written anew."""
    write_lake(folder, [{"userId": "a", "timestamp": "2026-11-20T10:00:00Z"}])
    write_lake(folder, [{"userId": "b", "timestamp": "2026-11-21T10:00:00Z"}])
    before = Lake.open(folder).paths()
    await (await make()).erase(Subjects(frozenset({"b"})))
    assert Lake.open(folder).paths() == before[:1]


async def test_events_sent_after_an_erasure_are_new(
    make: Any, batch_of: BatchOf, rows: Rows
) -> None:
    """A user may come back: events after the erasure are stored."""
    lake = await make()
    await lake.send(batch_of([make_event(user_id="ada", message_id="before")]))
    await lake.erase(Subjects(frozenset({"ada"})))
    await lake.send(batch_of([make_event(user_id="ada", message_id="after")], first=1))
    assert rows() == [("after",)]


async def test_a_stray_file_with_the_user_is_deleted(make: Any, folder: Path) -> None:
    """A file that the manifest does not know, as after a restore, goes if it holds the user."""
    lake = write_lake(folder, [{"userId": "erase-me", "timestamp": "2026-11-20T10:00:00Z"}])
    [path] = lake.paths()
    stray = path.with_name(path.name.replace(path.name[11:15], "0000"))
    stray.write_bytes(path.read_bytes())
    await (await make()).erase(Subjects(frozenset({"erase-me"})))
    assert mentions(folder, "erase-me") == []


@pytest.mark.parametrize("damage", ["cut", "foreign", "missing"])
async def test_a_broken_file_does_not_stop_an_erasure(make: Any, folder: Path, damage: str) -> None:
    """A file that cannot be searched is set aside and reported; all others lose the user."""
    for day in (20, 21, 22):
        write_lake(folder, [{"userId": "erase-me", "timestamp": f"2026-11-{day}T10:00:00Z"}])
    broken = Lake.open(folder).paths()[1]
    if damage == "cut":
        broken.write_bytes(broken.read_bytes()[:-20])
    elif damage == "foreign":
        with duckdb.cursor() as db:
            db.execute(f"COPY (SELECT 1 AS a) TO '{broken}' (FORMAT parquet)")
    else:
        broken.unlink()
    lake = await make()
    for rows in (2, 0):
        erasure = await lake.erase(Subjects(frozenset({"erase-me"})))
        assert (erasure.status, erasure.items) == ("FINISHED", rows)
        assert ("1 broken files" in erasure.detail) == (damage != "missing")
    assert Lake.open(folder).paths() == ()
    assert aside_in(folder) == ([] if damage == "missing" else [broken.name])


async def test_a_broken_stray_file_is_set_aside(make: Any, folder: Path) -> None:
    """A file that is neither in the manifest nor readable counts as not searched."""
    lake = write_lake(folder, [{"userId": "keep-me", "timestamp": "2026-11-20T10:00:00Z"}])
    [path] = lake.paths()
    stray = path.with_name(path.name.replace(path.name[11:15], "0000"))
    stray.write_bytes(b"no Parquet")
    erasure = await (await make()).erase(Subjects(frozenset({"erase-me"})))
    assert "1 broken files" in erasure.detail
    assert aside_in(folder) == [stray.name]
    assert lake.paths() == (path,)


async def test_what_queries_leave_does_not_name_the_user(make: Any, folder: Path) -> None:
    """The catalogue holds no values, spilled rows go with their query, the history is erased."""
    text = "SELECT * FROM signed_up WHERE user_id = 'erase-me'"
    lake = write_lake(
        folder, [{"event": "Signed Up", "userId": "erase-me", "properties": {"plan": "erase-me"}}]
    )
    with Runner(lake) as runner:
        assert len(runner.run(Query(sql=text)).rows) == 1
    history_of(folder).write_text(text)
    assert mentions(folder, "erase-me")
    await (await make()).erase(Subjects(frozenset({"erase-me"})))
    assert (folder / "queries" / "catalogue.sqlite").exists()
    assert mentions(folder, "erase-me") == []


async def test_reports_that_name_the_user_are_deleted(make: Any, folder: Path) -> None:
    """A report goes with all its files if its JSON has the id, and if nothing can be searched."""
    reports = reports_of(folder)
    lake = await make()
    reports.mkdir()
    for name, content in {"named": '{"label":"é\\"1"}', "other": '{"label":"b"}'}.items():
        (reports / f"{name}.json").write_text(content)
        (reports / f"{name}.html").write_text("<html>")
    (reports / "alone.html").write_text("<html>")
    erasure = await lake.erase(Subjects(frozenset({'é"1'})))
    assert sorted(path.name for path in reports.iterdir()) == ["other.html", "other.json"]
    assert erasure.detail == "2 files written anew"


async def test_a_report_knows_of_an_erasure_meanwhile(
    make: Any, folder: Path, clock: ManualClock
) -> None:
    """Whoever computed a report before an erasure, and writes it after that, is told."""
    lake = await make()
    assert not erased_since(folder, 0)
    begun_ms = clock()
    clock.advance(1)
    await lake.erase(Subjects(frozenset({"ada"})))
    assert erased_since(folder, begun_ms)
    assert not erased_since(folder, clock() + 1)
