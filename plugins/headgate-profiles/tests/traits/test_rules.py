"""Values of a trait: which one counts, whatever the order in which they arrive."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_profiles.traits.rules import Origin, Rule, Value, reduced, shown

MOST = 3
RULES = get_args(Rule)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "2", "2026-01-01"])
)
VALUES = st.builds(
    Value,
    SCALARS | st.lists(SCALARS, max_size=3),
    st.builds(Origin, st.integers(1, 4), st.sampled_from(["m1", "m2"]), st.just("web")),
)
LISTS = st.lists(VALUES, max_size=6)


def value(given: Any, at_ms: int, message_id: str = "m") -> Value:
    """Makes a value."""
    return Value(given, Origin(at_ms, message_id, "web"))


@given(st.sampled_from(RULES), LISTS, st.randoms(use_true_random=False), st.integers(0, 6))
def test_neither_order_nor_grouping_matters(
    rule: Rule, values: list[Value], random: Any, cut: int
) -> None:
    """Any order, any division into parts and any repetition give the same values."""
    whole = reduced(rule, values, MOST)
    shuffled = random.sample(values, len(values))
    parts = [*reduced(rule, shuffled[:cut], MOST), *reduced(rule, shuffled[cut:], MOST)]
    assert reduced(rule, parts, MOST) == whole
    assert reduced(rule, [*whole, *values], MOST) == whole


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("newest", "b"), ("oldest", 7), ("max", 9), ("min", 7), ("union", ["b", "c", 9])],
)
def test_each_rule_shows_its_value(rule: Rule, expected: Any) -> None:
    """Time decides for newest and oldest, size for max and min; a union has the newest items."""
    values = [value(7, 1), value([9, "c"], 3), value(9, 2), value(["b", "c"], 4), value("b", 5)]
    found = shown(rule, values, MOST)
    assert found is not None
    assert found.value == expected


def test_a_null_removes_a_trait_until_a_newer_value_comes() -> None:
    """With the rule newest, null hides older values; other rules pass over it."""
    values = [value("pro", 1), value(None, 2)]
    assert shown("newest", values, MOST) is None
    assert shown("newest", [*values, value("free", 3)], MOST) == value("free", 3)
    assert shown("oldest", values, MOST) == value("pro", 1)
    assert shown("union", values, MOST) == value(["pro"], 1)


def test_at_the_same_time_the_message_id_decides() -> None:
    """Two events of one time have an order that does not depend on their arrival."""
    values = [value("x", 1, "b"), value("y", 1, "a")]
    assert shown("newest", values, MOST) == shown("newest", values[::-1], MOST) == values[0]


def test_max_and_min_compare_numbers_before_texts() -> None:
    """Numbers written as text count as numbers; dates count where there is no number."""
    dates = [value("2026-02-01", 1), value("2026-01-01", 2)]
    assert shown("max", dates, MOST) == dates[0]
    assert shown("min", [*dates, value("12", 3), value(3.5, 4)], MOST) == value(3.5, 4)
    assert shown("max", [value([1], 1), value(True, 2)], MOST) is None
