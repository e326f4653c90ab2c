"""Measures the outcomes of events by arm, at destinations and at intake.

The arm and user of an event are determined once, before transforms of the destination can change
its ids, and remembered by offset until the outcome is known. Outcomes of events that are not
remembered are not measured, as after a restart or for events of an earlier stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.components.chain import Outcome
from gateway.components.ports import Arm
from gateway.components.verdict import Verdict
from gateway.events.event import Event
from gateway.rollouts.figures import (
    ATTEMPTS,
    DROPPED,
    FAILED,
    FINISHED,
    REJECTED,
    SEEN,
    VIOLATED,
    ArmFigures,
    bucket_of,
    key_of,
)
from gateway.rollouts.groups import Group

__all__ = [
    "MOST_UNDER_WAY",
    "Comparison",
    "IntakeMeter",
    "Meter",
]

MOST_UNDER_WAY = 100_000
"""Largest number of events without an outcome that a meter remembers; the oldest are forgotten."""

_VIOLATIONS = b'"violations"'


class Comparison:
    """The figures of both arms of a group, for one test.

    Attributes:
        group: of the config in use.
        measuring: whether meters add to the figures.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.measuring = False
        self._meters: dict[str, Meter] = {}
        self.begin()

    def begin(self) -> None:
        """Begins a new test without data."""
        most = self.group.config.max_users
        self.arms: dict[Arm, ArmFigures] = {"test": ArmFigures(most), "control": ArmFigures(most)}

    def meter(self, destination: str) -> Meter:
        """Returns the meter of a destination, the same one each time."""
        return self._meters.setdefault(destination, Meter(self))


class Meter:
    """Measures one destination for one group."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._arms = comparison.arms
        self._under_way: dict[int, tuple[Arm, int]] = {}

    def selected(
        self,
        events: Sequence[Event],
        offsets: Sequence[int],
        kept: Iterable[tuple[int, Event]],
        failed: Iterable[int],
        not_meant: Iterable[int],
    ) -> None:
        """Counts events that delivery has read, and remembers those that will be sent.

        Args:
            events: as read from the queue.
            kept: offset and event, after transforms, of those to send.
            failed: offsets of those on which a transform failed.
            not_meant: offsets of those whose arm does not go to the destination.
        """
        arms = self._current()
        if arms is None:
            return
        group, under_way = self._comparison.group, self._under_way
        others = set(not_meant)
        mine: dict[int, tuple[Arm, int]] = {}
        for event, offset in zip(events, offsets, strict=True):
            if offset in others or offset in under_way:
                continue
            id_, member = group.id_of(event), group.member(event)
            if id_ is not None and member is not None:
                mine[offset] = (member.arm, key_of(id_))
        for arm, user in mine.values():
            arms[arm].add(user, SEEN)
        for offset, event in kept:
            known = mine.pop(offset, None)
            if known is not None:
                under_way[offset] = known
                if _is_violation(event):
                    arms[known[0]].add(known[1], VIOLATED)
        for offset in failed:
            known = mine.pop(offset, None)
            if known is not None:
                arms[known[0]].add(known[1], ATTEMPTS)
                arms[known[0]].add(known[1], FAILED)
        for arm, user in mine.values():  # neither kept nor failed
            arms[arm].add(user, DROPPED)
        while len(under_way) > MOST_UNDER_WAY:
            del under_way[next(iter(under_way))]

    def sent(self, offsets: Sequence[int], verdict: Verdict, took_ms: float) -> None:
        """Counts the outcomes of a send."""
        arms = self._current()
        if arms is None or not self._under_way:
            return
        again = set(verdict.again)
        seen: set[Arm | None] = set()
        for place, offset in enumerate(offsets):
            known = self._under_way.get(offset)
            if known is None:
                seen.add(None)
                continue
            arm, user = known
            figures = arms[arm]
            seen.add(arm)
            figures.add(user, ATTEMPTS)
            if place in again:
                figures.add(user, FAILED)
                continue
            del self._under_way[offset]
            figures.add(user, FINISHED)
            if place in verdict.dead:
                figures.add(user, FAILED)
                figures.add(user, REJECTED)
        if len(seen) == 1:
            (only,) = seen
            if only is not None:
                arms[only].times[bucket_of(took_ms)] += 1

    def _current(self) -> dict[Arm, ArmFigures] | None:
        """Returns the figures of the current test; None if nothing is measured."""
        if not self._comparison.measuring:
            self._under_way.clear()
            return None
        if self._arms is not self._comparison.arms:  # another test has begun
            self._arms = self._comparison.arms
            self._under_way.clear()
        return self._arms


class IntakeMeter:
    """Measures, for one group, events that transforms at intake drop or fail on.

    Args:
        places: number of destinations that would have measured the event; it counts that often.
    """

    def __init__(self, comparison: Comparison, places: int) -> None:
        self._comparison = comparison
        self._places = places

    def saw(self, outcome: Outcome) -> None:
        """Counts the outcome of the intake transforms for one request."""
        if self._comparison.measuring:
            for dropped in outcome.filtered.values():
                self._count(dropped, (SEEN, DROPPED))
            self._count([event for event, _, _ in outcome.failed], (SEEN, ATTEMPTS, FAILED))

    def _count(self, events: Iterable[Event], counts: Sequence[int]) -> None:
        group = self._comparison.group
        for event in events:
            id_, member = group.id_of(event), group.member(event)
            if id_ is not None and member is not None:
                for count in counts:
                    self._comparison.arms[member.arm].add(key_of(id_), count, self._places)


def _is_violation(event: Event) -> bool:
    """Tells whether the transform `plan` found a violation of the tracking plan."""
    if _VIOLATIONS not in bytes(event.raw_context):
        return False
    protocols = event.context.get("protocols")
    return isinstance(protocols, dict) and bool(protocols.get("violations"))
