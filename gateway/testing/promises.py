"""The promises of destinations, and reports of broken ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Breach", "ContractBroken", "Promise"]

_MOST_SHOWN = 10


class Promise(StrEnum):
    """The promises that `check_destination_contract` checks."""

    AT_LEAST_ONCE = "at least once"
    """An event that can be delivered is sent until it is delivered."""
    NO_LOSS = "nothing is lost"
    """Events that `send` reports as delivered have arrived."""
    OUTCOME_PER_ITEM = "an outcome for each event"
    """A refused event becomes a dead letter with its reason; the others are delivered."""
    RETRY_AFTER = "Retry-After is honoured"
    """The gateway learns the wait that the receiver asks for, and sends nothing before."""
    STABLE = "an event is the same on every attempt"
    """Its id and time do not change, so the receiver can recognise repetitions."""
    ONCE = "exactly once"
    """A storage whose spec says `idempotent` holds each event once."""
    NO_SECRET = "no secret is shown"  # noqa: S105 - no secret
    """Logs, errors and dead letters show none."""
    UNCHANGED = "shared events are not changed"
    """The events of a batch, bodies included, are after `send` as before: others share them."""
    LOOP = "the event loop is not blocked"
    """The loop turns at least every half second; a blocked one stalls the whole gateway."""
    LIFE_CYCLE = "starts and stops"
    """`stop` ends within its deadline, and is safe twice and without `start`."""
    CHECK = "check() delivers nothing"
    """It raises a `DeliveryError` if settings do not work, and nothing else. No receiver gets an
    event by it, not even one of its own."""
    REHEARSAL = "a rehearsal sends nothing"
    """A dry run of a destination that `rehearses` shows what it would send."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken promise.

    Attributes:
        scene: name of the scene.
        what: how the promise was broken.
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
        """The broken promises."""
        return {breach.promise for breach in self.breaches}
