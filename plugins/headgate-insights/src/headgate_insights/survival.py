"""Kaplan-Meier: how long people stay, of whom many have not left yet.

A person who left after `age` days is an event, one who was still there at that age is censored:
they stayed at least so long. Survival is the product over the ages at which people left of
``1 - left / at risk``. Its interval is that of Greenwood's variance on the scale ``log(-log S)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

from headgate_insights.intervals import Z

__all__ = ["Survival", "kaplan_meier", "median_age", "survival_at"]


class Survival(Struct, frozen=True, kw_only=True):
    """Survival at an age.

    Attributes:
        at_risk: people who were observed at this age, just before some of them left.
        left: people who left at it.
        survival: share of people who stay longer.
        low, high: its 95 % interval; None where it is not defined, before the first and at zero.
    """

    age: int
    at_risk: float
    left: float
    survival: float
    low: float | None
    high: float | None


def kaplan_meier(counts: Iterable[tuple[int, float, float]], worth: float = 1.0) -> list[Survival]:
    """Estimates survival by age.

    Args:
        counts: of each age, the people who left at it and those who were last seen at it without
            having left.
        worth: what one of the people is worth for the interval: Kish's number over the sum of
            weights, which is 1 without a sample.
    """
    ordered = sorted(counts)
    at_risk = sum(left + censored for _, left, censored in ordered)
    survival, variance = 1.0, 0.0
    found: list[Survival] = []
    for age, left, censored in ordered:
        if left:
            survival = max(survival * (1 - left / at_risk), 0.0)
            if at_risk > left:
                variance += left / (at_risk * (at_risk - left)) / worth
            else:
                survival = 0.0
        low, high = _interval(survival, variance)
        found.append(
            Survival(age=age, at_risk=at_risk, left=left, survival=survival, low=low, high=high)
        )
        at_risk -= left + censored
    return found


def _interval(survival: float, variance: float) -> tuple[float | None, float | None]:
    if not 0 < survival < 1:
        return None, None
    log = math.log(survival)
    width = Z * math.sqrt(variance) / log  # negative, so the bounds change sides
    return survival ** math.exp(-width), survival ** math.exp(width)


def median_age(curve: list[Survival]) -> int | None:
    """Returns the age by which half of the people have left; None if fewer have."""
    return next((point.age for point in curve if point.survival <= 0.5), None)


def survival_at(curve: list[Survival], age: int) -> Survival | None:
    """Returns survival at an age; None if nobody was observed for so long."""
    if not curve or curve[-1].age < age:
        return None
    before = [point for point in curve if point.age <= age]
    return before[-1] if before else None
