"""Lengths of time, as users write them: ``30m``, ``1h``, ``7d``, ``2w``."""

from __future__ import annotations

import re
from datetime import timedelta

from headgate_insights.errors import WrongQuestion

__all__ = ["duration_words", "in_microseconds", "parse_duration", "short_words"]

_UNITS = {"m": ("minutes", "minute"), "h": ("hours", "hour"), "d": ("days", "day")}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_MOST = timedelta(days=366)


def parse_duration(text: str, option: str) -> timedelta:
    """Returns a length of at most 366 days.

    Args:
        option: what the length is of, for the message of an error.

    Raises:
        WrongQuestion: the text is no length, or too long a one.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise WrongQuestion(f"{option} {text!r} is no length of time: write 30m, 1h, 7d or 2w")
    number, unit = int(match[1]), match[2]
    length = (
        timedelta(weeks=number) if unit == "w" else timedelta(**{_UNITS[unit][0]: float(number)})
    )
    if length > _MOST:
        raise WrongQuestion(f"{option} {text!r} is longer than {_MOST.days} days")
    return length


def in_microseconds(length: timedelta) -> int:
    """Returns a length as SQL compares it with ``epoch_us(ts)``."""
    return length // timedelta(microseconds=1)


def duration_words(length: timedelta) -> str:
    """Returns a length in its largest whole unit: ``7 days``, ``90 minutes``."""
    for unit in ("d", "h", "m"):
        plural, single = _UNITS[unit]
        number, rest = divmod(length, timedelta(**{plural: 1.0}))
        if number and not rest:
            return f"{number} {single if number == 1 else plural}"
    return f"{length.total_seconds():g} seconds"


def short_words(seconds: float | None) -> str:
    """Returns a measured time for a table: ``45 s``, ``12 min``, ``3.5 h``, ``2.1 d``."""
    if seconds is None:
        return ""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            number = seconds / divisor
            return f"{number:.0f} {unit}" if number >= 10 or unit == "s" else f"{number:.1f} {unit}"
    return f"{seconds / 86400:.1f} d"
