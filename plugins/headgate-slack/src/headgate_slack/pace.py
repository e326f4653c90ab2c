"""The pace of messages to one channel."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Slots for messages; the caller passes in the clock.

    Args:
        interval_seconds: from one slot to the next.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._next = 0.0

    def take(self, now: float) -> float:
        """Takes the next slot; returns the seconds until it begins."""
        begins = max(now, self._next)
        self._next = begins + self._interval
        return begins - now
