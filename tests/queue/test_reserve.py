"""Room on disk for the state store, and a queue on a full disk."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import msgspec
import pytest
import structlog

from gateway.errors import QueueFull
from gateway.queue import reserve as reserve_module
from gateway.queue.disk import DiskConfig, DiskStore
from gateway.queue.files import RealFileSystem
from gateway.queue.reserve import RESERVE_FILE, Reserve, release

CHUNK = msgspec.json.encode([{"pad": random.Random(2).randbytes(3000).hex()}])


class SmallDisk(RealFileSystem):
    """Files that have so much room together."""

    def __init__(self, folder: Path, room: int) -> None:
        self.folder, self.room = folder, room

    def write(self, fd: int, data: bytes) -> None:
        if sum(path.stat().st_size for path in self.folder.iterdir()) + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, data)


def opened(folder: Path, files: RealFileSystem | None = None, **config: int) -> DiskStore:
    reserve = Reserve(folder.parent, config.get("reserve_bytes", 0))
    settings = DiskConfig(**{"segment_bytes": 8192, "reserve_bytes": 0, **config})
    store = DiskStore(folder, settings, lambda: 0, structlog.get_logger(), files, reserve=reserve)
    store.open()
    return store


def test_a_reserve_is_made_released_and_made_again(tmp_path: Path) -> None:
    """It has its size, and is for the owner only."""
    reserve = Reserve(tmp_path, 50_000)
    assert not reserve.whole
    assert reserve.fill()
    found = (tmp_path / RESERVE_FILE).stat()
    assert (found.st_size, found.st_mode & 0o777) == (50_000, 0o600)
    assert release(tmp_path)
    assert not release(tmp_path)
    assert reserve.fill()
    assert Reserve(tmp_path / "missing", 0).fill()
    assert not Reserve(tmp_path / "missing", 1).fill()


def test_delivered_events_go_when_the_disk_is_full(tmp_path: Path) -> None:
    """Though max_bytes is far away: the disk may be smaller than that."""
    folder = tmp_path / "queue"
    store = opened(folder, SmallDisk(folder, 60_000))
    with pytest.raises(QueueFull):
        for _ in range(100):
            store.write([CHUNK], [1], sync=True)
    end = store.status().end
    store.release(end, 0)
    for number in range(20):
        assert store.write([CHUNK], [1], sync=True) == end + number
        store.release(store.status().end, 0)
    assert store.status().problem == ""
    store.close()


def test_without_the_reserve_the_queue_takes_no_events(tmp_path: Path) -> None:
    """They would use up the room that the state store was given; it goes on by itself."""
    store = opened(tmp_path / "queue", reserve_bytes=50_000)
    store.write([CHUNK], [1], sync=True)
    release(tmp_path)
    (tmp_path / "reserve.new").mkdir()  # so that no file of this name can be made
    store.release(0, 0)
    with pytest.raises(QueueFull, match="No space left"):
        store.write([CHUNK], [1], sync=True)
    assert store.status().problem

    (tmp_path / "reserve.new").rmdir()
    store.release(0, 0)
    assert store.status().problem == ""
    assert (tmp_path / RESERVE_FILE).stat().st_size == 50_000
    store.close()


def test_a_start_on_a_full_disk_takes_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journals need room; on a disk with room the reserve stays."""
    Reserve(tmp_path, 1000).fill()
    reserve_module.release_if_full(tmp_path, 1)
    assert (tmp_path / RESERVE_FILE).exists()
    full = os.statvfs_result((4096, 4096, 1000, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    reserve_module.release_if_full(tmp_path, 1)
    assert not (tmp_path / RESERVE_FILE).exists()


def test_one_segment_as_large_as_the_queue_is_parted_with(tmp_path: Path) -> None:
    """Otherwise a queue with segment_bytes over max_bytes stays full; offsets go on after it."""
    folder = tmp_path / "queue"
    store = opened(folder, max_bytes=1_000_000, segment_bytes=64_000_000)
    with pytest.raises(QueueFull, match="max_bytes"):
        for _ in range(1000):
            store.write([CHUNK], [1], sync=True)
    end = store.status().end
    store.release(end, 0)
    assert store.status().problem == ""
    assert store.status().first == end
    store.close()

    store = opened(folder)
    assert store.status().end == end
    assert store.write([CHUNK], [1], sync=True) == end
    store.close()
    store = opened(folder)
    assert (store.status().first, store.status().end) == (end, end + 1)
    store.close()
