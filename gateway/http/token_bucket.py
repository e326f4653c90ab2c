"""A rate limit that allows bursts."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """A token bucket that counts events, or requests.

    A request is taken as a whole or not at all, because the client sends all of it again. A request
    that is larger than the bucket is taken when the bucket is full, and leaves a debt.

    Args:
        rate: events per second.
        burst: events that may come at once after a pause.
    """

    def __init__(self, rate: float, burst: float, now_ms: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at_ms = now_ms

    def take(self, events: int, now_ms: int) -> float:
        """Takes tokens for events; returns 0 if there are enough, else the seconds to wait."""
        # A clock that was set back adds no tokens and removes none.
        elapsed = max(0, now_ms - self._at_ms) / 1000
        self._at_ms = now_ms
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        missing = min(events, self._burst) - self._tokens
        if missing > 0:
            return missing / self._rate
        self._tokens -= events
        return 0.0
