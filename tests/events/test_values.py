"""Values of events as texts, numbers and objects."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.values import as_mapping, as_number, as_text

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1), ("19.99", 19.99), ("3", 3), (" 4 ", 4), ("1e3", 1000), (-0.5, -0.5)],
)
def test_numbers(value: object, number: float) -> None:
    """Numbers are read as such, and from texts."""
    assert as_number(value) == number
    assert type(as_number(value)) is type(number)


@pytest.mark.parametrize("value", [None, True, "", "x", float("nan"), "nan", "1e999", [], {}])
def test_what_is_no_number(value: object) -> None:
    """Other values give None, and infinity too."""
    assert as_number(value) is None


@given(ANYTHING)
def test_nothing_is_tripped_over(value: object) -> None:
    """Any value gives a text, an object, and a finite number or None."""
    assert isinstance(as_text(value), str)
    assert isinstance(as_mapping(value), dict)
    number = as_number(value)
    assert number is None or math.isfinite(number)
