"""Retention: worked examples of others, identities, and a second implementation without SQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import ProjectConfig
from headgate_insights.errors import WrongQuestion
from tests.support.sizes import examples

Ask = Callable[..., Any]


def did(who: str, when: str, event: str = "Opened", **more: Any) -> dict[str, Any]:
    return {"user_id": who, "ts": when, "event": event, **more}


def cells(answer: Any) -> dict[tuple[str | None, int], float]:
    """Shares by cohort (None for the average) and unit, of complete cells."""
    return {
        (None if row.cohort is None else str(row.cohort), row.unit): row.share
        for row in answer.result.rows
        if row.complete
    }


def test_four_people_of_a_worked_example(ask: Ask) -> None:
    """Of four people, two are back on day 1 and one on day 7 (the example of Amplitude's docs)."""
    events = [did(who, "2026-05-01T09:00Z") for who in "abcd"]
    events += [did(who, "2026-05-02T12:00Z") for who in "ab"] + [did("c", "2026-05-08T23:59Z")]
    found = cells(
        ask("retention", events, options={"every": "day", "units": 7}, from_="2026-05-01")
    )
    assert found["2026-05-01", 1] == 0.5
    assert found["2026-05-01", 7] == 0.25
    assert found["2026-05-01", 2] == 0.0


@pytest.mark.parametrize(("clock", "day"), [("rolling", 1), ("calendar", 1)])
def test_an_hour_short_of_a_day_is_day_one(ask: Ask, clock: str, day: int) -> None:
    """From 5:59 pm to 5:00 pm of the next day is day 1, as times are rounded down to the hour."""
    events = [did("ada", "2026-05-01T17:59Z"), did("ada", "2026-05-02T17:00Z")]
    options = {"every": "day", "units": 2, "clock": clock}
    found = cells(ask("retention", events, options=options, from_="2026-05-01"))
    assert found["2026-05-01", day] == 1.0


def test_rolling_days_are_hours_and_calendar_days_are_dates(ask: Ask) -> None:
    """From 8 pm to 6 am of the next day is day 0 of the clock and day 1 of the calendar."""
    events = [did("ada", "2026-05-01T20:00Z"), did("ada", "2026-05-02T06:00Z")]
    for clock, expected in (("rolling", 0.0), ("calendar", 1.0)):
        options = {"every": "day", "units": 1, "clock": clock}
        found = cells(ask("retention", events, options=options, from_="2026-05-01"))
        assert found["2026-05-01", 1] == expected


def test_the_average_is_the_ratio_of_sums_over_complete_cohorts(ask: Ask) -> None:
    """Cohorts 10/5, 5/4 and an incomplete 7/0 have the average 60 %, as the definition prints.

    These are Mixpanel's published 1000/500, 500/400 and 700/10, a hundredth of each. Mixpanel
    prints 56 %, since it weights by the size of the cohort once more.
    """
    events = []
    for cohort, size, back in (("04-06", 10, 5), ("04-13", 5, 4), ("04-20", 7, 1)):
        monday = datetime.fromisoformat(f"2026-{cohort}T08:00+00:00")
        for number in range(size):
            events.append(did(f"{cohort}-{number}", monday.isoformat()))
            if number < back:
                events.append(did(f"{cohort}-{number}", (monday + timedelta(7)).isoformat()))
    answer = ask(
        "retention",
        events,
        now="2026-04-29T00:00:00+00:00",
        options={"units": 1},
        from_="2026-04-06",
    )
    found = cells(answer)
    assert found[None, 1] == 0.6
    assert ("2026-04-20", 1) not in found
    assert "ratio of sums" in " ".join(answer.definition)


def test_on_or_after_never_rises(ask: Ask) -> None:
    """A return in week 3 counts as retained in weeks 0 to 3, and no later."""
    events = [did("ada", "2026-04-06T08:00Z"), did("ada", "2026-04-28T08:00Z")]
    options = {"units": 5, "mode": "after"}
    found = cells(ask("retention", events, options=options, from_="2026-04-06"))
    assert [found["2026-04-06", week] for week in range(6)] == [1, 1, 1, 1, 0, 0]


def test_in_a_bracket_people_count_once(ask: Ask) -> None:
    """Three returns on days 1 to 3 are one person of bracket 1-3."""
    events = [did("ada", f"2026-05-0{day}T08:00Z") for day in (1, 2, 3, 4)]
    events.append(did("bob", "2026-05-01T08:00Z"))
    options = {"every": "day", "brackets": "0,1-3,4-7"}
    answer = ask("retention", events, options=options, from_="2026-05-01")
    assert cells(answer)["2026-05-01", 1] == 0.5
    assert [row.period for row in answer.result.rows if row.cohort is None] == [
        "day 0", "day 1-3", "day 4-7",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "3-1", "1-3,2-4", "a", "1,,2", "1-3-5"])
def test_wrong_brackets_are_refused(ask: Ask, text: str) -> None:
    """Brackets are rising numbers."""
    if text:
        with pytest.raises(WrongQuestion, match="brackets"):
            ask("retention", [did("a", "2026-05-01T08:00Z")], options={"brackets": text})


def test_first_time_means_first_ever(ask: Ask) -> None:
    """Someone who was there before the range is in no first-time cohort, but in a recurring one."""
    events = [did("ada", "2026-04-01T08:00Z"), did("ada", "2026-05-04T08:00Z")]
    events.append(did("bob", "2026-05-05T08:00Z"))
    sizes = {}
    for cohorts in ("first", "recurring"):
        options = {"units": 1, "cohorts": cohorts}
        answer = ask("retention", events, options=options, from_="2026-05-04", to="2026-05-11")
        sizes[cohorts] = [row.people for row in answer.result.rows if row.cohort and row.unit == 0]
    assert sizes == {"first": [1], "recurring": [2]}


def test_people_behind_a_cell(ask: Ask, make_lake: Callable[..., Any]) -> None:
    """The people of a cell are those that its number counts."""
    from headgate_insights.answers import answer, people
    from headgate_insights.registry import find_figure
    from headgate_insights.scope import ScopeOptions

    events = [did(who, "2026-04-06T08:00Z") for who in "abc"] + [did("b", "2026-04-14T08:00Z")]
    now = datetime(2026, 5, 1, tzinfo=UTC)
    lake, spec = make_lake(events, now), find_figure("retention")
    figure = spec.build(spec.config())
    options = ScopeOptions(from_="2026-04-06")
    _, scope = answer("retention", figure, options, lake, project=ProjectConfig(), now=now)
    for returned, expected in (("yes", ["b"]), ("no", ["a", "c"])):
        cell = f"cohort=2026-04-06,unit=1,returned={returned}"
        assert [one.user_id for one in people(figure, scope, lake, cell)] == expected
    with pytest.raises(WrongQuestion, match="cohort=2026-04-06"):
        people(figure, scope, lake, "day=3")


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland"])
MOMENTS = st.integers(0, 60 * 24 * 60).map(
    lambda minute: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minute)
)
EVENTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), MOMENTS, st.sampled_from(["Opened", "Bought"])),
    min_size=1,
    max_size=40,
)


@settings(
    max_examples=examples(6, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    EVENTS,
    ZONES,
    st.sampled_from(["first", "recurring"]),
    st.sampled_from(["on", "after"]),
    st.sampled_from(["*", "Opened"]),
    st.sampled_from([10, 80]),
)
def test_it_equals_a_second_implementation(
    ask: Ask, events: list[Any], zone: str, cohorts: str, mode: str, back: str, units: int
) -> None:
    """Counting with sets of days gives the same triangle, in any zone and across clock changes."""
    if all(event != "Opened" for _, _, event in events):
        events.append(("a", datetime(2026, 3, 2, tzinfo=UTC), "Opened"))
    local = [(who, at, at.astimezone(ZoneInfo(zone)).date(), event) for who, at, event in events]
    starts: dict[tuple[str, date], datetime] = {}
    for who, at, day, event in sorted(local, key=lambda one: one[1]):
        known = any(person == who for person, _ in starts)
        if event == "Opened" and not (cohorts == "first" and known):
            starts.setdefault((who, day), at)
    triangle: dict[tuple[date, int], set[str]] = {}
    for (who, begun), at in starts.items():
        for person, when, day, event in local:
            if person == who and when >= at and back in ("*", event):
                age = (day - begun).days
                for unit in range(age + 1) if mode == "after" else [age]:
                    triangle.setdefault((begun, unit), set()).add(who)
    answer = ask(
        "retention",
        [did(who, at.isoformat(), event) for who, at, event in events],
        options={"start": "Opened", "back": back, "every": "day", "units": units}
        | {"cohorts": cohorts, "mode": mode},
        from_="2026-02-27",
        to="2026-05-02",
        zone=zone,
    )
    found = {
        (row.cohort, row.unit): row.returned
        for row in answer.result.rows
        if row.cohort and row.returned
    }
    expected = {key: len(people) for key, people in triangle.items() if key[1] <= units}
    assert found == expected


def test_weights_of_one_are_the_unweighted_figure(ask: Ask) -> None:
    """A sample in which everybody stands for two has the same shares, and half the people."""
    events = [did(who, "2026-04-06T08:00Z") for who in "abcd"]
    events += [did(who, "2026-04-14T08:00Z") for who in "ab"]
    plain = ask("retention", events, from_="2026-04-06")
    sample = ask("retention", [event | {"weight": 2.0} for event in events], from_="2026-04-06")
    for one, two in zip(plain.result.rows, sample.result.rows, strict=True):
        assert (two.people, two.returned) == (2 * one.people, 2 * one.returned)
        assert (two.share, two.low, two.high, two.n) == (one.share, one.low, one.high, one.n)
    assert not plain.provenance.weighted
    assert sample.provenance.weighted


def test_a_breakdown_adds_up(ask: Ask) -> None:
    """The cohorts of all values of a breakdown have together the people of the whole."""
    events = [
        did(who, "2026-04-06T08:00Z", country=country)
        for who, country in zip("abcdef", ["DE", "DE", "FR", None, "US", "GB"], strict=True)
    ]
    whole = ask("retention", events, from_="2026-04-06")
    parts = ask("retention", events, from_="2026-04-06", by="country", top=2)
    sizes = {row.label: row.people for row in parts.result.rows if row.cohort and row.unit == 0}
    assert sum(sizes.values()) == max(row.people for row in whole.result.rows)
    assert set(sizes) == {"DE", "(none)", "(other)"} or set(sizes) == {"DE", "FR", "(other)"}
