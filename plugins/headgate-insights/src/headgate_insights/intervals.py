"""Intervals of shares, and how many people a weighted sample is worth.

A person of a sample stands for ``weight`` people. ``(sum w)^2 / sum w^2`` (Kish) is the number of
unweighted people that would be as exact. The interval of a share is Wilson's with that number. If
all weights are 1, nobody was left out, and the interval is that of more people like these.
"""

from __future__ import annotations

import math

from msgspec import Struct

__all__ = ["CONFIDENCE", "OF_RATIO", "Share", "Z", "kish", "kish_sql", "ratio_interval", "share"]

OF_RATIO = "normal, of a ratio of sums over people"
"""The method of `ratio_interval`."""

CONFIDENCE = 0.95
Z = 1.959963984540054  # two-sided, for CONFIDENCE


class Share(Struct, frozen=True, kw_only=True):
    """A share with its 95 % interval. Rows of figures that are shares inherit these fields.

    Attributes:
        share: from 0 to 1; None if it is a share of nobody.
        low, high: bounds of the interval.
        n: number of people that it is worth (Kish).
    """

    share: float | None
    low: float | None
    high: float | None
    n: float


def kish(weights: float, squares: float) -> float:
    """Returns the effective number of people, from the sums of weights and of their squares."""
    return weights * weights / squares if squares > 0 else 0.0


def kish_sql(w: str, test: str = "") -> str:
    """Returns the SQL aggregate of `kish` over rows of the weight `w` that pass a test."""
    only = f" FILTER ({test})" if test else ""
    return f"sum({w}){only} ** 2 / nullif(sum({w} * {w}){only}, 0)"


def share(part: float, whole: float, n: float) -> Share:
    """Returns the share of a part in a whole, with Wilson's interval for `n` people."""
    if whole <= 0 or n <= 0:
        return Share(share=None, low=None, high=None, n=0.0)
    p = min(max(part / whole, 0.0), 1.0)
    scale = 1 + Z * Z / n
    centre = (p + Z * Z / (2 * n)) / scale
    half = Z / scale * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    # At 0 and 1 one bound is the share itself; rounding must not move it past.
    low, high = min(max(centre - half, 0.0), p), max(min(centre + half, 1.0), p)
    return Share(share=p, low=low, high=high, n=n)


def ratio_interval(
    ratio: float | None, below: float, tops: float, products: float, belows: float
) -> tuple[float | None, float | None]:
    """Returns the interval of a ratio of two sums over people, such as revenue for each order.

    Args:
        below: the sum that is divided by, of ``w * n``.
        tops, products, belows: the sums of ``w²y²``, ``w²yn`` and ``w²n²`` over people.
    """
    if ratio is None or below <= 0:
        return None, None
    variance = max(tops - 2 * ratio * products + ratio * ratio * belows, 0.0)
    half = Z * math.sqrt(variance) / below
    return ratio - half, ratio + half
