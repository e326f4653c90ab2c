"""Rates over the last seconds, from counts that are sampled once a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

__all__ = ["WINDOW_SECONDS", "Rates"]

WINDOW_SECONDS = 10
"""The time over which rates are averaged."""


class Rates:
    """A ring of samples of growing counts; a new count starts at its first sample."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, int]]] = deque(maxlen=WINDOW_SECONDS + 1)

    def sample(self, now: float, counts: Mapping[str, int]) -> None:
        """Adds a sample of all counts.

        Args:
            now: seconds of a monotonic clock.
        """
        self._samples.append((now, dict(counts)))

    def growth(self, name: str) -> int:
        """Returns the growth of a count in the window."""
        known = [counts[name] for _, counts in self._samples if name in counts]
        # A destination that was removed and added again counts from 0.
        return max(0, known[-1] - known[0]) if known else 0

    def per_second(self, name: str) -> float:
        """Returns the growth of a count per second."""
        times = [time for time, counts in self._samples if name in counts]
        passed = times[-1] - times[0] if times else 0.0
        return self.growth(name) / passed if passed > 0 else 0.0
