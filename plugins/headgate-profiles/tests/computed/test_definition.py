"""Computed traits: definitions, values, windows, and merging in any order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import ConfigError
from gateway.testing import make_config, make_event
from headgate_profiles.computed.aggregates import MOST_VALUES, Kind
from headgate_profiles.computed.config import ComputedTrait
from headgate_profiles.computed.definition import Buckets, Definition
from headgate_profiles.traits.rules import Origin

DAY_MS = 86_400_000
NOW = 20_000 * DAY_MS + DAY_MS // 2
KINDS = get_args(Kind)


def define(kind: str, **more: Any) -> Definition:
    """Makes a definition over orders, with their totals unless it counts."""
    if kind != "count":
        more.setdefault("property", "properties.total")
    return Definition("t", make_config(ComputedTrait, {"kind": kind, "event": "Order", **more}))


def buckets_of(
    definition: Definition, events: Iterable[tuple[Any, float]], now_ms: int = NOW
) -> Buckets:
    """Adds events, given by total and days before now."""
    found: Buckets = {}
    for number, (total, days) in enumerate(events):
        event = make_event(event="Order", properties={"total": total})
        origin = Origin(NOW - round(days * DAY_MS), f"m{number}", "web")
        definition.add(found, event, origin, now_ms)
    return found


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("count", 5),
        ("sum", 60.3),
        ("average", 15.075),
        ("min", 0.1),
        ("max", 30),
        ("first", 30),
        ("last", "x"),
        ("most_frequent", 30),
        ("unique_list", ["x", 0.1, 0.2, 30]),
        ("unique_count", 4),
    ],
)
def test_each_kind_has_its_value(kind: str, expected: Any) -> None:
    """Numbers are added exactly; texts count only where a value need not be a number."""
    definition = define(kind)
    found = buckets_of(definition, [(30, 5), (0.1, 4), (0.2, 3), (30, 2), ("x", 1)])
    assert definition.result(found, NOW) == expected


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 1e9, "a", None, [1, "a"]]), st.floats(0, 20)),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
    st.integers(0, 8),
    st.sampled_from(["", "10d", "48h"]),
)
def test_parts_of_a_person_merge_in_any_order(
    kind: str, events: list[tuple[Any, float]], random: Any, cut: int, window: str
) -> None:
    """The value of merged identifiers is that of all their events, however they were divided."""
    definition = define(kind, window=window)
    numbered = [
        (Origin(NOW - round(days * DAY_MS), f"m{n}", ""), t) for n, (t, days) in enumerate(events)
    ]
    both: list[Buckets] = []
    shuffled = random.sample(numbered, len(numbered))
    for part in (numbered, shuffled[:cut], shuffled[cut:]):
        found: Buckets = {}
        for origin, total in part:
            definition.add(
                found, make_event(event="Order", properties={"total": total}), origin, NOW
            )
        both.append(found)
    whole, left, right = both
    merged = definition.merge(left, right)
    assert definition.result(merged, NOW) == definition.result(whole, NOW)
    assert definition.merge(right, left) == merged


def test_a_window_falls_as_time_passes() -> None:
    """The same states give less each day, to the day for long and to the hour for short windows."""
    days = define("count", window="30d")
    found = buckets_of(days, [(1, 0), (1, 29), (1, 30), (1, 31)])
    counts = [days.result(found, NOW + later * DAY_MS) for later in (0, 1, 2, 30, 31)]
    assert counts == [3, 2, 1, 1, 0]
    hours = define("count", window="2h")
    found = buckets_of(hours, [(1, 0), (1, 2 / 24), (1, 3.5 / 24)])
    assert hours.result(found, NOW) == 2


def test_old_buckets_are_dropped() -> None:
    """States hold no more buckets than the window has, and late events outside it are no news."""
    definition = define("count", window="10d")
    found = buckets_of(definition, [(1, day) for day in range(30)])
    assert len(found) == 11
    later = NOW + 5 * DAY_MS
    assert set(definition.current(found, later)) == {day for day in found if day >= min(found) + 5}


def test_only_events_that_fit_count() -> None:
    """The condition decides in the stream; an event without the value is passed over."""
    definition = define("sum", where="properties.total > 10")
    found = buckets_of(definition, [(5, 1), (20, 1), (None, 1), (1e16, 1)])
    assert definition.result(found, NOW) == 20
    assert define("sum").result({}, NOW) is None
    assert define("count").result({}, NOW) == 0


def test_states_are_bounded() -> None:
    """However many values there are, states keep a fixed number, and no long one."""
    for kind in ("most_frequent", "unique_list", "unique_count"):
        definition = define(kind)
        many = [(f"v{n}", 1) for n in range(MOST_VALUES + 5)]
        (state,) = buckets_of(definition, [*many, ("x" * 1000, 1)]).values()
        assert len(state) == MOST_VALUES


def test_a_changed_definition_begins_anew() -> None:
    """States belong to a definition; a new name keeps them, any other change does not."""
    one = ComputedTrait(kind="count", event="Order")
    assert Definition("a", one).key == Definition("b", one).key
    others = [
        ComputedTrait(kind="count", event="Order", window="9d"),
        ComputedTrait(kind="count", event="X"),
    ]
    assert len({Definition("a", other).key for other in [one, *others]}) == 3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "count"}, "event: name an event, or a condition in where"),
        ({"kind": "sum", "event": "E"}, "property: sum needs one"),
        ({"kind": "count", "event": "E", "property": "properties.a"}, "count counts events"),
        ({"kind": "count", "event": "E", "where": "total >"}, "where: "),
        ({"kind": "max", "event": "E", "property": "total"}, "property: an event has no field"),
        ({"kind": "count", "event": "E", "window": "90"}, "window: '90' is no time"),
        ({"kind": "count", "event": "E", "window": "401d"}, "window: 401d is longer than 400d"),
        ({"kind": "median", "event": "E"}, "Invalid enum value 'median'"),
    ],
)
def test_definitions_without_sense_are_refused(keys: dict[str, Any], message: str) -> None:
    """Mistakes name the key at fault."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_config(ComputedTrait, keys)
