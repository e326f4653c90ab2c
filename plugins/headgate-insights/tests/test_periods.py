"""Figures by period: active, lifecycle, trend and sessions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate_insights.errors import WrongQuestion
from tests.support.sizes import examples

Ask = Callable[..., Any]
SLOW = settings(
    # An example is a lake of its own.
    max_examples=examples(4, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MOMENTS = st.integers(0, 70 * 24 * 60).map(
    lambda minute: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minute)
)
EVENTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), MOMENTS, st.integers(0, 9)), min_size=1, max_size=60
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])
RANGE = {"from_": "2026-03-02", "to": "2026-05-11"}


def did(who: str, when: str, event: str = "Opened", **more: Any) -> dict[str, Any]:
    return {"user_id": who, "ts": when, "event": event, **more}


def stored(events: list[tuple[str, datetime, int]]) -> list[dict[str, Any]]:
    return [did(who, at.isoformat(), properties={"price": price}) for who, at, price in events]


def frame(events: list[tuple[str, datetime, int]], zone: str) -> pl.DataFrame:
    rows = [
        (who, at, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None).date(), price)
        for who, at, price in events
    ]
    return pl.DataFrame(rows, schema=["who", "at", "day", "price"], orient="row")


@SLOW
@given(EVENTS, ZONES)
def test_active_equals_a_second_implementation(
    ask: Ask, events: list[tuple[str, datetime, int]], zone: str
) -> None:
    """The running sums are the distinct people of each window, counted one day at a time."""
    inside = [one for one in events if one[1] >= datetime(2026, 3, 3, tzinfo=UTC)]
    if not inside:
        events.append(("a", datetime(2026, 4, 1, tzinfo=UTC), 1))
    table = frame(events, zone)
    for row in ask("active", stored(events), zone=zone, **RANGE).result.rows:
        for days, found in ((1, row.daily), (7, row.weekly), (30, row.monthly)):
            window = table.filter(pl.col("day").is_between(row.day - timedelta(days - 1), row.day))
            assert found == window["who"].n_unique(), (row.day, days)


@SLOW
@given(EVENTS, ZONES, st.sampled_from(["day", "week", "month"]))
def test_lifecycle_identities(
    ask: Ask, events: list[tuple[str, datetime, int]], zone: str, every: str
) -> None:
    """Active is new + returning + resurrected, and those of before are returning + dormant."""
    events.append(("a", datetime(2026, 4, 1, tzinfo=UTC), 1))
    rows = ask(
        "lifecycle", stored(events), options={"every": every}, zone=zone, **RANGE
    ).result.rows
    table = frame(events, zone)
    for index, row in enumerate(rows):
        end = rows[index + 1].begins if index + 1 < len(rows) else date(2026, 6, 1)
        active = table.filter((pl.col("day") >= row.begins) & (pl.col("day") < end))["who"]
        if index + 1 < len(rows):
            assert row.active == active.n_unique()
        assert row.active == row.new + row.returning + row.resurrected
        if index:
            assert rows[index - 1].active == row.returning + row.dormant


@SLOW
@given(EVENTS, ZONES, st.sampled_from(["day", "week"]))
def test_trend_equals_a_second_implementation(
    ask: Ask, events: list[tuple[str, datetime, int]], zone: str, every: str
) -> None:
    """Counts, people, sums, means and medians are those of polars."""
    events.append(("a", datetime(2026, 4, 1, tzinfo=UTC), 1))
    start = pl.col("day") if every == "day" else pl.col("day").dt.truncate("1w")
    table = frame(events, zone).filter(
        pl.col("day").is_between(date(2026, 3, 2), date(2026, 5, 10))
    )
    expected = {
        row["begins"]: row
        for row in table.group_by(start.alias("begins"))
        .agg(
            pl.len().alias("count"),
            pl.col("who").n_unique().alias("people"),
            pl.col("price").sum().alias("sum"),
            pl.col("price").mean().alias("average"),
            pl.col("price").median().alias("median"),
        )
        .to_dicts()
    }
    first = True
    for measure in ("count", "people", "sum", "average", "median"):
        options = {"measure": measure, "every": every}
        if measure not in ("count", "people"):
            options["of"] = "properties.price"
        lake = stored(events) if first else None
        first = False
        found = ask("trend", lake, options=options, zone=zone, **RANGE).result.rows
        assert {row.begins: row.value for row in found if row.n} == {
            begins: pytest.approx(row[measure]) for begins, row in expected.items()
        }


@SLOW
@given(EVENTS)
def test_sessions_equal_a_second_implementation(
    ask: Ask, events: list[tuple[str, datetime, int]]
) -> None:
    """Walking through the events of each person finds the same sessions."""
    events = [
        (who, datetime(2026, 3, 2, tzinfo=UTC) + (at - MARCH) / 60, n) for who, at, n in events
    ]
    sessions: list[list[datetime]] = []
    for who in sorted({who for who, _, _ in events}):
        last = None
        for at in sorted(at for person, at, _ in events if person == who):
            if last is None or at - last > timedelta(minutes=30):
                sessions.append([])
            sessions[-1].append(at)
            last = at
    answer = ask("sessions", stored(events), **RANGE)
    rows = answer.result.rows
    assert sum(row.sessions for row in rows) == len(sessions)
    events_in = sum(row.sessions * (row.events_each or 0) for row in rows)
    assert events_in == pytest.approx(len(events))
    bounced = sum(row.sessions * (row.share or 0) for row in rows)
    assert bounced == pytest.approx(sum(len(one) == 1 for one in sessions))


MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_day_of_a_clock_change_is_one_day(ask: Ask) -> None:
    """In Berlin, one event in each hour makes 23 events on 2026-03-29 and 25 on 2026-10-25."""
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
        events = [did("ada", (noon + timedelta(hours=hour)).isoformat()) for hour in range(-40, 40)]
        answer = ask(
            "trend", events, now="2026-12-01T00:00:00+00:00", zone="Europe/Berlin",
            from_=f"{noon - timedelta(days=1):%Y-%m-%d}", to=f"{noon + timedelta(days=2):%Y-%m-%d}",
        )  # fmt: skip
        assert [row.value for row in answer.result.rows] == [24, hours, 24]


def test_incomplete_periods_are_in_no_average(ask: Ask) -> None:
    """The day that is not over is marked, and the mean is that of the others."""
    events = [did("ada", f"2026-05-{day:02}T{hour:02}:00Z") for day in (1, 2) for hour in range(6)]
    events.append(did("ada", "2026-05-03T01:00Z"))
    answer = ask("trend", events, now="2026-05-03T02:00:00+00:00", from_="2026-05-01")
    assert [(row.value, row.complete) for row in answer.result.rows] == [
        (6, True), (6, True), (1, False),
    ]  # fmt: skip
    assert [one.value for one in answer.result.headlines] == [6]


def test_a_late_watermark_makes_a_period_incomplete(ask: Ask) -> None:
    """A day that is over is still incomplete while the lake waits for its events."""
    events = [did("ada", f"2026-05-0{day}T08:00Z") for day in (1, 2)]
    answer = ask("trend", events, watermark="2026-05-02T20:00:00+00:00", from_="2026-05-01")
    assert [row.complete for row in answer.result.rows] == [True, False]


def test_a_ratio_divides_the_same_measure(ask: Ask) -> None:
    """Orders over views of the same day; a day without views has no ratio."""
    events = [did("a", "2026-05-01T08:00Z", "Viewed")] * 4 + [
        did("a", "2026-05-01T09:00Z", "Bought")
    ]
    events.append(did("a", "2026-05-02T09:00Z", "Bought"))
    options = {"event": ("Bought",), "over": "Viewed"}
    answer = ask("trend", events, options=options, from_="2026-05-01", to="2026-05-03")
    assert [row.value for row in answer.result.rows] == [0.25, None]


def test_weighted_sums(ask: Ask) -> None:
    """An event of a person who stands for four counts four times; percentiles are refused."""
    events = [
        did("a", "2026-05-01T08:00Z", weight=4.0, properties={"price": 10}),
        did("b", "2026-05-01T08:00Z", weight=1.0, properties={"price": 20}),
    ]
    expected = {"count": 5, "people": 5, "sum": 60, "average": 12, "per-person": 1}
    for measure, value in expected.items():
        options = {"measure": measure}
        if measure in ("sum", "average"):
            options["of"] = "properties.price"
        answer = ask("trend", events, options=options, from_="2026-05-01", to="2026-05-02")
        assert answer.result.rows[0].value == value
        assert answer.result.rows[0].n == pytest.approx(25 / 17)
    with pytest.raises(WrongQuestion, match="sample"):
        ask(
            "trend",
            events,
            options={"measure": "median", "of": "properties.price"},
            from_="2026-05-01",
        )


@pytest.mark.parametrize(
    "options", [{"measure": "sum"}, {"of": "revenue"}, {"measure": "sum", "of": "country"}]
)
def test_measures_that_make_no_sense_are_refused(ask: Ask, options: dict[str, str]) -> None:
    """Sums need a number, and counts have none."""
    with pytest.raises(WrongQuestion, match="--of"):
        ask("trend", [did("a", "2026-05-01T08:00Z")], options=options)


def test_paths_follow_a_session(ask: Ask) -> None:
    """Steps are in order, equal ones in a row are one, and a pause ends the path."""
    events = [
        did("a", "2026-05-01T08:00Z", "A"), did("a", "2026-05-01T08:01Z", "B"),
        did("a", "2026-05-01T08:02Z", "B"), did("a", "2026-05-01T08:03Z", "C"),
        did("a", "2026-05-01T09:00Z", "A"), did("b", "2026-05-01T08:00Z", "A"),
    ]  # fmt: skip
    answer = ask("paths", events, options={"steps": 3}, from_="2026-05-01")
    assert [(row.path, row.sessions, row.people) for row in answer.result.rows] == [
        ("A > (end)", 2, 2),
        ("A > B > C", 1, 1),
    ]
    answer = ask("paths", options={"steps": 3, "start": "B"}, from_="2026-05-01")
    assert [row.path for row in answer.result.rows] == ["B > C > (end)"]


def test_events_and_their_properties(ask: Ask) -> None:
    """Events are counted by name, and the properties of one where they are not null."""
    events = [
        did("a", "2026-05-01T08:00Z", "Bought", properties={"a/b": 1, "x": None}),
        did("b", "2026-05-02T08:00Z", "Bought", properties={"a/b": 2, "y": 1}),
        did("b", "2026-05-03T08:00Z", None, type="page", name="Home"),
    ]
    rows = ask("events", events, from_="2026-05-01").result.rows
    assert [(row.type, row.event, row.count, row.people) for row in rows] == [
        ("track", "Bought", 2, 2),
        ("page", "Home", 1, 1),
    ]
    assert rows[0].properties == ["a/b", "x", "y"]
    rows = ask("events", options={"event": "Bought"}, from_="2026-05-01").result.rows
    assert [(row.property, row.count) for row in rows] == [("", 2), ("a/b", 2), ("y", 1)]
