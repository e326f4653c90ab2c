"""Types of columns, and values that fit them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_postgres.kinds import UNFIT, Kind, encode, infer, join

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.datetimes(timezones=st.just(UTC)).map(lambda t: t.isoformat()),
    st.lists(st.integers(-5, 5), max_size=3),
)
NUMBERS = st.one_of(st.integers(-(2**80), 2**80), st.floats(allow_nan=False, allow_infinity=False))
KINDS = st.sampled_from(list(Kind))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, Kind.BOOLEAN),
        (1, Kind.BIGINT),
        (2**63 - 1, Kind.BIGINT),
        (2**63, Kind.NUMERIC),
        (-(2**63) - 1, Kind.NUMERIC),
        (1.5, Kind.DOUBLE),
        (math.inf, None),
        (math.nan, None),
        (None, None),
        ("x", Kind.TEXT),
        ("2026-11-23", Kind.TEXT),
        ("2026-11-23T14:00:00", Kind.TEXT),
        ("2026-11-23T14:00:00Z", Kind.TIMESTAMP),
        ("2026-11-23 14:00:00.123456+0200", Kind.TIMESTAMP),
        ("2026-11-23T14:00:00.1234567Z", Kind.TEXT),
        ("2026-02-30T00:00:00Z", Kind.TEXT),
        ("0000-01-01T00:00:00Z", Kind.TEXT),
        ("0001-01-01T00:00:00Z", Kind.TEXT),
        ("0001-01-01T00:00:00+05:00", Kind.TEXT),
        ("9999-12-31T23:59:59.999999Z", Kind.TEXT),
        ("2026-11-23T24:00:00Z", Kind.TEXT),
        ([1], Kind.JSONB),
        ({"a": 1}, Kind.JSONB),
    ],
)
def test_a_value_shows_its_type(value: Any, kind: Kind | None) -> None:
    """A new column gets the narrowest type that keeps the whole value."""
    assert infer(value) is kind


@given(VALUES)
def test_a_value_fits_the_type_that_it_shows(value: Any) -> None:
    """A value can be stored in the type inferred from it."""
    kind = infer(value)
    assert kind is None or encode(kind, value) is not UNFIT


@given(VALUES, VALUES)
def test_two_values_fit_the_type_of_both(one: Any, other: Any) -> None:
    """A new column holds all values of the batch that it was made for, in either order."""
    kinds = infer(one), infer(other)
    if None in kinds:
        return
    first, second = kinds
    assert first is not None
    assert second is not None
    assert join(first, second) is join(second, first)
    for value in (one, other):
        assert encode(join(first, second), value) is not UNFIT


@given(KINDS, NUMBERS)
def test_a_number_is_stored_as_it_is_or_not_at_all(kind: Kind, value: float) -> None:
    """No column of numbers rounds."""
    stored = encode(kind, value)
    if kind in (Kind.BOOLEAN, Kind.TIMESTAMP):
        assert stored is UNFIT
    elif kind in (Kind.TEXT, Kind.JSONB):
        assert json.loads(stored) == value
    elif stored is not UNFIT:
        assert float(stored) == value if isinstance(value, float) else Decimal(stored) == value
    else:
        assert kind is not Kind.NUMERIC


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.JSONB])
def test_what_postgresql_cannot_hold_is_replaced(kind: Kind) -> None:
    """NUL and lone surrogates become U+FFFD, also deep in an array, and in keys."""
    assert "\ufffd" in encode(kind, "a\0b")
    deep = encode(kind, [{"k\0": ["\ud800", "\0"]}])
    assert json.loads(deep) == [{"k\ufffd": ["\ufffd", "\ufffd"]}]


def test_a_time_is_a_moment() -> None:
    """A time with an offset is stored in UTC."""
    stored = encode(Kind.TIMESTAMP, "2026-11-23T16:00:00+02:00")
    assert stored == datetime(2026, 11, 23, 14, tzinfo=UTC)
