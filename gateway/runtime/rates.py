"""How fast things go: counts sampled once a second, and what that makes over the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

__all__ = ["WINDOW_SECONDS", "Rates"]

WINDOW_SECONDS = 10
"""Rates are means over so many seconds."""


class Rates:
    """A ring of samples. Counts only grow; one that is new counts from its first sample."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, int]]] = deque(maxlen=WINDOW_SECONDS + 1)

    def sample(self, now: float, counts: Mapping[str, int]) -> None:
        """Take note of all counts.

        Args:
            now: in seconds, of a clock that is never set.
        """
        self._samples.append((now, dict(counts)))

    def growth(self, name: str) -> int:
        """By how much a count grew in the window."""
        known = [counts[name] for _, counts in self._samples if name in counts]
        # A destination that was taken out and put back has begun to count anew.
        return max(0, known[-1] - known[0]) if known else 0

    def per_second(self, name: str) -> float:
        """How fast a count grows."""
        times = [time for time, counts in self._samples if name in counts]
        passed = times[-1] - times[0] if times else 0.0
        return self.growth(name) / passed if passed > 0 else 0.0
