"""When to send to a destination, and how much at once. Time is passed in; nothing here sleeps.

The *circuit* is closed while the destination works. When it fails as a whole the circuit opens: all
wait, and one probe at a time tests it, after a back-off that grows. The first success closes it.

The *limit* on concurrent sends follows additive increase, multiplicative decrease, as TCP's does
(Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989):
a success while all of the limit is in use adds to it, a refusal or a slow answer shrinks it.
"""

from __future__ import annotations

import random

from gateway.config.settings import RetryPolicy
from gateway.delivery.backoff import backoff_seconds

__all__ = ["Circuit", "Limit", "Pace"]

_SHRINK = 0.7
_SLOW = 3.0
_SMOOTHING = 0.2


class Circuit:
    """Open or closed, and when the next probe may go.

    Args:
        rng: source of the jitter.
    """

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._failures = 0
        self._probing = False
        self._next_probe = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the destination failed as a whole and has not worked since."""
        return self._failures > 0

    def wait_seconds(self, now: float) -> float:
        """How long before asking again; 0 where a send may start now.

        A return of 0 while the circuit is open makes the caller the probe: it must report
        `succeeded`, `failed` or `abandoned`.
        """
        if not self.is_open:
            return 0.0
        if self._probing:
            return self._policy.max_seconds
        if now < self._next_probe:
            return self._next_probe - now
        self._probing = True
        return 0.0

    def succeeded(self) -> None:
        """A send was answered: the destination works."""
        self._failures = 0
        self._probing = False

    def failed(self, now: float, asked_seconds: float | None, *, probe: bool = True) -> None:
        """The destination failed as a whole.

        Sends that were under way when it began to fail report too. Only the first of them and
        probes make the wait grow, but how long the destination asked to be left alone is heeded
        whoever was told.

        Args:
            probe: whether the send was let go while the circuit was open.
        """
        if self.is_open and not (probe and self._probing):
            if asked_seconds:
                wait = backoff_seconds(1, self._policy, asked_seconds, self._rng)
                self._next_probe = max(self._next_probe, now + wait)
            return
        self._probing = False
        self._failures += 1
        self._next_probe = now + backoff_seconds(
            self._failures, self._policy, asked_seconds, self._rng
        )

    def abandoned(self) -> None:
        """The probe ended without an answer about the destination: another may be sent."""
        self._probing = False


class Limit:
    """How many sends may be under way.

    Args:
        most: bound that it never exceeds.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._value = 1.0
        self._usual_seconds: float | None = None

    @property
    def value(self) -> int:
        """The limit now."""
        return int(self._value)

    def bound(self, most: int) -> None:
        """Never exceed another bound from now on."""
        self._most = most
        self._value = min(self._value, most)

    def answered(self, seconds: float, in_use: int) -> None:
        """A send succeeded in so long, with so many under way, itself included."""
        usual = self._usual_seconds
        if usual is not None and seconds > usual * _SLOW and self._value > 1:
            self.refused()
        elif in_use >= self.value:
            self._value = min(self._most, self._value + 1 / self._value)
        # A moving average: what is slow is told by what was usual for this destination.
        self._usual_seconds = seconds if usual is None else usual + (seconds - usual) * _SMOOTHING

    def refused(self) -> None:
        """The destination asked for less, or failed."""
        self._value = max(1.0, self._value * _SHRINK)


class Pace:
    """A fixed bound on how often something is sent.

    Args:
        per_second: 0 is no bound.
    """

    def __init__(self, per_second: float) -> None:
        self._next = 0.0
        self.bound(per_second)

    def bound(self, per_second: float) -> None:
        """Another bound from the next send on; the gap that was begun goes on."""
        self._gap_seconds = 1 / per_second if per_second else 0.0

    def wait_seconds(self, now: float) -> float:
        """How long before the next send; 0 takes its place."""
        if now < self._next:
            return self._next - now
        self._next = max(now, self._next) + self._gap_seconds
        return 0.0
