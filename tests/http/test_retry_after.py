"""The Retry-After header."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.retry_after import MAX_HEADER_CHARACTERS, parse_retry_after

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0.0), ("120", 120.0), (" 5 ", 5.0), ("1.5", 1.5), ("007", 7.0)]
)
def test_seconds(value: str, seconds: float) -> None:
    """A number is a number of seconds."""
    assert parse_retry_after(value, NOON_MS) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 23 Nov 2026 12:01:30 GMT",
        "Monday, 23-Nov-26 12:01:30 GMT",
        "Mon Nov 23 12:01:30 2026",
    ],
)
def test_dates(value: str) -> None:
    """Each of the three forms of an HTTP-date is read as a time in UTC."""
    assert parse_retry_after(value, NOON_MS) == 90.0


def test_a_date_is_compared_with_milliseconds() -> None:
    """The wait for a date counts fractions of a second."""
    assert parse_retry_after("Mon, 23 Nov 2026 12:00:01 GMT", NOON_MS + 250) == 0.75


def test_a_date_in_the_past_is_no_wait() -> None:
    """A date in the past, or a clock that is ahead, gives 0 and never a negative wait."""
    assert parse_retry_after("Mon, 23 Nov 2026 11:00:00 GMT", NOON_MS) == 0.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "-1",
        "+1",
        "1e3",
        "٣",
        "soon",
        "nan",
        "inf",
        "Mon, 32 Nov 2026 10:00:00 GMT",
        "Mon, 23 Nov 99999 10:00:00 GMT",
        "1" * (MAX_HEADER_CHARACTERS + 1),
    ],
)
def test_unreadable_values_say_nothing(value: str | None) -> None:
    """A value that is neither seconds nor a date gives None."""
    assert parse_retry_after(value, NOON_MS) is None


def test_the_longest_value_is_finite() -> None:
    """The longest number that is read is finite."""
    seconds = parse_retry_after("9" * MAX_HEADER_CHARACTERS, NOON_MS)
    assert seconds is not None
    assert math.isfinite(seconds)


@given(value=st.text() | st.from_regex(r"[A-Z][a-z]{2},? [-0-9A-Za-z: ]{0,40}"))
def test_no_value_raises(value: str) -> None:
    """For any value the result is None or a finite wait that is not negative."""
    seconds = parse_retry_after(value, NOON_MS)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


@given(
    moment=st.integers(min_value=0, max_value=253_402_214_400).map(
        lambda seconds: datetime.fromtimestamp(seconds, UTC)
    )
)
def test_every_http_date_is_read(moment: datetime) -> None:
    """A date in the preferred form of the RFC is read to the second."""
    expected = max(0.0, (moment - NOON).total_seconds())
    assert parse_retry_after(format_datetime(moment, usegmt=True), NOON_MS) == expected
