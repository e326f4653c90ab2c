"""Schedules of jobs."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.schedule import Schedule

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]


def times(text: str, begin: str, number: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """Returns the first times after a local time, as local times with their offset."""
    moment = datetime.fromisoformat(begin).replace(tzinfo=zone)
    found = []
    for _ in range(number):
        moment = Schedule.parse(text).after(moment, zone)
        found.append(moment.astimezone(zone).strftime("%m-%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("text", "begin", "expected"),
    [
        ("every 90s", "2026-01-01T00:00", ["01-01 00:01 +0100", "01-01 00:03 +0100"]),
        ("every 6h", "2026-03-29T00:00", ["03-29 07:00 +0200", "03-29 13:00 +0200"]),
        ("daily 03:30", "2026-01-01T03:30", ["01-02 03:30 +0100", "01-03 03:30 +0100"]),
        ("daily 03:30", "2026-01-01T03:29", ["01-01 03:30 +0100", "01-02 03:30 +0100"]),
        ("monday 08:00", "2026-01-01T00:00", ["01-05 08:00 +0100", "01-12 08:00 +0100"]),
        # 2026-03-29 has 23 hours: 02:00 is followed by 03:00.
        ("daily 02:30", "2026-03-28T12:00", ["03-29 03:00 +0200", "03-30 02:30 +0200"]),
        ("sunday 02:00", "2026-03-28T12:00", ["03-29 03:00 +0200", "04-05 02:00 +0200"]),
        # 2026-10-25 has 25 hours: 02:59 is followed by 02:00.
        ("daily 02:30", "2026-10-24T12:00", ["10-25 02:30 +0200", "10-26 02:30 +0100"]),
        ("daily 08:00", "2026-10-24T12:00", ["10-25 08:00 +0100", "10-26 08:00 +0100"]),
    ],
)
def test_times_are_those_of_the_zone(text: str, begin: str, expected: list[str]) -> None:
    """A skipped time becomes the moment of the change, and a repeated one counts once."""
    assert times(text, begin, 2) == expected


@given(
    st.integers(946_684_800, 2_082_758_400),  # the years 2000 to 2035
    st.times(),
    st.sampled_from(ZONES),
)
def test_a_daily_job_runs_once_on_each_day(begin: int, at: time, zone_name: str) -> None:
    """In every zone there is one time for each local day, whatever clocks do."""
    zone = ZoneInfo(zone_name)
    schedule = Schedule.parse(f"daily {at:%H:%M}")
    moment = datetime.fromtimestamp(begin, UTC)
    days = []
    for _ in range(4):
        after = schedule.after(moment, zone)
        assert moment < after <= moment + timedelta(hours=26)
        assert schedule.after(after - timedelta(microseconds=1), zone) == after
        moment = after
        days.append(after.astimezone(zone).date())
    assert [day - days[0] for day in days] == [timedelta(days=n) for n in range(4)]


@pytest.mark.parametrize(
    "text",
    [
        "", "5m", "every 0m", "every 5", "every 5w", "every 1234567s", "daily", "daily 3:30",
        "daily 24:00", "daily 03:60", "Monday 08:00", "mon 08:00", "daily 03:30 ", "daily 03:30\n",
        "every \u0665m",
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    """A text in another form is refused with the forms that exist."""
    with pytest.raises(ValueError, match="is no schedule: write 'every 5m'"):
        Schedule.parse(text)
