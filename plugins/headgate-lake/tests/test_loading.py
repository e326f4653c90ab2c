"""Loading events with their own times into a lake, and taking them back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

import headgate_lake
from gateway import Event
from headgate_lake.folder import Folder
from headgate_lake.testing import write_lake

_DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")


def _events(first: int, last: int) -> list[Event]:
    return [
        Event(
            type="track",
            event="Viewed",
            message_id=f"load-{number}",
            source_id="past",
            user_id=f"u{number % 3}",
            timestamp=f"{_DAYS[number % 3]}T10:00:00.000Z",
            received_at=f"{_DAYS[number % 3]}T10:00:01.000Z",
        )
        for number in range(first, last)
    ]


def _load(folder: Path, events: Iterable[Event], queue_id: str = "past") -> list[int]:
    with headgate_lake.Loader(folder, queue_id, batch_events=4) as loader:
        return list(loader.load(events))


def test_events_keep_their_own_times(tmp_path: Path) -> None:
    """Loaded events lie in the days on which they happened."""
    assert _load(tmp_path, _events(0, 9)) == [4, 8, 9]
    days = headgate_lake.Lake.open(tmp_path).state().days
    assert {day.day: day.rows for day in days} == dict.fromkeys(_DAYS, 3)


def test_a_load_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """After an interruption the position tells which events are in the lake."""
    with headgate_lake.Loader(tmp_path, "past", batch_events=4) as loader:
        next(iter(loader.load(_events(0, 9))))
    with headgate_lake.Loader(tmp_path, "past", batch_events=4) as loader:
        assert loader.position == 4
        assert list(loader.load(_events(loader.position, 9))) == [8, 9]
    assert headgate_lake.Lake.open(tmp_path).rows == 9


def test_unloading_takes_exactly_the_rows_of_the_load(tmp_path: Path) -> None:
    """Events that came another way stay, the files are gone, and the load can begin anew."""
    other = [{"userId": "ada", "timestamp": f"{day}T12:00:00Z"} for day in _DAYS]
    write_lake(tmp_path, other)
    _load(tmp_path, _events(0, 9))
    assert headgate_lake.queue_ids(tmp_path) == ["past", "test"]
    assert headgate_lake.unload(tmp_path, "past") == 9
    lake = headgate_lake.Lake.open(tmp_path)
    assert (lake.rows, headgate_lake.queue_ids(tmp_path)) == (3, ["test"])
    assert not any(b"load-" in path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    assert set(tmp_path.rglob("*.parquet")) == set(lake.paths())
    assert _load(tmp_path, _events(0, 9)) == [4, 8, 9]


def test_unloading_what_was_never_loaded_changes_nothing(tmp_path: Path) -> None:
    """A load without rows is no error, and a folder without a lake has no loads."""
    assert headgate_lake.queue_ids(tmp_path) == []
    write_lake(tmp_path, [{}])
    assert headgate_lake.unload(tmp_path, "past") == 0
    assert headgate_lake.Lake.open(tmp_path).rows == 1


@pytest.mark.parametrize("owned", [False, True])
def test_only_a_gateway_says_how_far_its_lake_is_complete(tmp_path: Path, owned: bool) -> None:
    """A load sets the watermark of a lake of its own, never that of a gateway's lake."""
    with headgate_lake.Loader(tmp_path, "past") as loader:
        if owned:
            os.close(Folder(tmp_path).own("data"))
        loader.complete_up_to(1_800_000_000_000)
    assert (headgate_lake.Lake.open(tmp_path).watermark is None) == owned
