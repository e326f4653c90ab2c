"""Goals: whether a number will be where it is to be.

Two ranges of the same length, one after the other, give a pace. It is carried on to the range that
ends on the goal's day. Both values have an interval, so what is expected has one too: it grows with
the distance. While the target lies inside it, nobody can know yet, and the report says so.
"""

from __future__ import annotations

import math
from datetime import date
from typing import Literal

from msgspec import Struct

from headgate_insights.figure import Headline
from headgate_insights.intervals import Z

__all__ = ["FEWEST", "MOST_RANGES", "Pace", "Status", "pace"]

MOST_RANGES = 3.0
"""How many lengths of its range a number is carried on at most."""

FEWEST = 30
"""The n below which nothing is said about a number."""

Status = Literal["reached", "missed", "on track", "behind", "not yet known"]


class Pace(Struct, frozen=True, kw_only=True):
    """Where a number is going.

    Attributes:
        expected: the value on the goal's day if it goes on as it did; None if that is unknown.
        low, high: the 95 % interval of `expected`; None if the number has no interval.
        why: how the status was found, in words.
    """

    status: Status
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    why: str


def pace(
    now: Headline | None,
    before: Headline | None,
    *,
    target: float,
    lower_is_better: bool,
    by: date,
    last: date,
    days: int,
) -> Pace:
    """Judges a number against its target.

    Args:
        now, before: the number in the range, and in the range of the same length before.
        by: the last day on which the goal may be reached.
        last: the last day of the range.
        days: length of the range.
    """
    if now is None or now.value is None:
        return Pace(status="not yet known", why="The number has no value yet.")
    if now.n is not None and now.n < FEWEST:
        return Pace(status="not yet known", why=f"Its n is {now.n:,.0f}, fewer than {FEWEST}.")
    sign = -1.0 if lower_is_better else 1.0
    left = (by - last).days
    if left <= 0:
        met = sign * now.value >= sign * target
        return Pace(
            status="reached" if met else "missed",
            expected=now.value,
            low=now.low,
            high=now.high,
            why="Its day has come; the number itself counts.",
        )
    if before is None or before.value is None:
        return Pace(
            status="not yet known", why="The range before has no data, so no pace is known."
        )
    ahead = left / days
    if ahead > MOST_RANGES:
        return Pace(
            status="not yet known",
            why=f"Its day is {left} days off, more than {MOST_RANGES:g} times the {days} days that "
            "the number is of.",
        )
    expected = _bounded(now.value + (now.value - before.value) * ahead, now.unit)
    errors = (_error(now), _error(before))
    if errors[0] is None or errors[1] is None:
        good = sign * expected >= sign * target
        return Pace(
            status="on track" if good else "behind",
            expected=expected,
            why=f"The pace of the last {2 * days} days, carried on for {left}. This number has no "
            "interval, so chance is left out.",
        )
    error = Z * math.hypot((1 + ahead) * errors[0], ahead * errors[1])
    low, high = _bounded(expected - error, now.unit), _bounded(expected + error, now.unit)
    worst, best = (high, low) if lower_is_better else (low, high)
    status: Status = "not yet known"
    if sign * worst >= sign * target:
        status = "on track"
    elif sign * best < sign * target:
        status = "behind"
    why = f"The pace of the last {2 * days} days, carried on for {left}, with its 95 % interval."
    if status == "not yet known":
        why += " The target lies inside the interval."
    return Pace(status=status, expected=expected, low=low, high=high, why=why)


def _error(one: Headline) -> float | None:
    if one.low is None or one.high is None:
        return None
    return (one.high - one.low) / (2 * Z)


def _bounded(value: float, unit: str) -> float:
    return min(max(value, 0.0), 1.0) if unit == "%" else max(value, 0.0)
