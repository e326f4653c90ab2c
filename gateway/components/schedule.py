"""Times at which a job runs: ``every 5m``, ``daily 03:30`` or ``monday 08:00``.

Times of day are those of a time zone, also on days of 23 and 25 hours. A time that a clock change
skips becomes the moment of the change. A time that exists twice counts once, the first time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import ClassVar

__all__ = ["Schedule"]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EVERY = re.compile(r"every ([1-9][0-9]{0,5})([smhd])")
_AT = re.compile(rf"(daily|{'|'.join(_DAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule; `parse` makes one of a text.

    Attributes:
        seconds: time between two runs; 0 for a time of day.
        at: time of day.
        weekday: 0 for Monday; None for every day.
    """

    FORM: ClassVar[str] = "write 'every 5m' (s, m, h, d), 'daily 03:30' or 'monday 08:00'"

    seconds: int = 0
    at: time = time()
    weekday: int | None = None

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Reads a schedule.

        Raises:
            ValueError: the text is none; the message says what to write.
        """
        every = _EVERY.fullmatch(text)
        if every:
            return cls(seconds=int(every[1]) * _SECONDS[every[2]])
        at = _AT.fullmatch(text)
        if at is None:
            raise ValueError(f"{text!r} is no schedule: {cls.FORM}")
        weekday = None if at[1] == "daily" else _DAYS.index(at[1])
        return cls(at=time(int(at[2]), int(at[3])), weekday=weekday)

    def after(self, moment: datetime, zone: tzinfo) -> datetime:
        """Returns the first time after a moment, in UTC."""
        if self.seconds:
            return moment.astimezone(UTC) + timedelta(seconds=self.seconds)
        day = moment.astimezone(zone).date() - timedelta(days=1)
        while True:
            if self.weekday in (None, day.weekday()):
                found = _instant(day, self.at, zone)
                if found > moment:
                    return found
            day += timedelta(days=1)


def _instant(day: date, at: time, zone: tzinfo) -> datetime:
    """Returns the instant, in UTC, at which clocks first show a time, or jump over it."""
    local = datetime.combine(day, at, zone)
    first = local.astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return first
    # Clocks jump over it. The change lies between the times by the later and the earlier offset.
    before, after = local.replace(fold=1).astimezone(UTC), first
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
