"""Disks, folders and files that fail: a clear sentence, and a way back."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, Misconfigured, Retryable
from gateway.testing import ManualClock, make_config, make_context, make_event
from headgate_lake import Lake, LakeConfig, unload
from headgate_lake.destination import LakeDestination
from headgate_lake.manifest import MANIFEST, Manifest
from headgate_lake.parquet import Engine
from headgate_lake.testing import write_lake
from headgate_lake.verification import verify_lake

Rows = Callable[..., list[tuple[Any, ...]]]
BatchOf = Callable[..., Batch]


def files_in(folder: Path, pattern: str = "*") -> list[Path]:
    return list(folder.rglob(pattern))


async def test_a_full_disk_loses_nothing(
    make: Any, batch_of: BatchOf, rows: Rows, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails half-way is tried again, adds nothing meanwhile and leaves no file."""
    lake = await make()
    write_staged = Engine.write_staged

    def full(self: Engine, days: Any, path: Path) -> None:
        write_staged(self, days, path)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Engine, "write_staged", full)
    with pytest.raises(Retryable, match="No space left on device"):
        await lake.send(batch_of([make_event(message_id="a")]))
    assert files_in(folder, "*.parquet") == []
    monkeypatch.undo()
    await lake.send(batch_of([make_event(message_id="a")]))
    assert rows() == [("a",)]


async def test_a_missing_manifest_is_not_made_anew(make: Any, folder: Path) -> None:
    """With files but without a manifest the lake refuses to start, and says what to do."""
    write_lake(folder, [{}])
    for path in files_in(folder, "manifest*"):
        path.unlink()
    with pytest.raises(Misconfigured, match=r"manifest\.sqlite is missing.*put it back"):
        await make()


async def test_a_lake_that_is_moved_while_it_is_written(
    make: Any, batch_of: BatchOf, rows: Rows, folder: Path
) -> None:
    """Once a moved manifest is back, events go on, and none is missing or double."""
    lake = await make()
    await lake.send(batch_of([make_event(message_id="a")]))
    aside = folder.parent / "aside.sqlite"
    (folder / "manifest.sqlite").rename(aside)
    with pytest.raises(Misconfigured, match=r"manifest\.sqlite is missing"):
        await lake.send(batch_of([make_event(message_id="b")], first=1))
    aside.rename(folder / "manifest.sqlite")
    await lake.send(batch_of([make_event(message_id="b")], first=1))
    assert rows() == [("a",), ("b",)]


async def test_two_gateways_do_not_share_a_lake(make: Any, tmp_path: Path) -> None:
    """A second gateway, with another data folder, is refused while the first one runs."""
    first = await make()
    context = replace(make_context(tmp_path), shared_dir=tmp_path / "other")
    second = LakeDestination(make_config(LakeConfig, {"path": "lake"}), context)
    with pytest.raises(Misconfigured, match="give each gateway a lake of its own"):
        await second.start()
    await second.stop()
    await first.stop()
    await second.start()
    await second.stop()


async def test_check_needs_a_folder_that_can_be_written(tmp_path: Path) -> None:
    """`gateway check` refuses a path below a file, and makes nothing."""
    (tmp_path / "file").touch()
    config = make_config(LakeConfig, {"path": "file/lake"})
    with pytest.raises(Misconfigured, match="is not a folder"):
        await LakeDestination(config, make_context(tmp_path)).check()
    await LakeDestination(LakeConfig(), make_context(tmp_path)).check()
    assert [path.name for path in files_in(tmp_path)] == ["file"]


def test_verify_finds_every_difference(folder: Path, clock: ManualClock) -> None:
    """A changed, cut or missing file and a file too many are named; nothing is changed."""
    for day in (20, 21, 22, 23):
        lake = write_lake(folder, [{"timestamp": f"2026-11-{day}T10:00:00Z"}])
    good, cut, missing, changed = lake.paths()
    cut.write_bytes(cut.read_bytes()[:-9])
    missing.unlink()
    changed.write_bytes(good.read_bytes())
    stray = good.with_name("stray.parquet")
    stray.write_bytes(good.read_bytes())
    found = verify_lake(folder, 64_000_000)
    problems = {folder / finding.path: finding.problem for finding in found.findings}
    assert (found.files, found.rows) == (1, 1)
    assert problems.keys() == {cut, missing, changed, stray}
    assert "bytes" in problems[cut]
    assert problems[missing] == "is missing"
    assert "not in the manifest" in problems[stray]


async def test_a_broken_file_does_not_stop_a_replay(
    make: Any, batch_of: BatchOf, rows: Rows, folder: Path
) -> None:
    """A file that cannot be read is set aside; a replay brings its events back, and no others."""
    lake = await make()
    events = [make_event(message_id=f"m{number}") for number in range(4)]
    await lake.send(batch_of(events[:2]))
    await lake.send(batch_of(events[2:], first=2))
    broken = Lake.open(folder).paths()[0]
    broken.write_bytes(broken.read_bytes()[:-20])
    await lake.send(batch_of(events))
    assert rows() == [(f"m{number}",) for number in range(4)]
    assert [path.name for path in files_in(folder / "aside")] == [broken.name]


def test_a_broken_file_does_not_stop_the_removal_of_a_load(folder: Path) -> None:
    """A load is taken back from the files that can be read, and the broken one is named."""
    for number in range(3):
        event = {"timestamp": f"2026-11-2{number}T10:00:00Z"}
        write_lake(folder, [event])
    path = Lake.open(folder).paths()[1]
    path.write_bytes(path.read_bytes()[:-9])
    told: list[str] = []
    assert unload(folder, "test", broken=lambda path, _: told.append(path)) == 2
    assert told == [str(path.relative_to(folder))]


def test_a_manifest_has_its_name_once_it_is_whole(folder: Path) -> None:
    """Whoever finds a new manifest can read it: the tables are made before it has its name."""
    folder.mkdir()
    seen: list[bool] = []

    def look(statement: str) -> None:
        seen.append((folder / MANIFEST).exists())

    connect = sqlite3.connect

    def traced(*given: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*given, **options)
        db.set_trace_callback(look)
        return db

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", traced)
        Manifest(folder, writes=True, create=True).close()
    assert seen.index(True) > 10
    assert Lake.open(folder).rows == 0
    assert [path.name for path in folder.glob(".*")] == []
