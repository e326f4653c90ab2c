"""Suspicions: the reasons to look into an event's body, and the places in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

__all__ = ["BODIES", "DETECT", "NAMES", "PATHS", "Suspicion", "Suspicions"]

BODIES = ("properties", "traits", "context", "extra", "integrations", "metadata")
"""The bodies that are searched, by slot."""

DETECT = 1
"""Reason to look into a body: it may hold something that can be detected."""

NAMES = 2
"""Reason to look into a body: it may have a key that is masked by its name."""

PATHS = 4
"""Reason to look into a body: it may have the last key of a path that is masked."""


@dataclass(slots=True)
class Suspicion:
    """The reasons to look into a body.

    Attributes:
        reasons: `DETECT`, `NAMES` and `PATHS`, as bits.
        ends: offsets in its bytes, each right after something that may be detected.
        copies: numbers of the other events whose body is equal.
    """

    reasons: int = 0
    ends: list[int] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)


class Suspicions:
    """Collects suspicions about the bodies of events.

    Args:
        raws: the bodies of all events, in the order of `BODIES` for each event.
    """

    def __init__(self, raws: list[bytes]) -> None:
        self._raws = raws
        self._ends: list[int] = []
        self.found: dict[tuple[int, str], Suspicion] = {}

    def add(self, end: int, reasons: int, slots: Collection[int]) -> None:
        """Adds the body in which a hit ends, if it is in one of these slots."""
        ends = self._ends = self._ends or list(accumulate(len(raw) + 1 for raw in self._raws))
        place = bisect_right(ends, end - 1)
        number, slot = divmod(place, len(BODIES))
        if slot in slots:
            suspicion = self._add(number, BODIES[slot], reasons)
            if reasons & DETECT:
                suspicion.ends.append(end - (ends[place - 1] if place else 0))

    def add_all(self, slot: int, reasons: int) -> None:
        """Adds the body in this slot of every event that has one."""
        for number, raw in enumerate(self._raws[slot :: len(BODIES)]):
            if len(raw):
                self._add(number, BODIES[slot], reasons)

    def share(self, copies: Mapping[int, int]) -> None:
        """Notes the copies of suspicious bodies with the first of them.

        Args:
            copies: place of each copy in the list of bodies, with the place of the first.
        """
        for place, first in copies.items():
            number, slot = divmod(first, len(BODIES))
            suspicion = self.found.get((number, BODIES[slot]))
            if suspicion is not None:
                suspicion.copies.append(place // len(BODIES))

    def _add(self, number: int, body: str, reasons: int) -> Suspicion:
        if body == "integrations":
            # Its keys are names of destinations, which may equal names that are masked.
            reasons &= ~NAMES
        if not reasons:
            return Suspicion()
        suspicion = self.found.setdefault((number, body), Suspicion())
        suspicion.reasons |= reasons
        return suspicion
