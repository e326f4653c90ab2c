"""Readers see which files hold a time range and how far the lake is complete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, format_ms
from gateway.testing import START_MS, ManualClock, make_event
from headgate_lake import Lake, LakeError
from headgate_lake.testing import write_lake
from headgate_lake.watermark import SILENT_MS
from headgate_lake.writer import SETTLE_MS

BatchOf = Callable[..., Batch]


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def test_lists_the_files_of_a_range(folder: Path) -> None:
    """Only files that may hold events of the range are listed, by explicit paths."""
    days = ["2026-11-20", "2026-11-21", "2026-11-22"]
    lake = write_lake(folder, [{"timestamp": f"{day}T10:00:00Z"} for day in days])
    start, end = datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)
    assert [file.day for file in lake.files()] == days
    assert [file.day for file in lake.files(start)] == days[1:]
    assert [file.day for file in lake.files(start, end)] == days[1:2]
    assert all(path.is_file() for path in lake.paths(start, end))
    assert lake.span == (start - timedelta(hours=14), end + timedelta(hours=10))
    with pytest.raises(ValueError, match="has no time zone"):
        lake.files(datetime(2026, 11, 21))  # noqa: DTZ001 - that is the point


def test_no_lake_is_a_clear_error(tmp_path: Path) -> None:
    """A folder without a lake, and a manifest that is none, say so."""
    with pytest.raises(LakeError, match="no lake here"):
        Lake.open(tmp_path)
    (tmp_path / "manifest.sqlite").write_bytes(b"something else, for at least a hundred bytes" * 9)
    with pytest.raises(LakeError, match="damaged, or no manifest"):
        Lake.open(tmp_path)


async def test_the_watermark_is_that_of_the_slowest_shard(
    make: Any, folder: Path, batch_of: BatchOf, clock: ManualClock
) -> None:
    """A shard counts with its newest event, or with the present while nothing waits there."""
    first, second = await make(shard=0), await make(shard=1)
    lake = Lake.open(folder)
    assert lake.watermark is None
    await first.caught_up()
    assert lake.watermark is None
    clock.advance(60)
    await second.send(batch_of([make_event(received_at=format_ms(START_MS - 7000))]))
    assert lake.watermark == moment(START_MS - 7000 - SETTLE_MS)
    clock.advance(60)
    await second.caught_up()
    assert lake.watermark == moment(START_MS - SETTLE_MS)
    await first.caught_up()
    assert lake.watermark == moment(clock() - SETTLE_MS)


async def test_a_shard_that_is_gone_does_not_hold_the_watermark(
    make: Any, folder: Path, clock: ManualClock
) -> None:
    """A shard that was silent for a day, while another was not, no longer counts."""
    first, second = await make(shard=0), await make(shard=1)
    await first.caught_up()
    await second.caught_up()
    await second.stop()
    clock.advance(SILENT_MS / 1000 - 1)
    await first.caught_up()
    assert Lake.open(folder).watermark == moment(START_MS - SETTLE_MS)
    clock.advance(10)
    await first.caught_up()
    assert Lake.open(folder).watermark == moment(clock() - SETTLE_MS)
