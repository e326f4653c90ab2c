"""A lake does the same in its folder and in object storage, with no copy of a file at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import Subjects, format_ms
from gateway.testing import START_MS, make_event
from headgate_lake import Lake, Query, Runner
from headgate_lake.erase import erase
from headgate_lake.retention import GRACE_MS
from headgate_lake.upkeep import keep_up
from headgate_lake.verification import verify_lake

_DAY_MS = 86_400_000


def events_of(day: int, *ids: str, **fields: Any) -> list[Any]:
    moment = format_ms(START_MS - day * _DAY_MS)
    return [
        make_event(message_id=id_, timestamp=moment, received_at=moment, **fields) for id_ in ids
    ]


def check_objects(home: Any) -> None:
    """The objects are the files of the manifest, no more and no less."""
    if home.store is not None:
        assert {key for key in home.objects() if key.startswith("events/")} == home.held()


def test_a_batch_sent_again_adds_nothing(home: Any) -> None:
    """Events below the cursor are looked up in files that are only in object storage."""
    home.write(events_of(0, "a", "b"))
    home.cold()
    home.write(events_of(0, "a", "b", "c"))
    home.write(events_of(0, "a"), first=3)
    assert home.ids() == ["a", "a", "b", "c"]
    check = verify_lake(home.storage, 64_000_000)
    assert (check.files, check.rows, check.findings) == (3, 4, [])


def test_merged_and_closed_files_replace_the_others(home: Any) -> None:
    """Merging and closing read and write object storage; replaced objects go after a while."""
    for number in range(4):
        home.write(events_of(3, f"m{number}"), first=number)
        home.cold()
    config = home.config(merge_files=4, late_hours=0)
    assert keep_up(home.storage, config, home.clock).merged == 4
    home.cold()
    home.write(events_of(0, "now"), first=4)
    assert keep_up(home.storage, config, home.clock).closed == ["2026-11-20"]
    home.cold()
    assert home.ids() == ["m0", "m1", "m2", "m3", "now"]
    home.clock.advance(GRACE_MS / 1000 + 1)
    keep_up(home.storage, home.config(), home.clock)
    home.cold()
    check_objects(home)
    assert len(home.held()) == 2


def test_old_days_leave_both_places(home: Any) -> None:
    """Retention and the bound on the size delete objects as they delete files."""
    for day in (40, 20, 0):
        home.write(events_of(day, f"d{day}"), first=100 - day)
    home.cold()
    assert keep_up(home.storage, home.config(retention_days=30), home.clock).removed == 1
    assert keep_up(home.storage, home.config(max_bytes=6000), home.clock).removed == 1
    home.clock.advance(GRACE_MS / 1000 + 1)
    keep_up(home.storage, home.config(), home.clock)
    home.upload()
    check_objects(home)
    assert home.ids() == ["d0"]


def test_an_erased_user_is_in_no_place(home: Any, tmp_path: Path) -> None:
    """No byte of an erased user is left in objects, copies, strays or half-brought files."""
    home.write(events_of(0, "a", user_id="erase-me-1") + events_of(0, "b", user_id="other"))
    home.cold()
    home.write(events_of(1, "c", user_id="erase-me-1"), first=2)
    home.upload()
    parquet = next((home.root / "events").rglob("*.parquet")).read_bytes()
    if home.store is not None:
        home.store.put("events/day=2026-01-01/stray.parquet", parquet)
        (home.root / "cache" / "parts" / "killed.parquet").write_bytes(parquet)
    gone = erase(home.storage, Subjects(frozenset({"erase-me-1"})), 64_000_000, home.clock)
    assert gone.rows == 2
    assert home.ids() == ["b"]
    check_objects(home)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in found} | home.objects()
    assert [name for name, text in texts.items() if b"erase-me-1" in text] == []


def test_queries_read_both_places(home: Any) -> None:
    """SQL and the views of events read files that are only in object storage."""
    home.write(events_of(2, "a", "b", event="Signed Up", properties={"plan": "pro"}))
    home.write(events_of(0, "c", event="Signed Up", properties={"plan": "free"}), first=2)
    home.cold()
    with Runner(Lake.open(home.storage)) as runner:
        answer = runner.run(Query(sql="SELECT plan, count(*) FROM signed_up GROUP BY 1 ORDER BY 1"))
    assert answer.rows == [("free", 1), ("pro", 2)]


def test_a_file_in_no_manifest_is_named(far: Any) -> None:
    """Only the folder that writes can tell which objects are no part of the lake."""
    far.write(events_of(0, "a"))
    far.upload()
    far.store.put("events/day=2026-01-01/stray.parquet", b"anything")
    (finding,) = verify_lake(far.storage, 64_000_000).findings
    assert finding.path == "events/day=2026-01-01/stray.parquet"
    assert verify_lake(far.elsewhere("there"), 64_000_000).findings == []


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_broken_file_is_named_and_set_aside(home: Any, damage: str) -> None:
    """A changed or missing file is found, set aside by upkeep, and the others go on."""
    for number in range(4):
        home.write(events_of(0, f"m{number}"), first=number)
    home.cold()
    (broken, *_) = sorted(home.held())
    if home.store is None:
        (home.root / broken).unlink()
        if damage == "changed":
            (home.root / broken).write_bytes(b"something else")
    else:
        home.store.delete(broken)
        if damage == "changed":
            home.store.put(broken, b"something else" * 1000)
    (finding,) = verify_lake(home.storage, 64_000_000).findings
    assert finding.path == broken or broken in finding.problem
    done = keep_up(home.storage, home.config(merge_files=4), home.clock)
    assert [path for path, _ in done.broken] == [broken]
    assert len(home.ids()) == 3
    assert keep_up(home.storage, home.config(merge_files=3), home.clock).merged == 3
