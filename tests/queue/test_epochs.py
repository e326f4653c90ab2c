"""Names of events that stay unique when offsets are given out again."""

from __future__ import annotations

import shutil
from pathlib import Path

import structlog

from gateway.queue.disk import DiskConfig, DiskStore


def opened(folder: Path, **config: int) -> DiskStore:
    store = DiskStore(folder, DiskConfig(**config), lambda: 0, structlog.get_logger())
    store.open()
    return store


def written(folder: Path, events: int = 2) -> list[str]:
    """Returns the names of events that one run writes, and of all before them."""
    store = opened(folder)
    store.write([b"[1]"] * events, [1] * events, sync=True)
    names = [store.identity_at(offset)[0] for offset in range(store.status().end)]
    store.close()
    return names


def test_events_keep_their_name_over_restarts(tmp_path: Path) -> None:
    """A batch that is sent again after a crash is known to a destination that has it."""
    first = written(tmp_path)
    second = written(tmp_path)
    assert first[0] == first[1]
    assert second[:2] == first
    store = opened(tmp_path)
    assert [store.identity_at(offset)[0] for offset in range(4)] == second
    assert store.identity_at(0) == (first[0], 2)
    assert store.identity_at(3)[1] is None
    store.close()


def test_offsets_of_a_restored_backup_get_another_name(tmp_path: Path) -> None:
    """Also if the backup was made while the lost events were being written."""
    queue, backup = tmp_path / "queue", tmp_path / "backup"
    written(queue)
    shutil.copytree(queue, backup)
    lost = written(queue)
    shutil.copy(queue / "epochs", backup / "epochs")
    shutil.rmtree(queue)
    backup.rename(queue)
    found = written(queue)
    assert found[:2] == lost[:2]
    assert not set(found[2:]) & set(lost)


def test_a_run_that_writes_nothing_begins_no_epoch(tmp_path: Path) -> None:
    """So that a gateway starts on a full disk, and the file does not grow."""
    written(tmp_path)
    before = (tmp_path / "epochs").read_bytes()
    for _ in range(3):
        opened(tmp_path).close()
    assert (tmp_path / "epochs").read_bytes() == before


def test_a_damaged_file_costs_no_new_event(tmp_path: Path) -> None:
    """At worst a destination takes old events once more."""
    first = written(tmp_path)
    (tmp_path / "epochs").write_bytes(b"nonsense\n0 zz\n")
    second = written(tmp_path)
    assert len(set(second[2:])) == 1
    assert not set(second[2:]) & {*first, *second[:2]}
