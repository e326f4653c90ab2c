"""The statistics that judge figures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import median

__all__ = ["interval", "percentile", "slope"]

_RESAMPLES = 4000
_TAIL = 0.025
"""Share left out at either end: intervals are of 95 %."""


def interval(*samples: Sequence[float], of: Callable[..., float] = median) -> tuple[float, float]:
    """Returns the 95 % interval of `of`, a function of the samples.

    The percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
    chapter 13), with a fixed seed: the same figures always have the same interval.

    Args:
        samples: resampled independently; at least one figure each.
    """
    rng = random.Random(0)
    values = sorted(
        of(*(rng.choices(sample, k=len(sample)) for sample in samples)) for _ in range(_RESAMPLES)
    )
    cut = int(_RESAMPLES * _TAIL)
    return values[cut], values[-1 - cut]


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value that `share` of all values stay within; `values` may be in any order."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Returns the rise of y for one unit of x (Theil and Sen: the median of all slopes).

    A single peak does not move it, unlike least squares.
    """
    slopes = [
        (later - earlier) / (end - start)
        for index, (start, earlier) in enumerate(points)
        for end, later in points[index + 1 :]
        if end > start
    ]
    return median(slopes) if slopes else 0.0
