"""Times as clients send them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import timestamps
from gateway.events.timestamps import SteadyClock, exact_ms, format_ms, now_ms, parse_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
LATEST = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# Hypothesis wants them without a time zone, and adds the offsets.
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001
NOON = "2026-11-23T12:00:00.000Z"

moments = st.integers(EARLIEST, LATEST)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-11-23T12:00:00.000Z", NOON),
        ("2026-11-23T12:00:00Z", NOON),
        ("2026-11-23T12:00Z", NOON),
        ("2026-11-23T14:00:00+02:00", NOON),
        ("2026-11-23T14:00:00+0200", NOON),
        ("2026-11-23T14:00:00+02", NOON),
        ("2026-11-23T12:00:00", NOON),
        ("2026-11-23 12:00:00 +0000", NOON),
        ("2026-11-23 12:00:00.000Z", NOON),  # as long as our own form
        ("2026-W48-1T12:00:00.000Z", NOON),
        ("  2026-11-23T12:00:00Z\n", NOON),
        ("20261123T120000Z", NOON),
        ("2026-11-23T12:00:00.123456789Z", "2026-11-23T12:00:00.123Z"),
        ("2026-11-23T12:00:00.9999Z", "2026-11-23T12:00:00.999Z"),
        ("2026-11-23T12:00:00.1Z", "2026-11-23T12:00:00.100Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("2026-11-23", "2026-11-23T00:00:00.000Z"),
        ("20261123", "2026-11-23T00:00:00.000Z"),
        (1795435200, NOON),
        (1795435200.25, "2026-11-23T12:00:00.250Z"),
        (1795435200000, NOON),
        ("1795435200", NOON),
        ("1795435200.25", "2026-11-23T12:00:00.250Z"),
        ("1795435200000", NOON),
        (1.001, "1970-01-01T00:00:01.001Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_forms_of_a_time(sent: object, read: str) -> None:
    """A time in any form that SDKs write is read to the millisecond; smaller fractions are cut."""
    milliseconds = parse_ms(sent)
    assert milliseconds is not None
    assert format_ms(milliseconds) == read


@pytest.mark.parametrize(
    "digits",
    ["1601010110101", "1612102512345", "1701011212121", "1711302359599", "1801010000000"],
)
def test_epoch_milliseconds_that_look_like_a_date(digits: str) -> None:
    """Thirteen digits are milliseconds, even if the first eight could be a date."""
    assert parse_ms(digits) == int(digits)


@pytest.mark.parametrize(
    "sent",
    [
        "", " ", "garbage", "Mon, 23 Nov 2026", "2026-13-01T00:00:00Z", "2026-02-30", "12:00:00",
        "nan", "inf", "-Infinity", "1e999", 1e999, float("nan"), 10**400, -(10**400), 10**15,
        True, False, None, [], {}, b"2026-11-23", datetime(2026, 11, 23, tzinfo=UTC),
        "0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00.000+00:00",
        -62135596800,
    ],
)  # fmt: skip
def test_what_is_no_time(sent: object) -> None:
    """A value that is no time, and Go's zero time, give None and no error."""
    assert parse_ms(sent) is None


def test_true_is_not_one() -> None:
    """`True` does not share a cache entry with 1."""
    assert (parse_ms(True), parse_ms(1.0), parse_ms(1), parse_ms(True)) == (None, 1000, 1000, None)


def test_long_texts_are_not_remembered() -> None:
    """Clients cannot fill the memory with long texts that are no times."""
    before = timestamps._parse_text.cache_info().currsize
    assert parse_ms("2026-11-23T12:00:00Z" + " " * 60_000) is None
    assert timestamps._parse_text.cache_info().currsize == before


@given(moments)
def test_round_trip(milliseconds: int) -> None:
    """A written time is read as the same millisecond."""
    assert parse_ms(format_ms(milliseconds)) == milliseconds


@given(moments, moments)
def test_texts_sort_as_times_do(one: int, other: int) -> None:
    """Texts of times have one width, so they sort like times."""
    assert FORM.fullmatch(format_ms(one))
    assert (format_ms(one) < format_ms(other)) == (one < other)


@given(st.integers())
def test_years_are_bounded(milliseconds: int) -> None:
    """Times outside the range of years are written as the end of the range."""
    clamped = min(max(milliseconds, EARLIEST), LATEST)
    assert parse_ms(format_ms(milliseconds)) == clamped


@given(
    st.datetimes(FIRST, LAST, timezones=offsets),
    st.sampled_from(["T", " "]),
    st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]),
)
def test_any_offset(moment: datetime, separator: str, precision: str) -> None:
    """A time with an offset is converted to UTC."""
    text = moment.isoformat(separator, precision)
    expected = (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)
    assert parse_ms(text) == expected


@given(st.text() | st.integers() | st.floats() | st.text("0123456789-:.TZ+ ", max_size=30))
def test_reading_never_fails(sent: object) -> None:
    """Any text and any number is a time that can be written, or None."""
    milliseconds = parse_ms(sent)
    assert milliseconds is None or parse_ms(format_ms(milliseconds)) == milliseconds


@given(st.integers(1, 99_999_999_999))
def test_whole_seconds(seconds: int) -> None:
    """Epoch seconds give the same time as a number, as a fraction and as digits."""
    assert parse_ms(seconds) == parse_ms(float(seconds)) == seconds * 1000
    if len(str(seconds)) != 8:
        assert parse_ms(str(seconds)) == seconds * 1000


@given(moments)
def test_our_form_is_known_exactly(milliseconds: int) -> None:
    """`exact_ms` reads all times of `format_ms`, except for the last minute of the range."""
    exact = exact_ms(format_ms(milliseconds))
    assert exact == milliseconds or (exact is None and milliseconds > LATEST - 120_000)


@given(
    st.datetimes(FIRST, LAST).map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z"),
    st.integers(0, 23),
    st.characters(),
)
def test_no_other_form_is_taken_for_ours(text: str, place: int, other: str) -> None:
    """If `exact_ms` reads a text, `format_ms` gives the same text, and `parse_ms` agrees."""
    changed = text[:place] + other + text[place + 1 :]
    for form in (text, changed, "2026-W02-1T12:00:00.000Z"):
        exact = exact_ms(form)
        assert exact is None or (format_ms(exact) == form and parse_ms(form) == exact)


def test_now_is_the_wall_clock() -> None:
    """`now_ms` is the wall clock in whole milliseconds."""
    before = time.time() * 1000
    now = now_ms()
    assert before - 1 <= now <= time.time() * 1000 + 1


def test_a_steady_clock_does_not_jump() -> None:
    """It begins at the wall clock's time, and advances as the monotonic clock does."""
    wall_ms, monotonic_ns = 1_000_000, 5_000_000_000
    steady = SteadyClock(lambda: wall_ms, lambda: monotonic_ns)
    assert steady() == 1_000_000
    wall_ms += 8 * 86_400_000
    monotonic_ns += 250_000_000
    assert steady() == 1_000_250


def test_lower_case_and_leap_seconds_are_read() -> None:
    """RFC 3339 allows both; a leap second is the next minute, as in epoch time."""
    assert parse_ms("2016-12-31t23:59:59.123z") == parse_ms("2016-12-31T23:59:59.123Z")
    assert parse_ms("2016-12-31T23:59:60Z") == parse_ms("2017-01-01T00:00:00Z")
    assert parse_ms("2016-12-31T23:59:60.5+00:00") == parse_ms("2017-01-01T00:00:00.500Z")
    assert parse_ms("2016-12-31T23:59:61Z") is None
