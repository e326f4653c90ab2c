"""Days, weeks and months of a time zone, as whole numbers.

A day is the number of days since 1970-01-01 by the clocks of the zone. In SQL it is integer
arithmetic: the changes of the zone's clocks within the range are known beforehand, so the database
adds the offset that holds at a time and divides. That costs a third of a conversion by DuckDB's own
time zones, and is right on days of 23 and 25 hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from headgate_insights.errors import WrongQuestion, suggestion

__all__ = ["EPOCH", "Calendar", "Every", "Weekday"]

Every: TypeAlias = Literal["day", "week", "month"]
Weekday: TypeAlias = Literal["monday", "saturday", "sunday"]

EPOCH = date(1970, 1, 1)
_EPOCH_MONTH = 1970 * 12
_SHIFT: dict[Weekday, int] = {"monday": 3, "sunday": 4, "saturday": 5}  # 1970-01-01 is a Thursday
_MICROSECONDS = 1_000_000
_RELATIVE = re.compile(r"([1-9][0-9]{0,3})([dwm])")


@dataclass(frozen=True, slots=True)
class Calendar:
    """The periods of a time zone.

    Attributes:
        zone: name of the time zone, such as ``Europe/Berlin``.
        week_starts_on: the first day of a week.
    """

    zone: str = "UTC"
    week_starts_on: Weekday = "monday"

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = suggestion(self.zone, available_timezones())
            raise WrongQuestion(f"there is no time zone {self.zone!r}{hint}") from None

    # In Python.

    def day_of(self, moment: datetime) -> int:
        """Returns the day that a moment is on."""
        return (moment.astimezone(ZoneInfo(self.zone)).date() - EPOCH).days

    def period_of(self, every: Every, day: int) -> int:
        """Returns the period that a day belongs to."""
        match every:
            case "day":
                return day
            case "week":
                return (day + _SHIFT[self.week_starts_on]) // 7
            case "month":
                on = EPOCH + timedelta(days=day)
                return on.year * 12 + on.month - 1 - _EPOCH_MONTH

    def first_day(self, every: Every, period: int) -> int:
        """Returns the first day of a period."""
        match every:
            case "day":
                return period
            case "week":
                return period * 7 - _SHIFT[self.week_starts_on]
            case "month":
                year, month = divmod(period + _EPOCH_MONTH, 12)
                return (date(year, month + 1, 1) - EPOCH).days

    def date_of(self, every: Every, period: int) -> date:
        """Returns the date on which a period begins."""
        return EPOCH + timedelta(days=self.first_day(every, period))

    def begin(self, every: Every, period: int) -> datetime:
        """Returns the moment at which a period begins."""
        on = self.date_of(every, period)
        return self.midnight(on)

    def midnight(self, on: date) -> datetime:
        """Returns the first moment of a date; where clocks skip midnight, the moment after it."""
        local = datetime(on.year, on.month, on.day, tzinfo=ZoneInfo(self.zone))
        return local.astimezone(UTC)

    def parse(self, text: str, now: datetime, *, until: date | None = None) -> date:
        """Returns the date that a text names.

        Args:
            text: ``2026-05-01``, ``today``, ``yesterday``, or a length such as ``90d``, ``12w`` or
                ``6m`` that ends with the day before `until`.
            until: the end that a length counts from; by default tomorrow, so that today is in it.
        """
        today = EPOCH + timedelta(days=self.day_of(now))
        until = today + timedelta(days=1) if until is None else until
        if text in ("today", "yesterday"):
            return today if text == "today" else today - timedelta(days=1)
        try:
            if relative := _RELATIVE.fullmatch(text):
                number, unit = int(relative[1]), relative[2]
                if unit == "m":
                    return _months_before(until, number)
                return until - timedelta(days=number * (7 if unit == "w" else 1))
            return date.fromisoformat(text)
        except (ValueError, OverflowError):
            raise WrongQuestion(
                f"{text!r} is no date: 2026-05-01, today, yesterday, or a length such as 90d, "
                "12w or 6m"
            ) from None

    # In SQL.

    def day_sql(self, column: str, start: datetime, end: datetime) -> str:
        """Returns the SQL of the day that a time is on.

        Args:
            column: SQL of a TIMESTAMPTZ.
            start, end: bounds that the times are within.
        """
        micros = f"epoch_us({column})"
        (offset, _), *changes = self._offsets(start, end)
        shift = str(offset * _MICROSECONDS)
        if changes:
            # From the last change backwards, as most events are new.
            cases = "".join(
                f" WHEN {micros} >= {at * _MICROSECONDS} THEN {seconds * _MICROSECONDS}"
                for seconds, at in reversed(changes)
            )
            shift = f"CASE{cases} ELSE {shift} END"
        shifted = micros if shift == "0" else f"({micros} + {shift})"
        return f"CAST({shifted} // {86_400 * _MICROSECONDS} AS INTEGER)"

    def period_sql(self, every: Every, column: str, start: datetime, end: datetime) -> str:
        """Returns the SQL of the period that a time is in; arguments as of `day_sql`."""
        day = self.day_sql(column, start, end)
        match every:
            case "day":
                return day
            case "week":
                return f"({day} + {_SHIFT[self.week_starts_on]}) // 7"
            case "month":
                on = f"(DATE '1970-01-01' + {day})"
                return f"CAST(year({on}) * 12 + month({on}) - {_EPOCH_MONTH + 1} AS INTEGER)"

    def _offsets(self, start: datetime, end: datetime) -> Iterator[tuple[int, int]]:
        """Yields each offset from UTC in seconds with the time from which it holds."""
        zone = ZoneInfo(self.zone)

        def offset_at(timestamp: int) -> int:
            offset = datetime.fromtimestamp(timestamp, zone).utcoffset()
            assert offset is not None
            return round(offset.total_seconds())

        low, high = int(start.timestamp()), int(end.timestamp()) + 1
        held = offset_at(low)
        yield held, low
        while low < high:
            later = min(low + 7 * 86_400, high)  # no zone changes its clocks twice within a week
            if offset_at(later) != held:
                before, after = low, later
                while after - before > 1:
                    middle = (before + after) // 2
                    if offset_at(middle) == held:
                        before = middle
                    else:
                        after = middle
                held = offset_at(after)
                yield held, after
                later = after
            low = later


def _months_before(on: date, months: int) -> date:
    year, month = divmod(on.year * 12 + on.month - 1 - months, 12)
    for day in range(on.day, 0, -1):
        try:
            return date(year, month + 1, day)
        except ValueError:
            if day <= 28:
                raise
    raise AssertionError("a month has at least 28 days")
