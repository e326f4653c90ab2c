"""Retention against ClickHouse, whose engine the package chdb has."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

DAY = datetime(2026, 5, 4, tzinfo=UTC)
UNITS = 7


@pytest.mark.long
def test_retention_equals_that_of_clickhouse(ask: Callable[..., Any], tmp_path: Path) -> None:
    """Cohorts of first visits have the same people on each of seven days, for 20,000 events."""
    chdb = pytest.importorskip("chdb", reason="chdb is not installed: pip install chdb-core")
    chance = random.Random(5)
    events = [
        (chance.randrange(4000), int(chance.random() ** 2 * 20 * 86400)) for _ in range(20_000)
    ]
    file = tmp_path / "visits.csv"
    file.write_text("".join(f"{who},{at}\n" for who, at in events))
    ages = ", ".join(f"age = {age}" for age in range(UNITS + 1))
    sql = f"""SELECT cohort, sumForEach(retained) FROM (
      SELECT who, any(first) AS cohort, retention({ages}) AS retained FROM (
        SELECT who, first, intDiv(at, 86400) - first AS age
        FROM file('{file}', CSV, 'who UInt32, at UInt32') AS visits
        JOIN (SELECT who, intDiv(min(at), 86400) AS first
              FROM file('{file}', CSV, 'who UInt32, at UInt32') GROUP BY who) AS firsts
        USING (who)
      ) GROUP BY who
    ) GROUP BY cohort FORMAT JSONCompactEachRow"""
    expected = {}
    for line in str(chdb.query(sql)).strip().splitlines():
        cohort, counts = json.loads(line)
        for age, people in enumerate(counts):
            expected[(DAY + timedelta(int(cohort))).date(), age] = int(people)
    rows = ask(
        "retention",
        [
            {"user_id": f"u{who}", "event": "Seen", "ts": (DAY + timedelta(seconds=at)).isoformat()}
            for who, at in events
        ],
        options={"every": "day", "units": UNITS},
        from_=f"{DAY:%Y-%m-%d}",
        to="2026-05-24",
    ).result.rows
    found = {(row.cohort, row.unit): row.returned for row in rows if row.cohort}
    assert len(found) > 100
    assert found == {cell: expected[cell] for cell in found}
