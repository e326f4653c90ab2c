"""Lakes of every released schema version can be read and written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate_lake import SCHEMA_VERSION, Lake
from headgate_lake.testing import write_lake
from headgate_lake.verification import verify_lake

Rows = Callable[..., list[tuple[Any, ...]]]

_DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_lake_of_an_earlier_version(folder: Path, rows: Rows, version: int) -> None:
    """A lake kept from that version opens with all its rows, verifies, and takes more."""
    shutil.copytree(_DATA / f"lake-{version}", folder)
    assert verify_lake(folder, 64_000_000).findings == []
    state = Lake.open(folder).state()
    assert (state.rows, [day.closed for day in state.days]) == (4, [True, False])
    assert [(change.old_rows, change.new_rows) for change in state.changes] == [(2, 3)]
    write_lake(folder, [{"userId": "cy", "timestamp": "2026-11-24T10:00:00Z"}])
    assert rows("user_id, revenue, currency, click_id")[:3] == [
        ("ada", 25.0, "EUR", None),
        ("ada", None, None, None),
        ("bo", None, None, None),
    ]
    assert len(rows()) == 5
