"""Limits a transform to one arm of a group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from gateway.components.chain import Chain
from gateway.components.ports import Arm
from gateway.components.transform import Transform
from gateway.components.transform_methods import (
    ChangesIds,
    PerDestination,
    ProducesEvents,
    ReceivesEvents,
    Samples,
    SuspectsText,
    TransformMethods,
    WorksApart,
    for_destination,
)
from gateway.events.event import Event
from gateway.rollouts.groups import Group, Membership

__all__ = ["ForArm"]


class ForArm(
    Transform,
    SuspectsText,
    ReceivesEvents,
    ProducesEvents,
    WorksApart,
    ChangesIds,
    Samples,
    PerDestination,
):
    """Runs a transform over the events of one arm; all others pass as they are."""

    def __init__(self, transform: Transform, group: Group, arm: Arm) -> None:
        self._transform = transform
        self._methods = methods = TransformMethods.of(transform)
        self._forms = Chain([("", transform)])
        self._group = group
        self._arm = arm
        self.mutates = methods.mutates
        self.adds_to = methods.adds_to

    def apply(self, events: list[Event]) -> list[Event]:
        """Returns what the transform keeps of the arm's events, and all others, in their order."""
        kept = self._applied(self._methods.apply, events)
        assert kept is not None
        return kept

    def apply_briefly(self, events: list[Event]) -> list[Event] | None:
        """Does what `apply` does, or returns None if that would take long."""
        return self._applied(self._methods.apply_briefly or self._methods.apply, events)

    def apply_apart(self, events: list[Event]) -> list[Event]:
        """Does what `apply` does, in another thread."""
        kept = self._applied(self._methods.apply_apart or self._methods.apply, events)
        assert kept is not None
        return kept

    def forms(self, attribute: str, id_: str) -> Collection[str]:
        """Returns the id and the forms that the transform makes: users change arms."""
        return {id_, *self._forms.forms(attribute, id_)}

    def _applied(
        self, apply: Callable[[list[Event]], list[Event] | None], events: list[Event]
    ) -> list[Event] | None:
        mine = self._of_arm(events, self._group.member)
        if not mine:
            return events
        found = apply(mine)
        if found is None:
            return None
        kept = set(map(id, found))
        dropped = set(map(id, mine)) - kept
        return [event for event in events if id(event) not in dropped] if dropped else events

    def weight(self, event: Event) -> float | None:
        """Returns the transform's weight for the arm's events, and 1 for all others."""
        weight = self._methods.weight
        if weight is None or not self._of_arm([event], self._group.member):
            return 1.0
        return weight(event)

    def passes(self, text: bytes | memoryview) -> bool:
        """Tells whether the transform passes the text, whichever arm its events are in."""
        passes = self._methods.passes
        return passes is not None and passes(text)

    def suspects(self, text: bytes) -> Collection[int] | None:
        """Returns what the transform suspects, whichever arm the events are in."""
        suspects = self._methods.suspects
        return None if suspects is None else suspects(text)

    def receive(self, events: Sequence[Event]) -> None:
        """Lets the transform change the arm's events before anything of them is remembered."""
        if self._methods.receive is None:
            return
        # A receivedAt that the event brings along was not written by us yet: the time is now.
        mine = self._of_arm(events, self._group.member_today)
        if mine:
            self._methods.receive(mine)

    def for_destination(self, destination: str) -> Transform:
        """Returns the transform as it runs for the destination, still for the arm only."""
        return ForArm(for_destination(self._transform, destination), self._group, self._arm)

    def produced(self) -> list[Event]:
        """Returns the events that the transform made."""
        produced = self._methods.produced
        return [] if produced is None else produced()

    def _of_arm(
        self, events: Sequence[Event], member_of: Callable[[Event], Membership | None]
    ) -> list[Event]:
        return [
            event
            for event in events
            if (member := member_of(event)) is not None and member.arm == self._arm
        ]
