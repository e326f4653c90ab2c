"""Selects and transforms the events that go to a destination."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Protocol

from anyio import CapacityLimiter

from gateway.components.chain import Chain
from gateway.components.ports import Arm
from gateway.events.consent import Default
from gateway.events.envelope.sealed import Run
from gateway.events.event import Event
from gateway.events.integrations import Refusals
from gateway.events.subjects import ERASED
from gateway.rollouts.groups import Group
from gateway.rollouts.meter import Meter
from gateway.rollouts.stamp import Memberships
from gateway.state import DeadLetter
from gateway.state.live_tail import LiveTail

__all__ = ["Interceptor", "Outgoing", "Selection", "SelectionContext"]

_ARM = "group:"
"""Prefix of the rule that filters an event because of its arm."""


@dataclass(slots=True)
class Outgoing:
    """Events that were read from the queue and are committed together.

    Attributes:
        cursor: offset where reading continues after them.
        events, offsets: the events to send. The others are in `filtered`, `dead` and `lost`.
        filtered: rule to the offsets of the events that it filtered.
        lost: number of events that were damaged in the queue.
        size: bytes of the events read.
    """

    cursor: int
    events: Run = field(default_factory=Run)
    offsets: list[int] = field(default_factory=list)
    filtered: dict[str, list[int]] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    lost: int = 0
    size: int = 0

    def add(self, part: Outgoing) -> None:
        """Adds the events that were read next, with their outcomes."""
        self.events.append(part.events)
        self.offsets += part.offsets
        for rule, offsets in part.filtered.items():
            self.filtered.setdefault(rule, []).extend(offsets)
        self.dead += part.dead


class Interceptor(Protocol):
    """Takes the events that would be sent to a destination, so that none is sent."""

    async def take(self, outgoing: Outgoing) -> None:
        """Takes all events out of `outgoing`."""

    def forget(self) -> None:
        """Forgets events that were read, as they may have been erased."""


@dataclass(frozen=True, slots=True)
class SelectionContext:
    """Everything that decides which events go to a destination.

    Attributes:
        chain: the delivery transforms that apply to the destination.
        name: name of the destination in `integrations` objects.
        storage: whether it is a warehouse or archive.
        clock: wall clock in milliseconds.
        consent: categories of consent that it is mapped to.
        consent_defaults: by source, the default for events that say nothing about consent.
        id: id of the destination, for watchers.
        live_tail: publishes filtered events to watchers.
        only: a group and one of its arms; other users' events are filtered. None for all events.
        memberships: writes arms of groups into the events, before the delivery transforms.
        interceptor: takes all events that would be sent.
        meters: measure the outcomes of events for rollouts.
        turn: of the threads for transforms that take long; the destinations of a gateway share it.
    """

    chain: Chain
    name: str
    storage: bool
    clock: Callable[[], int]
    consent: tuple[str, ...] = ()
    consent_defaults: Mapping[str, Default] | None = None
    id: str = ""
    live_tail: LiveTail = field(default_factory=LiveTail)
    only: tuple[Group, Arm] | None = None
    memberships: Memberships | None = None
    interceptor: Interceptor | None = None
    meters: Sequence[Meter] = ()
    turn: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))


class Selection:
    """Applies the integrations object and consent of an event, then the delivery transforms.

    Attributes:
        meters, interceptor: as in `SelectionContext`.
    """

    def __init__(self, context: SelectionContext) -> None:
        self.interceptor = context.interceptor
        self.meters = context.meters
        self._memberships = context.memberships or None
        self._today = False
        self._only = context.only
        self._id = context.id
        self._live_tail = context.live_tail
        self._refusals = Refusals(
            context.name,
            storage=context.storage,
            consent=context.consent,
            consent_defaults=context.consent_defaults,
        )
        self._chain = context.chain
        self._clock = context.clock
        self._turn = context.turn

    def without_transforms(self) -> Selection:
        """Returns a copy without the delivery transforms."""
        other = copy(self)
        other._chain = Chain()
        return other

    def of_today(self) -> Selection:
        """Returns a copy that goes by the arms of today and measures nothing."""
        other = copy(self)
        other._today = True
        other.meters = ()
        return other

    async def sort(
        self, events: Sequence[Event], offsets: Sequence[int], outgoing: Outgoing
    ) -> None:
        """Adds each event to those to send or to those filtered; the events are not changed."""
        if not self.meters:
            await self._sort(events, offsets, outgoing)
            return
        part = Outgoing(outgoing.cursor)
        await self._sort(events, offsets, part)
        for meter in self.meters:
            meter.selected(
                events,
                offsets,
                zip(part.offsets, part.events, strict=True),
                [letter.offset for letter in part.dead],
                [o for rule, own in part.filtered.items() if rule.startswith(_ARM) for o in own],
            )
        outgoing.add(part)

    async def _sort(
        self, events: Sequence[Event], offsets: Sequence[int], outgoing: Outgoing
    ) -> None:
        rules: Sequence[str | None] = ()
        if self._refusals.concern(events):
            rules = self._refusals(events)
        if self._only is not None:
            rules = self._by_arm(*self._only, events, rules, today=self._today)
        # The mark of an erased event is stored by itself, never among sealed events.
        if getattr(events, "addressed", True) and ERASED in [event.type for event in events]:
            rules = [
                ERASED if event.type == ERASED else rule
                for event, rule in zip(events, rules or [None] * len(events), strict=True)
            ]
        if any(rules):
            for offset, rule in zip(offsets, rules, strict=True):
                if rule is not None:
                    outgoing.filtered.setdefault(rule, []).append(offset)
            if self._live_tail:
                for event, rule in zip(events, rules, strict=True):
                    if rule is not None:
                        self._publish([event], rule)
            kept = [index for index, rule in enumerate(rules) if rule is None]
            events = [events[index] for index in kept]
            offsets = [offsets[index] for index in kept]
        if self._memberships is not None:
            events = self._memberships.stamped(events, today=self._today)
        if self._chain and events:
            dropping = self._chain.rules(events.ids()) if isinstance(events, Run) else None
            if isinstance(events, Run) and dropping is not None:
                events, offsets = self._without(events, offsets, dropping, outgoing)
            else:
                events, offsets = await self._transform(events, offsets, outgoing)
        outgoing.events.append(events)
        outgoing.offsets += offsets

    @staticmethod
    def _by_arm(
        group: Group,
        arm: Arm,
        events: Sequence[Event],
        rules: Sequence[str | None],
        *,
        today: bool,
    ) -> list[str | None]:
        """Adds a rule that filters the events of users who are not in an arm."""
        known = rules or [None] * len(events)
        members = map(group.member_today if today else group.member, events)
        return [
            rule or (None if member is not None and member.arm == arm else f"{_ARM}{group.id}")
            for rule, member in zip(known, members, strict=True)
        ]

    def filter_users(
        self,
        users: Collection[str],
        events: Sequence[Event],
        offsets: Sequence[int],
        outgoing: Outgoing,
    ) -> tuple[list[Event], list[int]]:
        """Filters the events of suppressed users, and returns the other events."""
        out = [
            event.user_id in users or (event.type == "alias" and event.previous_id in users)
            for event in events
        ]
        hidden = [offset for offset, hide in zip(offsets, out, strict=True) if hide]
        if hidden:
            outgoing.filtered.setdefault("suppressed", []).extend(hidden)
        return (
            [event for event, hide in zip(events, out, strict=True) if not hide],
            [offset for offset, hide in zip(offsets, out, strict=True) if not hide],
        )

    async def transform(self, events: Sequence[Event], offsets: Sequence[int]) -> Outgoing:
        """Runs the delivery transforms over events that they failed on before."""
        outgoing = Outgoing(0)
        kept, outgoing.offsets = await self._transform(events, offsets, outgoing)
        outgoing.events.append(kept)
        return outgoing

    async def _transform(
        self, shared: Sequence[Event], offsets: Sequence[int], outgoing: Outgoing
    ) -> tuple[list[Event], list[int]]:
        events = [event.copy() for event in shared] if self._chain.mutates else list(shared)
        offset_of = dict(zip(map(id, events), offsets, strict=True))
        before = dict(zip(map(id, events), shared, strict=True))
        result = self._chain.begin(events)
        await self._chain.finish(result, self._turn)
        for rule, dropped in result.filtered.items():
            outgoing.filtered.setdefault(rule, []).extend(offset_of[id(e)] for e in dropped)
            self._publish(dropped, rule)
        now_ms = self._clock()
        for event, transform, error in result.failed:
            detail = f"transform {transform}: {type(error).__name__}"
            # As it was: if it is sent again, all transforms run again.
            whole, offset = before[id(event)], offset_of[id(event)]
            outgoing.dead.append(
                DeadLetter.of(whole, offset, "transform", detail, 0, now_ms, now_ms)
            )
        return result.kept, [offset_of[id(event)] for event in result.kept]

    def _without(
        self,
        events: Run,
        offsets: Sequence[int],
        rules: Sequence[str | None],
        outgoing: Outgoing,
    ) -> tuple[Sequence[Event], list[int]]:
        """Returns the events that no transform drops, without decoding any."""
        places: dict[str | None, list[int]] = {None: []}
        for place, rule in enumerate(rules):
            places.setdefault(rule, []).append(place)
        kept = places.pop(None)
        for rule, dropped in places.items():
            assert rule is not None
            outgoing.filtered.setdefault(rule, []).extend(offsets[place] for place in dropped)
            if self._live_tail:
                self._publish([events[place] for place in dropped], rule)
        return events.some(kept), [offsets[place] for place in kept]

    def _publish(self, events: list[Event], rule: str) -> None:
        if self._live_tail:
            self._live_tail.publish(
                self._clock(), "filtered", events, destination=self._id, detail=rule
            )
