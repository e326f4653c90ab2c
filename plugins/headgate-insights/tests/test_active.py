"""Active people over ranges longer than a person's set of bits."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from headgate_insights.figures.active import ActiveOptions
from headgate_insights.registry import find_figure

FIRST, LAST = date(2026, 1, 30), date(2026, 9, 6)  # 220 days: three sets of 97
WEIGHTS = {"a": 1.0, "b": 3.0, "c": 8.0, "d": 1.5}


@pytest.mark.parametrize("by", ["", "country"])
def test_windows_reach_across_the_sets_of_bits(ask: Callable[..., Any], by: str) -> None:
    """On every day of a long range the windows have the people that polars counts in them."""
    chance = random.Random(7)
    visits = [
        (chance.choice("abcd"), FIRST + timedelta(chance.randrange(-40, 220)), chance.choice("XY"))
        for _ in range(70)
    ]
    events = [
        {"user_id": who, "ts": f"{day}T{chance.randrange(24):02}:30Z", "event": "Opened",
         "country": country, "weight": WEIGHTS[who]}
        for who, day, country in visits
    ]  # fmt: skip
    table = pl.DataFrame(
        [(who, day, country if by else "", WEIGHTS[who]) for who, day, country in visits],
        schema=["who", "day", "label", "weight"],
        orient="row",
    )
    now = datetime(2026, 9, 20, tzinfo=UTC).isoformat()
    rows = ask(
        "active", events, now=now, from_=f"{FIRST}", to=f"{LAST + timedelta(1)}", by=by
    ).result.rows
    assert len(rows) == 220 * table["label"].n_unique()
    for row in rows:
        theirs = table.filter(pl.col("label") == row.label)
        for days, found in ((1, row.daily), (7, row.weekly), (30, row.monthly)):
            window = pl.col("day").is_between(row.day - timedelta(days - 1), row.day)
            assert found == theirs.filter(window).unique("who")["weight"].sum(), (row.day, days)


def test_a_range_without_a_whole_day_has_a_whole_table(ask: Callable[..., Any]) -> None:
    """Before the first day is over there are no averages, and the table has all its columns."""
    events = [{"user_id": "a", "ts": f"{LAST}T08:30Z", "event": "Opened"}]
    result = ask("active", events, now=f"{LAST}T12:00:00+00:00", from_=f"{LAST}").result
    scope: Any = SimpleNamespace(by="")
    table = find_figure("active").build(ActiveOptions()).table(scope, result)
    assert {len(cells) for cells in table.rows} == {len(table.columns)}
