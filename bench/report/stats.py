"""The few statistics that figures are judged by."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import median

__all__ = ["interval", "percentile", "slope"]

_RESAMPLES = 4000
_TAIL = 0.025
"""Left out at either end: intervals are of 95 %."""


def interval(*samples: Sequence[float], of: Callable[..., float] = median) -> tuple[float, float]:
    """Interval of 95 % of what `of` makes of the samples.

    The percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
    chapter 13). From a seed, so that the same figures always have the same interval.

    Args:
        samples: each is resampled on its own; at least one figure each.
    """
    rng = random.Random(0)
    values = sorted(
        of(*(rng.choices(sample, k=len(sample)) for sample in samples)) for _ in range(_RESAMPLES)
    )
    cut = int(_RESAMPLES * _TAIL)
    return values[cut], values[-1 - cut]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the others stay within; `values` may be in any order."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How much a value rises for one unit of the other (Theil and Sen: the median of all slopes).

    A single peak does not move it, which it would with least squares.
    """
    slopes = [
        (later - earlier) / (end - start)
        for index, (start, earlier) in enumerate(points)
        for end, later in points[index + 1 :]
        if end > start
    ]
    return median(slopes) if slopes else 0.0
