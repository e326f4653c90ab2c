"""Values of events as texts, numbers and objects."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.timestamps import parse_ms
from gateway.events.values import as_mapping, as_number, as_text, parse_number

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


@pytest.mark.parametrize(
    "value", [None, True, "", "x", float("nan"), 10**400, "nan", "inf", "1e999", [], {}]
)
def test_what_is_no_number(value: object) -> None:
    """Other values give None, and infinity too."""
    assert as_number(value) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026_11",
        "1_0.5",
        "1e1_0",
        "٣",
        "\uff11\uff12",
        "-Infinity",
        "0x1f",
        "1,5",
        "1 2",
        ".",
        "e5",
    ],
)
def test_only_decimal_digits_write_a_number(text: str) -> None:
    """What Python alone takes for a number is none: not as a number, nor as a time."""
    assert parse_number(text) is None
    assert as_number(text) is None
    assert parse_ms(text) is None


@pytest.mark.parametrize("text", ["1.", ".5", "+2", " 7\n", "1E-3", "-0"])
def test_usual_forms_of_a_number_are_read(text: str) -> None:
    """Signs, exponents, a bare point and space around are allowed."""
    assert parse_number(text) == float(text)


@given(ANYTHING)
def test_nothing_is_tripped_over(value: object) -> None:
    """Any value gives a text, an object, and a finite number or None."""
    assert isinstance(as_text(value), str)
    assert isinstance(as_mapping(value), dict)
    number = as_number(value)
    assert number is None or math.isfinite(number)
