"""A lost or damaged manifest is made anew from the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import Batch, Subjects
from gateway.testing import START_MS, ManualClock, make_event
from headgate_lake import Lake, LakeConfig, LakeError
from headgate_lake.commands import lake as lake_commands
from headgate_lake.rebuild import rebuild
from headgate_lake.session import Session
from headgate_lake.testing import write_lake
from headgate_lake.upkeep import keep_up
from headgate_lake.verification import verify_lake

Rows = Callable[..., list[tuple[Any, ...]]]
BatchOf = Callable[..., Batch]

_MEMORY = 128_000_000


def without_manifest(folder: Path) -> None:
    for path in folder.glob("manifest.sqlite*"):
        path.unlink()


def a_lake_of_all_kinds(folder: Path, clock: ManualClock) -> Lake:
    """Writes a closed day with a late file, merged files with their parts, and fresh ones."""
    for day, files in ((20, 2), (23, 3)):
        for number in range(files):
            event = {"messageId": f"{day}-{number}", "timestamp": f"2026-11-{day}T10:00:00Z"}
            write_lake(folder, [event | {"userId": f"u{number}"}], watermark_ms=START_MS)
    keep_up(folder, LakeConfig(merge_files=3), clock)
    for name, day in (("late", 20), ("fresh", 24)):
        event = {"messageId": name, "timestamp": f"2026-11-{day}T11:00:00Z"}
        lake = write_lake(folder, [event], watermark_ms=START_MS)
    return lake


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs the command."""
    config = tmp_path / "config.toml"
    config.write_text('[destinations.lake]\ntype = "lake"\npath = "lake"\n')
    return lambda *options: CliRunner().invoke(
        lake_commands, ["rebuild", "--config", str(config), *options]
    )


def test_a_lost_manifest_is_made_anew(
    folder: Path, clock: ManualClock, rows: Rows, run: Callable[..., Result]
) -> None:
    """The new manifest has the same files, kinds and closed days; replaced files stay out."""
    lake = a_lake_of_all_kinds(folder, clock)
    events, files, days = rows(), lake.files(), lake.state().days
    assert {file.kind for file in files} == {"closed", "late", "merged", "fresh"}
    without_manifest(folder)
    result = run("--json")
    assert result.exit_code == 0
    done = json.loads(result.stdout)
    assert (done["rows"], done["days"], done["queues"]) == (7, 1, {"test": 7})
    assert len(done["replaced"]) == 2 + 3
    assert rows() == events
    assert lake.files() == files
    assert lake.state().days == days
    assert verify_lake(folder, _MEMORY).findings == []


def test_a_manifest_in_order_is_left_alone(folder: Path, run: Callable[..., Result]) -> None:
    """A manifest that can be read is made anew only with --yes, and kept beside the new one."""
    write_lake(folder, [{}])
    result = run()
    assert result.exit_code == 2
    assert "is in order" in result.stderr
    result = run("--yes")
    assert result.exit_code == 0
    (before,) = folder.glob("manifest-*.sqlite")
    assert before.name in result.stdout


def test_a_damaged_manifest_names_the_way_out(
    folder: Path, rows: Rows, run: Callable[..., Result]
) -> None:
    """A manifest that is missing or no database is made anew, and the error before says how."""
    write_lake(folder, [{"messageId": "a"}])
    for path in folder.glob("manifest.sqlite*"):
        path.write_bytes(b"no database at all")
    with pytest.raises(LakeError, match=r"damaged.*gateway lake rebuild"):
        Lake.open(folder)
    without_manifest(folder)
    with pytest.raises(LakeError, match="missing; `gateway lake rebuild`"):
        Lake.open(folder)
    assert run().exit_code == 0
    assert rows() == [("a",)]


def test_broken_files_are_set_aside_and_named(
    folder: Path, rows: Rows, run: Callable[..., Result]
) -> None:
    """Files that cannot be read go to aside/, foreign ones stay out, the rest is the lake."""
    for day in (20, 21, 22):
        event = {"messageId": f"m{day}", "timestamp": f"2026-11-{day}T10:00:00Z"}
        lake = write_lake(folder, [event])
    good, cut, changed = lake.paths()
    cut.write_bytes(cut.read_bytes()[:-9])
    content = bytearray(changed.read_bytes())
    content[4:400] = bytes(396)
    changed.write_bytes(content)
    good.with_name("stray.parquet").write_bytes(good.read_bytes())
    without_manifest(folder)
    result = run()
    assert result.exit_code == 1
    for path in (cut, changed):
        assert f"{path.relative_to(folder)}: " in result.stdout
    assert "stray.parquet: has no name of a lake's file" in result.stdout
    assert sorted(path.name for path in folder.glob("aside/*")) == sorted([cut.name, changed.name])
    assert rows() == [("m20",)]


def test_a_rebuild_waits_for_nobody_and_disturbs_nobody(
    folder: Path, run: Callable[..., Result]
) -> None:
    """It is refused while a load or a gateway writes, and for a folder without files."""
    assert "no files of a lake" in run().stderr
    write_lake(folder, [{}])
    session = Session(folder, _MEMORY, ManualClock())
    without_manifest(folder)
    assert "stop it first" in run().stderr
    session.close()
    assert run().exit_code == 0


async def test_a_gateway_keeps_a_rebuild_away(make: Any, folder: Path, batch_of: BatchOf) -> None:
    """A gateway that writes to the lake is named; the manifest stays as it is."""
    await (await make()).send(batch_of([make_event()]))
    with pytest.raises(LakeError, match="stop it first"):
        rebuild(folder, _MEMORY, ManualClock(), even_whole=True)
    assert Lake.open(folder).rows == 1


async def test_events_that_come_again_are_not_doubled(
    make: Any, folder: Path, clock: ManualClock, batch_of: BatchOf, rows: Rows
) -> None:
    """After a rebuild, events that are sent again are known by their places, and by their ids."""
    events = [make_event(message_id=f"m{number}") for number in range(6)]
    lake = await make()
    await lake.send(batch_of(events[:3], queue_id="queue-a"))
    await lake.send(batch_of(events[5:], first=5, queue_id="queue-b"))
    await lake.stop()
    without_manifest(folder)
    assert rebuild(folder, _MEMORY, clock).queues == {"queue-a": 3, "queue-b": 6}
    lake = await make()
    await lake.send(batch_of(events[:5], queue_id="queue-a"))
    await lake.send(batch_of(events, queue_id="queue-b"))
    assert rows() == [(f"m{number}",) for number in range(6)]


def test_copies_of_a_restored_backup_are_known_by_their_rows(
    folder: Path, clock: ManualClock, rows: Rows, tmp_path: Path
) -> None:
    """A file whose rows are all in others is left out; one with some of them is set aside."""
    day = "2026-11-23T10:00:00Z"
    for number in range(4):
        write_lake(folder, [{"messageId": f"m{number}", "timestamp": day}], watermark_ms=0)
    backup = shutil.copytree(folder / "events", tmp_path / "backup")
    config = LakeConfig(merge_files=2)
    keep_up(folder, config, clock)
    keep_up(folder, config, clock)
    clock.advance(3600)
    keep_up(folder, config, clock)  # deletes the parts, and the parts of the parts
    shutil.copytree(backup, folder / "events", dirs_exist_ok=True)
    without_manifest(folder)
    done = rebuild(folder, _MEMORY, clock)
    assert (done.files, done.rows, len(done.replaced)) == (1, 4, 4)
    assert rows() == [(f"m{number}",) for number in range(4)]


async def test_erased_rows_do_not_come_back(make: Any, folder: Path, tmp_path: Path) -> None:
    """A file that was replaced by one without a user's rows stays out, though it has more rows."""
    day = "2026-11-23T10:00:00Z"
    write_lake(folder, [{"userId": user, "timestamp": day} for user in ("erase-me", "keep-me")])
    backup = shutil.copytree(folder / "events", tmp_path / "backup")
    lake = await make()
    await lake.erase(Subjects(frozenset({"erase-me"})))
    await lake.stop()
    shutil.copytree(backup, folder / "events", dirs_exist_ok=True)
    without_manifest(folder)
    done = rebuild(folder, _MEMORY, ManualClock())
    assert (done.rows, len(done.replaced)) == (1, 1)


def test_a_file_that_shares_some_rows_is_set_aside(folder: Path, tmp_path: Path) -> None:
    """Rows of a file that are in another file, too, are not counted twice."""
    day = "2026-11-23T10:00:00Z"
    other = write_lake(tmp_path / "other", [{"timestamp": day}, {"timestamp": day}])
    lake = write_lake(folder, [{"timestamp": day}] * 3)
    (more,) = other.paths()
    write_lake(tmp_path / "other", [{"timestamp": day}] * 2)
    shutil.copy(more, lake.paths()[0].parent)
    without_manifest(folder)
    done = rebuild(folder, _MEMORY, ManualClock())
    assert (done.rows, len(done.replaced)) == (3, 1)
