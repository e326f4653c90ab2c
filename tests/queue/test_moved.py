"""Files of the queue that are moved or removed under the gateway."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import structlog

from gateway.components.store import Frame
from gateway.queue.disk import DiskConfig, DiskStore


def opened(folder: Path) -> DiskStore:
    store = DiskStore(folder, DiskConfig(), lambda: 0, structlog.get_logger())
    store.open()
    return store


def frames(store: DiskStore) -> list[int]:
    reader = store.reader(0)
    found: list[int] = []
    while isinstance(frame := reader.next(), Frame):
        found.append(frame.offset)
    reader.close()
    return found


@pytest.mark.parametrize("removed", ["file", "queue", "data_dir"])
def test_events_go_where_the_next_start_finds_them(tmp_path: Path, removed: str) -> None:
    """A file without a name would take events, acknowledge them and vanish with the process."""
    folder = tmp_path / "data" / "queue"
    store = opened(folder)
    for _ in range(2):
        store.write([b"[1]"], [1], sync=True)
    identity = store.identity()
    if removed == "file":
        next(folder.glob("*.seg")).unlink()
    else:
        shutil.rmtree(folder if removed == "queue" else folder.parent)
    assert store.write([b"[2]"], [1], sync=True) == 2
    assert store.write([b"[3]"], [1], sync=True) == 3
    name = store.identity_at(3)
    assert frames(store) == [2, 3]
    assert store.status().damaged_events == 2, "those that are gone are said to be"
    store.close()

    store = opened(folder)
    assert store.status().end == 4
    assert frames(store) == [2, 3]
    assert (store.identity(), store.identity_at(3)) == (identity, name)
    store.close()


def test_a_folder_that_cannot_be_made_again_refuses_events(tmp_path: Path) -> None:
    """Nothing is acknowledged that is not stored."""
    folder = tmp_path / "data" / "queue"
    store = opened(folder)
    store.write([b"[1]"], [1], sync=True)
    shutil.rmtree(folder.parent)
    folder.parent.write_text("a file")
    with pytest.raises(Exception, match="cannot write"):
        store.write([b"[2]"], [1], sync=True)
    assert store.status().problem
    folder.parent.unlink()
    assert store.write([b"[2]"], [1], sync=True) == 1
    assert store.status().problem == ""
    store.close()
