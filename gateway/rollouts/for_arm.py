"""A transform that is for one arm of a group only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from gateway.components.ports import Arm
from gateway.components.transform import Transform
from gateway.events.event import Event
from gateway.rollouts.groups import Group, Membership

__all__ = ["ForArm"]


class ForArm(Transform):
    """Runs a transform over the events of an arm; the others pass as they are."""

    def __init__(self, transform: Transform, group: Group, arm: Arm) -> None:
        self._transform = transform
        self._group = group
        self._arm = arm
        self.mutates = transform.mutates
        self.adds_to = transform.adds_to

    def apply(self, events: list[Event]) -> list[Event]:
        """What the transform keeps of the arm's events, and all others, in their order."""
        mine = self._of_arm(events, self._group.member)
        if not mine:
            return events
        kept = set(map(id, self._transform.apply(mine)))
        dropped = set(map(id, mine)) - kept
        return [event for event in events if id(event) not in dropped] if dropped else events

    def passes(self, text: bytes | memoryview) -> bool:
        """Whoever they are of, the transform leaves these events alone."""
        return self._transform.passes(text)

    def suspects(self, text: bytes) -> Collection[int] | None:
        """What the transform suspects, whoever it is of."""
        return self._transform.suspects(text)

    def receive(self, events: Sequence[Event]) -> None:
        """Let the transform see the arm's events before anything of them is remembered."""
        # What it says of when it came in is not ours yet.
        mine = self._of_arm(events, self._group.member_today)
        if mine:
            self._transform.receive(mine)

    def for_destination(self, destination: str) -> Transform:
        """The transform as it runs for the destination, still for the arm only."""
        return ForArm(self._transform.for_destination(destination), self._group, self._arm)

    def produced(self) -> list[Event]:
        """What the transform made."""
        return self._transform.produced()

    def _of_arm(
        self, events: Sequence[Event], member_of: Callable[[Event], Membership | None]
    ) -> list[Event]:
        return [
            event
            for event in events
            if (member := member_of(event)) is not None and member.arm == self._arm
        ]
