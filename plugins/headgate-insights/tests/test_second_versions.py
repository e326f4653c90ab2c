"""Second versions of figures in polars, over one shop; and weights that change nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from headgate_insights.registry import BUILTINS

Ask = Callable[..., Any]
Question = Callable[[str], tuple[dict[str, Any], dict[str, Any]]]
ZONE = "Europe/Berlin"
FIRST, LAST = date(2026, 3, 2), date(2026, 5, 10)
SCOPE = {"from_": f"{FIRST}", "to": f"{LAST + timedelta(1)}", "zone": ZONE}
TODAY = date(2026, 6, 1)
PATH_STEPS = 3


def shop() -> list[tuple[str, datetime, str]]:
    """Visits of 24 people from February to May, each of a few events minutes apart."""
    chance = random.Random(11)
    found = []
    for who in range(24):
        for _ in range(chance.randrange(1, 14)):
            at = datetime(2026, 2, 10, tzinfo=UTC) + timedelta(
                minutes=chance.randrange(100 * 24 * 60), seconds=who
            )
            for step in range(chance.randrange(1, 6)):
                at += timedelta(minutes=chance.choice((1, 2, 5, 45)), seconds=step)
                found.append((f"u{who}", at, chance.choice("AAABC")))
    return sorted(set(found), key=lambda one: (one[1], one[0]))


EVENTS = shop()
ROWS = [{"user_id": who, "ts": at.isoformat(), "event": event} for who, at, event in EVENTS]
TABLE = pl.DataFrame(
    [(who, at.timestamp(), at.astimezone(ZoneInfo(ZONE)).date(), event)
     for who, at, event in EVENTS],
    schema=["who", "at", "day", "event"],
    orient="row",
)  # fmt: skip
INSIDE = TABLE.filter(pl.col("day").is_between(FIRST, LAST))


@pytest.mark.parametrize(("every", "length"), [("day", "1d"), ("week", "1w"), ("month", "1mo")])
def test_lifecycle(ask: Ask, every: str, length: str) -> None:
    """Sets of active people, compared from one period to the next, have the same four kinds."""
    rows = ask("lifecycle", ROWS, options={"every": every}, **SCOPE).result.rows
    table = TABLE.filter(pl.col("day") <= LAST).with_columns(
        pl.col("day").dt.truncate(length).alias("period")
    )

    def active(before: date, since: date = date(2000, 1, 1)) -> set[str]:
        return set(table.filter(pl.col("period").is_between(since, before))["who"])

    assert len(rows) > 2
    for row in rows:
        (earlier,) = pl.Series([row.begins]).dt.offset_by(f"-{length}")
        now, then = active(row.begins, row.begins), active(earlier, earlier)
        ever = active(row.begins - timedelta(1))
        assert row.new == len(now - ever)
        assert row.returning == len(now & then)
        assert row.resurrected == len((now & ever) - then)
        assert row.dormant == len(then - now)
        assert row.active == row.new + row.returning + row.resurrected == len(now)


def test_churn_of_silent_people(ask: Ask) -> None:
    """Survival is the running product over ages of 1 - left / at risk."""
    gap = 20
    people = (
        TABLE.group_by("who")
        .agg(pl.col("day").min().alias("first"), pl.col("day").max().alias("last"))
        .filter(pl.col("first").is_between(FIRST, LAST))
        .with_columns(
            (pl.col("last") - pl.col("first")).dt.total_days().alias("age"),
            (pl.col("last") + timedelta(gap) <= TODAY).alias("left"),
        )
    )
    curve = (
        people.group_by("age")
        .agg(pl.col("left").sum(), pl.len().alias("people"))
        .sort("age")
        .with_columns(
            (people.height - pl.col("people").cum_sum().shift(1, fill_value=0)).alias("n")
        )
        .with_columns((1 - (1 - pl.col("left") / pl.col("n")).cum_prod()).alias("share"))
    )
    rows = ask("churn", ROWS, options={"gap_days": gap}, **SCOPE).result.rows
    assert 0 < curve["left"].sum() < people.height
    assert [(row.age, row.at_risk, row.left) for row in rows] == curve.select(
        "age", "n", "left"
    ).rows()
    assert [row.share for row in rows] == pytest.approx(curve["share"].to_list())


def test_churn_by_contract(ask: Ask) -> None:
    """Contracts from an A to the next B, laid over weeks, have the same customers and leavers."""
    turns = (
        TABLE.filter(pl.col("event").is_in(["A", "B"]) & (pl.col("day") <= LAST))
        .sort("who", "at")
        .with_columns(
            (pl.col("event") == "A").alias("begins"), pl.col("day").dt.truncate("1w").alias("week")
        )
        .filter(pl.col("begins") != pl.col("begins").shift(1, fill_value=False).over("who"))
        .with_columns(pl.col("week").shift(-1).over("who").alias("ended"))
        .filter("begins")
    )
    options = {"definition": "contract", "begin": "A", "end": "B", "every": "week"}
    rows = ask("churn", ROWS, options=options, **SCOPE).result.rows
    assert sum(row.left for row in rows) > 3
    for row in rows:
        there = turns.filter(
            (pl.col("week") < row.begins)
            & (pl.col("ended").is_null() | (pl.col("ended") >= row.begins))
        )
        assert row.at_risk == there.height
        assert row.left == there.filter(pl.col("ended") == row.begins).height


def test_paths(ask: Ask) -> None:
    """Sessions cut at pauses, without repeats and after three steps, are the same paths."""
    pause = pl.col("at") - pl.col("at").shift(1).over("who") > 30 * 60
    sessions = (
        INSIDE.sort("who", "at")
        .with_columns(pause.fill_null(True).cum_sum().alias("session"))
        .filter(pl.col("event").ne_missing(pl.col("event").shift(1).over("session")))
        .group_by("session", maintain_order=True)
        .agg(pl.col("who").first(), pl.col("event"))
        .with_columns(
            pl.when(pl.col("event").list.len() < PATH_STEPS)
            .then(pl.concat_list("event", pl.lit(["(end)"])))
            .otherwise(pl.col("event").list.head(PATH_STEPS))
            .list.join(" > ")
            .alias("path")
        )
        .group_by("path")
        .agg(pl.len().alias("sessions"), pl.col("who").n_unique().alias("people"))
    )
    options = {"steps": PATH_STEPS, "show": 50}
    rows = ask("paths", ROWS, options=options, **SCOPE).result.rows
    assert {(row.path, row.sessions, row.people) for row in rows} == set(sessions.rows())
    assert len(rows) > 5


def test_events(ask: Ask) -> None:
    """Events by name have the same number, people, and first and last time."""
    expected = INSIDE.group_by("event").agg(
        pl.len(), pl.col("who").n_unique().alias("people"), pl.col("at").min().alias("first"),
        pl.col("at").max().alias("last"),
    )  # fmt: skip
    rows = ask("events", ROWS, **SCOPE).result.rows
    assert {
        (row.event, row.count, row.people, row.first.timestamp(), row.last.timestamp())
        for row in rows
    } == set(expected.rows())


def test_equal_weights_only_scale(ask: Ask, question: Question) -> None:
    """If each stands for two, people and sums double, and shares, means and intervals stay."""
    names = {"A": "Opened", "B": "Bought", "C": "Read"}
    events = [
        {**row, "event": names[row["event"]], "revenue": 1.0 + number % 7, "currency": "EUR",
         "groups": {"checkout": {"arm": "test" if int(row["user_id"][1:]) % 2 else "control"}}}
        for number, row in enumerate(ROWS)
    ]  # fmt: skip
    found: dict[float, list[Any]] = {1.0: [], 2.0: []}
    for weight, headlines in found.items():
        lake: Any = [one | {"weight": weight} for one in events]
        for figure in BUILTINS:
            options, scope = question(figure)
            answer = ask(figure, lake, options=options, **SCOPE | scope)
            assert answer.result.headlines, figure
            headlines += answer.result.headlines
            lake = None  # the same lake as before
    for one, two in zip(*found.values(), strict=True):
        assert (one.name, one.value is None) == (two.name, two.value is None)
        if one.value:
            assert two.value / one.value in (pytest.approx(1), pytest.approx(2)), one.name
        if one.low is not None:
            assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))
