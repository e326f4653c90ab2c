"""What a destination promises, and how a test says which promise was broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Breach", "ContractBroken", "Promise"]

_MOST_SHOWN = 10


class Promise(StrEnum):
    """The promises that `check_destination_contract` looks after."""

    AT_LEAST_ONCE = "at least once"
    """An event that can be delivered is sent until it is."""
    NO_LOSS = "nothing is lost"
    """What `send` says was delivered has been delivered."""
    OUTCOME_PER_ITEM = "an outcome for each event"
    """A refused event becomes a dead letter with its reason, and its siblings are delivered."""
    RETRY_AFTER = "Retry-After is honoured"
    """The wait that the receiver asks for reaches the gateway, and nothing is sent before."""
    STABLE = "an event is the same on every attempt"
    """Its id and time do not change, so that the receiver can tell a repetition."""
    ONCE = "exactly once"
    """A storage whose spec says `idempotent` holds each event once."""
    NO_SECRET = "no secret is shown"  # noqa: S105 - none itself
    """Not in logs, nor errors, nor dead letters."""
    LIFE_CYCLE = "starts and stops"
    """`stop` ends within its deadline, and is safe twice and without `start`."""
    CHECK = "check() delivers nothing"
    """And raises a `DeliveryError` where settings do not work, or nothing."""
    REHEARSAL = "a rehearsal sends nothing"
    """And shows what would be sent, of one whose spec says that it `rehearses`."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One promise that was broken.

    Attributes:
        scene: what was going on.
        what: how it was broken, in words.
        events: message ids of the events concerned.
    """

    promise: Promise
    scene: str
    what: str
    events: Sequence[str] = ()

    def __str__(self) -> str:
        text = f'"{self.promise}" was broken in the scene "{self.scene}": {self.what}'
        if self.events:
            shown = ", ".join(self.events[:_MOST_SHOWN])
            more = len(self.events) - _MOST_SHOWN
            text += f"\n    events: {shown}" + (f" and {more} more" if more > 0 else "")
        return text


class ContractBroken(AssertionError):
    """A destination broke promises.

    Args:
        breaches: at least one.
    """

    def __init__(self, breaches: Sequence[Breach]) -> None:
        self.breaches = tuple(breaches)
        super().__init__("\n".join(["the contract of destinations:", *map(str, breaches)]))

    @property
    def promises(self) -> set[Promise]:
        """The promises that were broken."""
        return {breach.promise for breach in self.breaches}
