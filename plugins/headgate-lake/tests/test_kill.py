"""Processes that are killed at any moment lose no event and double none."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import now_ms
from gateway.testing import ManualClock
from headgate_lake import LakeConfig
from headgate_lake.upkeep import keep_up
from headgate_lake.verification import verify_lake

Rows = Callable[..., list[tuple[Any, ...]]]
Begin = Callable[..., subprocess.Popen[bytes]]

_BATCH = 10

# Delivery in small: reads from its cursor, writes a batch, and then moves the cursor.
_WORKER = """
import sys
from pathlib import Path
from gateway import Batch, now_ms
from gateway.testing import make_event
from headgate_lake import LakeConfig
from headgate_lake.upkeep import keep_up
from headgate_lake.writer import LakeWriter

folder, name, end, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
cursor_file = folder.parent / f"cursor-{name}"
writer = LakeWriter(folder, 128_000_000, now_ms)
cursor = int(cursor_file.read_text()) if cursor_file.exists() else 0
while cursor < end:
    offsets = range(cursor, min(cursor + size, end))
    events = [make_event(message_id=f"{name}-{offset}") for offset in offsets]
    writer.write(Batch(events, offsets, queue_id=name), int(name[-1]))
    cursor = offsets.stop
    if cursor // size % 5 == 0:
        keep_up(folder, LakeConfig(merge_files=4, late_hours=10**6), now_ms)
    aside = cursor_file.with_suffix(".new")
    aside.write_text(str(cursor))
    aside.rename(cursor_file)
writer.close()
"""


def _reached(folder: Path, name: str) -> int:
    cursor = folder.parent / f"cursor-{name}"
    return int(cursor.read_text()) if cursor.exists() else 0


def check_kills(folder: Path, rows: Rows, begin: Begin, kills: int, seed: int) -> None:
    """Kills two workers at random moments, lets them finish, and compares."""
    chance = random.Random(seed)
    names, end = ("worker-0", "worker-1"), 10_000_000
    for _ in range(kills):
        goal = {name: _reached(folder, name) + _BATCH * chance.randint(1, 6) for name in names}
        workers = [begin(_WORKER, folder, name, end, _BATCH) for name in names]
        for name, worker in zip(names, workers, strict=True):
            while _reached(folder, name) < goal[name]:
                assert worker.poll() is None
                time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.2))
        for worker in workers:
            worker.kill()
            worker.wait()
    expected = set()
    for name in names:
        reached = _reached(folder, name)
        last = begin(_WORKER, folder, name, reached + 2 * _BATCH, _BATCH)
        assert last.wait() == 0
        expected |= {(f"{name}-{offset}",) for offset in range(reached + 2 * _BATCH)}
    keep_up(folder, LakeConfig(merge_files=4, late_hours=10**6), ManualClock(now_ms()))
    found = rows()
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert verify_lake(folder, 128_000_000).findings == []
    assert list((folder / "writing").iterdir()) == []


def test_kills_lose_and_double_nothing(folder: Path, rows: Rows, begin: Begin) -> None:
    """Two workers that are killed while they write and merge have each event in the lake once."""
    check_kills(folder, rows, begin, kills=1, seed=1)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_kills_lose_and_double_nothing(folder: Path, rows: Rows, begin: Begin) -> None:
    """The same, for many moments."""
    check_kills(folder, rows, begin, kills=40, seed=2)
