"""Decides when to send to a destination, and how many sends at once. No clock, no I/O.

The *circuit* is closed while the destination works. When the whole destination fails, the circuit
opens: all sends wait, and one probe at a time tests the destination, after a back-off that grows.
The first success closes the circuit.

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
    """The circuit of one destination, with the time of the next probe.

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
        """True if the whole destination failed and has not worked since."""
        return self._failures > 0

    def wait_seconds(self, now: float) -> float:
        """Returns the wait before the caller asks again; 0 if a send may start now.

        If the circuit is open, 0 makes the caller the probe. The caller must then report
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
        """Notes that the destination answered a send, so it works."""
        self._failures = 0
        self._probing = False

    def failed(self, now: float, asked_seconds: float | None, *, probe: bool = True) -> None:
        """Notes that the whole destination failed.

        Sends that were under way when it began to fail report too. Only the first of them and the
        probes make the wait grow. But a wait that the destination asks for counts in any case.

        Args:
            asked_seconds: the wait that the destination asked for.
            probe: whether the send began while the circuit was open.
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
        """Notes that the probe ended without an answer, so that another may be sent."""
        self._probing = False


class Limit:
    """The limit on sends under way at once.

    Args:
        most: upper bound of the limit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._value = 1.0
        self._usual_seconds: float | None = None

    @property
    def value(self) -> int:
        """The current limit."""
        return int(self._value)

    def bound(self, most: int) -> None:
        """Sets another upper bound."""
        self._most = most
        self._value = min(self._value, most)

    def answered(self, seconds: float, in_use: int) -> None:
        """Notes that a send succeeded.

        Args:
            seconds: duration of the send.
            in_use: number of sends under way, this one included.
        """
        usual = self._usual_seconds
        if usual is not None and seconds > usual * _SLOW and self._value > 1:
            self.refused()
        elif in_use >= self.value:
            self._value = min(self._most, self._value + 1 / self._value)
        # A moving average: an answer is slow compared with what is usual for this destination.
        self._usual_seconds = seconds if usual is None else usual + (seconds - usual) * _SMOOTHING

    def refused(self) -> None:
        """Notes that the destination asked for fewer sends, or failed."""
        self._value = max(1.0, self._value * _SHRINK)


class Pace:
    """A fixed bound on sends a second.

    Args:
        per_second: 0 means no bound.
    """

    def __init__(self, per_second: float) -> None:
        self._next = 0.0
        self.bound(per_second)

    def bound(self, per_second: float) -> None:
        """Sets another bound, which applies after the next send."""
        self._gap_seconds = 1 / per_second if per_second else 0.0

    def wait_seconds(self, now: float) -> float:
        """Returns the wait before the next send; 0 takes the turn."""
        if now < self._next:
            return self._next - now
        self._next = max(now, self._next) + self._gap_seconds
        return 0.0
