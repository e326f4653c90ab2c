"""Days, weeks and months of a zone, in Python and in SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_insights.calendar import EPOCH, Calendar
from headgate_insights.errors import WrongQuestion
from headgate_insights.literals import literal

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe",
         "Pacific/Apia", "Africa/Casablanca", "America/Santiago"]  # fmt: skip
NOW = datetime(2026, 5, 15, 12, tzinfo=UTC)


def sql(expression: str) -> Any:
    return duckdb.sql(f"SELECT {expression}").fetchall()[0][0]


@given(
    st.integers(980_000_000, 1_890_000_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
    st.sampled_from(ZONES),
    st.sampled_from(["day", "week", "month"]),
    st.sampled_from(["monday", "saturday", "sunday"]),
)
def test_sql_and_python_agree(moment: datetime, zone: str, every: Any, week: Any) -> None:
    """The SQL of a period and its Python equal the calendar of the zone's clocks."""
    calendar = Calendar(zone, week)
    start, end = moment - timedelta(days=500), moment + timedelta(days=500)
    number = sql(calendar.period_sql(every, literal(moment), start, end))
    assert number == calendar.period_of(every, calendar.day_of(moment))
    local = moment.astimezone(ZoneInfo(zone)).date()
    first = calendar.date_of(every, number)
    assert first <= local < calendar.date_of(every, number + 1)
    assert calendar.begin(every, number) <= moment < calendar.begin(every, number + 1)
    if every == "week":
        assert f"{first:%A}".lower() == week
    if every == "month":
        assert first.day == 1


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
def test_days_have_their_hours(day: str, hours: int) -> None:
    """In Berlin, 2026-03-29 has 23 hours and 2026-10-25 has 25; each hour is on its day in SQL."""
    calendar = Calendar("Europe/Berlin")
    number = (date.fromisoformat(day) - EPOCH).days
    begin, end = calendar.begin("day", number), calendar.begin("day", number + 1)
    assert (end - begin) == timedelta(hours=hours)
    for hour in range(hours):
        moment = begin + timedelta(hours=hour, minutes=59, seconds=59, microseconds=999_999)
        assert sql(calendar.day_sql(literal(moment), begin, end)) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01", "2026-05-01"),
        ("today", "2026-05-15"),
        ("yesterday", "2026-05-14"),
        ("1d", "2026-05-15"),
        ("7d", "2026-05-09"),
        ("2w", "2026-05-02"),
        ("3m", "2026-02-16"),
    ],
)
def test_dates_are_read(text: str, expected: str) -> None:
    """A date, a word, or a length that ends with today names a day."""
    assert str(Calendar().parse(text, NOW)) == expected


def test_months_before_the_end_of_a_month() -> None:
    """A month before the 31st is the last day of a shorter month."""
    calendar = Calendar()
    assert str(calendar.parse("1m", NOW, until=date(2026, 3, 31))) == "2026-02-28"
    assert str(calendar.parse("12m", NOW, until=date(2024, 2, 29))) == "2023-02-28"


@pytest.mark.parametrize("text", ["", "0d", "soon", "2026-13-01", "90", "99999w", "1y"])
def test_what_is_no_date_is_refused(text: str) -> None:
    """The message shows what can be written."""
    with pytest.raises(WrongQuestion, match="90d"):
        Calendar().parse(text, NOW)


def test_an_unknown_zone_gets_a_suggestion() -> None:
    """A misspelt zone is refused with the one that was probably meant."""
    with pytest.raises(WrongQuestion, match="did you mean 'Europe/Berlin'"):
        Calendar("Europe/Berln")
