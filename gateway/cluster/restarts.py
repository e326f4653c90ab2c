"""When a worker that has crashed is started again. Pure: the clock is passed in."""

from __future__ import annotations

import random

from gateway.config.settings import RetryPolicy
from gateway.delivery.backoff import backoff_seconds

__all__ = ["Restarts"]

_BACKOFF = RetryPolicy(initial_seconds=0.5, max_seconds=30.0)
_STEADY_SECONDS = 60.0


class Restarts:
    """Delays of one worker.

    The first restart is at once; from then on delays double, with full jitter, up to half a minute.
    A run of a minute makes good for what was before.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._crashes = 0
        self._started = 0.0

    def started(self, now: float) -> None:
        """It runs; `now` in seconds of a clock that only goes forward."""
        self._started = now

    def delay_seconds(self, now: float) -> float:
        """It has crashed: how long to wait before it is started again."""
        if now - self._started >= _STEADY_SECONDS:
            self._crashes = 0
        self._crashes += 1
        if self._crashes == 1:
            return 0.0
        return backoff_seconds(self._crashes - 1, _BACKOFF, None, self._rng)
