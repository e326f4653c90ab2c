"""Funnels: worked examples of others, and second implementations without SQL."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate_insights.errors import WrongQuestion
from tests.support.sizes import examples

Ask = Callable[..., Any]
DAY = datetime(2026, 5, 4, tzinfo=UTC)


def at(text: str, who: str = "ada", **more: Any) -> list[dict[str, Any]]:
    """Events written as ``A 1:00, B 1:30``."""
    found = []
    for part in text.split(", "):
        event, clock = part.split(" ")
        hour, minute = map(int, clock.split(":"))
        moment = DAY + timedelta(hours=hour, minutes=minute)
        found.append({"user_id": who, "event": event, "ts": moment.isoformat(), **more})
    return found


def reached(answer: Any, label: str = "") -> list[float]:
    return [row.people for row in answer.result.rows if row.label == label]


@pytest.mark.parametrize(("entry", "expected"), [("first", [1, 1, 0]), ("any", [1, 1, 1])])
def test_the_window_begins_with_the_entry(ask: Ask, entry: str, expected: list[int]) -> None:
    """A 1:00, A 1:30, B 1:45, C 2:15 in one hour: the first entry gets to B (Mixpanel's docs)."""
    events = at("A 1:00, A 1:30, B 1:45, C 2:15")
    options = {"step": ("A", "B", "C"), "window": "1h", "entry": entry}
    assert reached(ask("funnel", events, options=options, from_="2026-05-04")) == expected


@pytest.mark.parametrize("stream", ["A 1:00, A 3:00, B 3:30", "A 1:00, A 1:40, B 2:20"])
@pytest.mark.parametrize(("entry", "expected"), [("first", [1, 0]), ("any", [1, 1])])
def test_entering_anew(ask: Ask, stream: str, entry: str, expected: list[int]) -> None:
    """Only re-entry counts a second A, after or within the window of the first (Mixpanel)."""
    options = {"step": ("A", "B"), "window": "1h", "entry": entry}
    assert reached(ask("funnel", at(stream), options=options, from_="2026-05-04")) == expected


def test_re_entry_takes_the_time_of_the_latest_entry(ask: Ask) -> None:
    """Of A, A, A, B the time to convert is that of the last A with re-entry (Mixpanel's note)."""
    events = at("A 1:00, A 1:10, A 1:25, B 1:30")
    for entry, minutes in (("first", 30), ("any", 5)):
        options = {"step": ("A", "B"), "window": "1h", "entry": entry}
        found = ask("funnel", events, options=options, from_="2026-05-04")
        assert found.result.rows[1].median_seconds == minutes * 60


@pytest.mark.parametrize(
    ("stream", "order", "expected"),
    [
        ("A 1:00, B 1:01, C 1:02, D 1:03, E 1:04", "order", [1, 1, 1, 1, 1]),
        ("A 1:00, B 1:01, F 1:02, C 1:03, D 1:04, E 1:05", "order", [1, 1, 1, 1, 1]),
        ("A 1:00, B 1:01, D 1:02, C 1:03, D 1:04, E 1:05", "order", [1, 1, 1, 1, 1]),
        ("A 1:00, B 1:01, C 1:02, E 1:03, D 0:30", "order", [1, 1, 1, 0, 0]),
        ("A 1:00, B 1:01, F 1:02, C 1:03, D 1:04, E 1:05", "strict", [1, 1, 0, 0, 0]),
        ("A 1:00, B 1:01, C 1:02, D 1:03, E 1:04", "strict", [1, 1, 1, 1, 1]),
        ("E 1:00, D 1:01, A 1:02, F 1:03, B 1:04", "any", [1, 1, 1, 1, 0]),
    ],
)
def test_order(ask: Ask, stream: str, order: str, expected: list[int]) -> None:
    """What may lie between the steps depends on the order (the first four are Mixpanel's)."""
    events = at(stream) + at("A 0:01, B 0:02, C 0:03, D 0:04, E 0:05, F 0:06", "other")
    events += at("A 2:00", "third")
    ask("events", events, from_="2026-05-04")
    for entry in ("first", "any"):
        options = {"step": tuple("ABCDE"), "order": order, "entry": entry}
        whole = reached(ask("funnel", options=options, from_="2026-05-04"))
        assert [all_ - 1 for all_ in whole] == [expected[0] + 1, *expected[1:]]


def test_an_excluded_event_ends_the_attempt(ask: Ask) -> None:
    """Of A, A, A, B with A excluded only a later entry converts (Mixpanel's example)."""
    events = at("A 1:00, A 1:10, A 1:20, B 1:30")
    for entry, expected in (("first", [1, 0]), ("any", [1, 1])):
        options = {"step": ("A", "B"), "exclude": ("A",), "entry": entry}
        assert reached(ask("funnel", events, options=options, from_="2026-05-04")) == expected


def test_a_held_field_is_the_same_in_all_steps(ask: Ask) -> None:
    """The first entry holds the value of the first A; with re-entry any value may convert."""
    events = at("A 1:00", properties={"sku": "x"}) + at("A 1:05", properties={"sku": "y"})
    events += at("B 1:10", properties={"sku": "y"})
    for entry, expected in (("first", [1, 0]), ("any", [1, 1])):
        options = {"step": ("A", "B"), "hold": "properties.sku", "entry": entry}
        assert reached(ask("funnel", events, options=options, from_="2026-05-04")) == expected
        options |= {"order": "strict"}
        strict = [1, 0] if entry == "first" else [1, 1]
        assert reached(ask("funnel", events, options=options, from_="2026-05-04")) == strict


def test_only_the_entry_must_be_in_the_range(ask: Ask) -> None:
    """An entry on the last day may convert after it; a conversion alone is no entry."""
    events = at("A 23:00, B 25:00") + at("A 30:00, B 31:00", "late")
    events += at("B 0:30", "other")
    options = {"step": ("A", "B")}
    found = ask("funnel", events, options=options, from_="2026-05-04", to="2026-05-05")
    # The lake opens only the files that a statement asks for.
    assert reached(found) == [1, 1]


def test_the_same_event_twice_needs_two_events(ask: Ask) -> None:
    """One event is never two steps."""
    events = at("A 1:00") + at("A 1:00, A 1:01", "twice")
    for entry in ("first", "any"):
        options = {"step": ("A", "A"), "entry": entry}
        assert reached(ask("funnel", events, options=options, from_="2026-05-04")) == [2, 1]


def test_recent_entries_are_told(ask: Ask) -> None:
    """Entries whose window is not over mark the funnel as incomplete."""
    events = at("A 1:00, B 2:00")
    options = {"step": ("A", "B")}
    found = ask("funnel", events, options=options, from_="2026-05-04", now="2026-05-05T00:00+00:00")
    assert not any(row.complete for row in found.result.rows)
    assert "--to 2026-04-28" in found.result.notes[0]


def test_weights_of_two_count_two_people(ask: Ask) -> None:
    """A sample in which everybody stands for two has the same shares and times."""
    events = at("A 1:00, B 1:30") + at("A 1:00", "bob") + at("A 1:00, B 1:10", "eve")
    options = {"step": ("A", "B")}
    plain = ask("funnel", events, options=options, from_="2026-05-04")
    twice = [event | {"weight": 2.0} for event in events]
    sample = ask("funnel", twice, options=options, from_="2026-05-04")
    for one, two in zip(plain.result.rows, sample.result.rows, strict=True):
        assert two.people == 2 * one.people
        assert (two.share, two.low, two.n) == (one.share, one.low, one.n)
        assert two.median_seconds == one.median_seconds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": ("A", "B"), "window": "soon"}, "7d"),
        ({"step": ("A", "B"), "window": "500d"}, "366"),
        ({"step": ("A", "A"), "order": "any"}, "twice"),
        ({"step": ("A", "B"), "order": "strict", "exclude": ("C",)}, "strict"),
        ({"step": ("A", "Bb")}, "did you mean 'B'"),
    ],
)
def test_wrong_questions(ask: Ask, options: dict[str, Any], message: str) -> None:
    """Options that have no meaning together are refused in words."""
    with pytest.raises(WrongQuestion, match=message):
        ask("funnel", at("A 1:00, B 2:00"), options=options, from_="2026-05-04")


EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 300), st.sampled_from("ABCX")),
    min_size=1,
    max_size=24,
    unique_by=lambda one: one[1],  # the order of equal times is tested by hand
)


@settings(
    max_examples=examples(6, 200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    EVENTS,
    st.sampled_from(["order", "strict", "any"]),
    st.sampled_from(["first", "any"]),
    st.sampled_from([(), ("X",)]),
)
def test_it_equals_a_second_implementation(
    ask: Ask, events: list[Any], order: str, entry: str, exclude: tuple[str, ...]
) -> None:
    """Trying every entry of every person by hand gives the same counts."""
    events = [*events, ("z", 301, "A"), ("z", 302, "B"), ("z", 303, "C"), ("z", 304, "X")]
    if order == "strict":
        exclude = ()
    expected = [0, 0, 0]
    for who in sorted({person for person, _, _ in events}):
        theirs = sorted((minute, event) for person, minute, event in events if person == who)
        entries = [
            n for n, (_, event) in enumerate(theirs) if event in ("A" if order != "any" else "ABC")
        ]
        depths = [_depth(theirs[n:], order, exclude) for n in entries]
        depth = max(depths[:1] if entry == "first" else depths, default=0)
        for step in range(depth):
            expected[step] += 1
    rows = [
        {"user_id": who, "event": event, "ts": (DAY + timedelta(minutes=minute)).isoformat()}
        for who, minute, event in events
    ]
    options = {"step": tuple("ABC"), "order": order, "entry": entry, "exclude": exclude}
    found = ask("funnel", rows, options=options | {"window": "1h"}, from_="2026-05-04")
    assert reached(found) == expected


@pytest.mark.long
def test_any_entry_equals_the_function_of_clickhouse(ask: Ask, tmp_path: Path) -> None:
    """windowFunnel of ClickHouse (package chdb) finds the same numbers for 20,000 events."""
    chdb = pytest.importorskip("chdb", reason="chdb is not installed: pip install chdb")
    chance = random.Random(4)
    events = [
        (chance.randrange(900), chance.randrange(20 * 86400), chance.choice("AAABBCDX"))
        for _ in range(20_000)
    ]
    rows = [
        {"user_id": f"u{who}", "event": event, "ts": (DAY + timedelta(seconds=at)).isoformat()}
        for who, at, event in events
    ]
    file = tmp_path / "funnel.csv"
    file.write_text("".join(f"{who},{at},{event}\n" for who, at, event in events))
    sql = f"""SELECT countIf(depth >= 1), countIf(depth >= 2), countIf(depth >= 3),
      countIf(depth >= 4)
    FROM (SELECT who, windowFunnel(86400)(at, event = 'A', event = 'B', event = 'C', event = 'D')
      AS depth FROM file('{file}', CSV, 'who UInt32, at UInt32, event String') GROUP BY who)"""
    text = str(chdb.query(sql, "CSV")).strip()
    options = {"step": tuple("ABCD"), "window": "1d", "entry": "any"}
    found = reached(ask("funnel", rows, options=options, from_="2026-05-04"))
    assert found == [int(one) for one in text.split(",")]


def _depth(events: list[tuple[int, str]], order: str, exclude: tuple[str, ...]) -> int:
    began, done = events[0][0], [events[0][1]]
    for minute, event in events[1:]:
        if minute > began + 60 or event in exclude:
            break
        if order == "any":
            if event in "ABC" and event not in done:
                done.append(event)
        elif event == "ABC"[len(done)]:
            done.append(event)
        elif order == "strict":
            break
        if len(done) == 3:
            break
    return len(done)
