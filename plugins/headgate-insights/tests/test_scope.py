"""What all figures have in common: ranges, refusals, people, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from gateway import ProjectConfig
from headgate_insights.calendar import Calendar
from headgate_insights.errors import NoData, WrongQuestion
from headgate_insights.intervals import kish, share
from headgate_insights.lakes import History
from headgate_insights.words import facts
from headgate_lake import Change

Ask = Callable[..., Any]


def did(who: str | None, when: str, event: str = "Opened", **more: Any) -> dict[str, Any]:
    return {"user_id": who, "ts": when, "event": event, **more}


def total(answer: Any) -> float:
    return sum(row.value for row in answer.result.rows)


EVENTS = [
    did("ada", "2026-05-01T08:00Z", country="DE", group_id="acme"),
    did("ada", "2026-05-02T08:00Z", "Bought", country="DE", group_id="acme"),
    did("bob", "2026-05-02T09:00Z", country="FR", group_id="acme"),
    did("bot", "2026-05-02T10:00Z", bot=True),
    did(None, "2026-05-02T11:00Z"),
]


def test_what_a_tool_reports_is_no_activity(ask: Ask) -> None:
    """`*` leaves out what others do to a person; named, such an event counts like any other."""
    events = [*EVENTS, did("eve", "2026-05-02T12:00Z", "Email Delivered")]
    assert total(ask("trend", events, from_="2026-05-01")) == 3
    only = ask("trend", from_="2026-05-01", options={"event": ("Email Delivered",)})
    assert total(only) == 1


def test_bots_and_nobody_are_left_out_and_told(ask: Ask) -> None:
    """Events of bots count only if asked for, those of nobody never; both numbers are printed."""
    answer = ask("trend", EVENTS, from_="2026-05-01")
    assert total(answer) == 3
    facts = answer.provenance.facts
    assert (facts.events, facts.of_bots, facts.of_nobody) == (5, 1, 1)
    assert total(ask("trend", from_="2026-05-01", bots=True)) == 4


def test_filter_who_and_unit(ask: Ask) -> None:
    """A filter chooses events, --who people with all of their events, and --unit who is counted."""
    assert total(ask("trend", EVENTS, from_="2026-05-01", filter="country = 'DE'")) == 2
    assert total(ask("trend", from_="2026-05-01", who="event = 'Bought'")) == 2
    people = {"options": {"measure": "people", "every": "month"}, "from_": "2026-05-01"}
    assert total(ask("trend", **people)) == 2
    assert total(ask("trend", unit="account", **people)) == 1


def test_the_range_is_in_the_zone_of_the_project(ask: Ask) -> None:
    """A day of Auckland begins 12 hours before the same day in UTC."""
    project = ProjectConfig(time_zone="Pacific/Auckland")
    answer = ask("trend", EVENTS, project=project, from_="2026-05-02", to="2026-05-03")
    assert total(answer) == 2
    assert answer.provenance.zone == "Pacific/Auckland"
    assert f"{answer.provenance.start:%Y-%m-%d %H:%M}" == "2026-05-01 12:00"


def test_weeks_begin_where_the_project_says(ask: Ask) -> None:
    """A range given as a length begins with a whole week."""
    project = ProjectConfig(week_starts_on="sunday")
    answer = ask("retention", EVENTS, project=project, now="2026-05-20T00:00:00+00:00", from_="4w")
    assert f"{answer.provenance.start:%A %Y-%m-%d}" == "Sunday 2026-04-19"


@pytest.mark.parametrize(
    ("figure", "asked", "message"),
    [
        ("trend", {"options": {"event": ("Bouhgt",)}}, "did you mean 'Bought'"),
        ("trend", {"by": "properties.plam"}, "did you mean 'plan'"),
        ("trend", {"filter": "properties.plam = 'pro'"}, "did you mean 'plan'"),
        ("trend", {"who": "traits.age > 3"}, "no event of the range has the field 'traits.age'"),
        ("trend", {"by": "contry"}, "did you mean 'country'"),
        ("trend", {"group": "checkout"}, "group 'checkout'"),
        ("trend", {"by": "country", "group": "checkout"}, "one of them"),
        ("trend", {"from_": "2026-05-03", "to": "2026-05-01"}, "range is empty"),
        ("trend", {"zone": "Berlin"}, "no time zone 'Berlin'"),
        ("retenton", {}, "did you mean 'retention'"),
    ],
)
def test_a_wrong_question_gets_a_suggestion(
    ask: Ask, figure: str, asked: dict[str, Any], message: str
) -> None:
    """A misspelt name is an error with what was probably meant, never an empty figure."""
    events = [did("ada", "2026-05-02T08:00Z", "Bought", country="DE", properties={"plan": "pro"})]
    with pytest.raises(WrongQuestion, match=message) as caught:
        ask(figure, events, **{"from_": "2026-05-01", **asked})
    assert caught.value.exit_code == 2


def test_no_data_is_told_apart(ask: Ask) -> None:
    """An empty lake, an empty range and an event of another time each get their own sentence."""
    with pytest.raises(NoData, match="lake is empty"):
        ask("trend", [])
    with pytest.raises(NoData, match="where event = 'Boght' \\(--who\\)"):
        ask("trend", EVENTS, from_="2026-05-01", who="event = 'Boght'")
    with pytest.raises(NoData, match="where country = 'XX' \\(--filter\\)"):
        ask("trend", from_="2026-05-01", filter="country = 'XX'")
    with pytest.raises(NoData, match="none of the 1 events of the range names an account"):
        ask("trend", [did("ada", "2026-05-01T08:00Z")], from_="2026-05-01", unit="account")
    with pytest.raises(NoData, match="has events from 2026-05-01 to 2026-05-02") as caught:
        ask("trend", EVENTS, from_="2026-01-01", to="2026-02-01")
    assert caught.value.exit_code == 1
    with pytest.raises(NoData, match="at other times"):
        ask("trend", from_="2026-05-01", to="2026-05-02", options={"event": ("Bought",)})


def test_a_sample_without_weights_is_refused(ask: Ask) -> None:
    """If a transform makes weights unprovable, the message names it."""
    events = [did("ada", "2026-05-01T08:00Z", weight=None, weight_doubt="thin_out")]
    with pytest.raises(WrongQuestion, match="transform 'thin_out'"):
        ask("trend", events, from_="2026-05-01")


def test_the_range_before_is_compared(ask: Ask) -> None:
    """The headlines of the range of the same length before stand beside those of now."""
    events = [did("ada", f"2026-05-0{day}T08:00Z") for day in (1, 2, 3, 3, 4, 4)]
    answer = ask("trend", events, from_="2026-05-03", to="2026-05-05", compare="previous")
    assert [one.value for one in answer.result.headlines] == [2]
    assert answer.previous is not None
    assert [one.value for one in answer.previous] == [1]
    answer = ask("trend", from_="2026-05-01", to="2026-05-03", compare="previous")
    assert answer.previous == []


def test_a_breakdown_by_arm(ask: Ask) -> None:
    """--group breaks down by the arm that events are stamped with."""
    events = [
        did(who, "2026-05-01T08:00Z", groups={"checkout": {"arm": arm, "weight": 1}})
        for who, arm in (("a", "test"), ("b", "control"), ("c", "test"))
    ]
    rows = ask("trend", events, from_="2026-05-01", to="2026-05-02", group="checkout").result.rows
    assert {row.label: row.value for row in rows} == {"test": 2, "control": 1}


def test_small_values_of_a_breakdown_are_added(ask: Ask) -> None:
    """Beyond --top, values are one: the sum stays that of the whole."""
    events = [
        did(f"{country}{number}", "2026-05-01T08:00Z", country=country)
        for country, people in (("DE", 3), ("FR", 2), ("US", 1), ("GB", 1))
        for number in range(people)
    ]
    rows = ask(
        "trend", events, from_="2026-05-01", to="2026-05-02", by="country", top=2
    ).result.rows
    assert {row.label: row.value for row in rows} == {"DE": 3, "FR": 2, "(other)": 2}


def test_wilson_and_kish() -> None:
    """Wilson's interval of 8 of 10 is 0.490 to 0.943; equal weights are worth their number."""
    of_ten = share(8, 10, kish(10, 10))
    assert of_ten.low == pytest.approx(0.4902, abs=1e-4)
    assert of_ten.high == pytest.approx(0.9433, abs=1e-4)
    assert kish(20, 40) == 10
    assert kish(4 + 1, 16 + 1) == pytest.approx(25 / 17)
    assert share(0, 0, 0).share is None
    assert share(5, 5, 5).high == 1.0


def test_a_comparison_with_a_range_that_the_lake_knows_in_part_says_so(ask: Ask) -> None:
    """If the lake begins within the range before, its numbers are too low, and a note says it."""
    events = [did("ada", f"2026-05-{day:02}T08:00Z") for day in range(4, 13)]
    options = {"from_": "2026-05-08", "to": "2026-05-13", "compare": "previous"}
    answer = ask("trend", events, **options)
    assert answer.previous
    assert "begins on 2026-05-04, within the range before" in answer.previous_note
    answer = ask("trend", **options | {"from_": "2026-05-10", "to": "2026-05-13"})
    assert answer.previous_note == ""
    answer = ask("trend", **options | {"from_": "2026-05-04"})
    assert answer.previous == []
    assert "nothing to compare with: no event between" in answer.previous_note


@pytest.mark.parametrize(
    ("figure", "options", "method"),
    [
        ("active", {}, "Wilson"),
        ("trend", {}, "none, as these are counts"),
        ("trend", {"measure": "average", "of": "properties.price"}, "normal, of a mean"),
        ("revenue", {"order": "Bought"}, "ratio of sums"),
        ("churn", {}, "Greenwood"),
    ],
)
def test_each_figure_names_the_method_of_its_intervals(
    ask: Ask, figure: str, options: dict[str, Any], method: str
) -> None:
    """What an answer says of its intervals is what made them."""
    events = [
        did(who, f"2026-05-{day:02}T08:00Z", event, properties={"price": day}, revenue=1.0)
        for who in "ab"
        for day, event in ((1, "Opened"), (2, "Bought"), (20, "Opened"))
    ]
    answer = ask(figure, events, options=options, from_="2026-05-01")
    told = {fact.name: fact.words for fact in facts(answer, Calendar())}
    assert method in told["interval"]


def test_days_that_changed_after_their_end_are_told(ask: Ask) -> None:
    """Days that still take late events are counted, and closed ones that changed are named."""
    answer = ask("trend", EVENTS, from_="2026-05-01")
    changes = (Change("2026-05-01", 0, 10, 12, "late"), Change("2026-05-02", 0, 9, 8, "erased"))
    history = History(days=3, closed=2, changes=changes)
    made = structs.replace(answer.provenance, history=history)
    told = {one.name: one for one in facts(structs.replace(answer, provenance=made), Calendar())}
    assert told["late"].words == "1 of 3 days (UTC) still take late events"
    assert told["changed"].warns
    assert "2026-05-01 10 to 12 (late), 2026-05-02 9 to 8 (erased)" in told["changed"].words
