"""Delays before a crashed worker is restarted. Pure: the clock is passed in."""

from __future__ import annotations

import random

from gateway.config.settings import RetryPolicy
from gateway.delivery.backoff import backoff_seconds

__all__ = ["Restarts"]

_BACKOFF = RetryPolicy(initial_seconds=0.5, max_seconds=30.0)
_STEADY_SECONDS = 60.0


class Restarts:
    """The restart delays of one worker.

    The first restart is immediate. Later delays double up to half a minute, with full jitter. A run
    of a minute resets them.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._crashes = 0
        self._started = 0.0

    def started(self, now: float) -> None:
        """Notes a start; `now` is in seconds of a monotonic clock."""
        self._started = now

    def delay_seconds(self, now: float) -> float:
        """Notes a crash and returns the delay before the next start."""
        if now - self._started >= _STEADY_SECONDS:
            self._crashes = 0
        self._crashes += 1
        if self._crashes == 1:
            return 0.0
        return backoff_seconds(self._crashes - 1, _BACKOFF, None, self._rng)
