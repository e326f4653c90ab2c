"""Which of the events that were read go out to a destination, and in what shape."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Protocol

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
from gateway.state.live_tail import Tap

__all__ = ["Interceptor", "Outgoing", "Selection"]

_ARM = "group:"
"""Begins the rule that keeps an event back because of its arm."""


@dataclass(slots=True)
class Outgoing:
    """What was read from the queue and is to be committed together.

    Attributes:
        cursor: where reading goes on after it.
        events, offsets: to send; the others that were read are in `filtered`, `dead` and `lost`.
        filtered: rule to the offsets of the events that it kept back.
        lost: events that were damaged in the queue.
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
        """Add what became of the events that were read next."""
        self.events.append(part.events)
        self.offsets += part.offsets
        for rule, offsets in part.filtered.items():
            self.filtered.setdefault(rule, []).extend(offsets)
        self.dead += part.dead


class Interceptor(Protocol):
    """Looks at what would go out, and keeps it back."""

    async def take(self, outgoing: Outgoing) -> None:
        """Look at the events, and leave none of them to be sent."""

    def forget(self) -> None:
        """What was read may have been erased."""


class Selection:
    """The client's and the user's say, then the delivery transforms.

    Args:
        name: the destination's name in `integrations` objects.
        storage: whether it is a warehouse or archive.
        consent: categories of consent that it is mapped to.
        chain: the delivery transforms that apply to it.
        only: the group, and the arm of it whose events it gets; None for all events.
        memberships: writes arms of groups into what goes out, before the delivery transforms.
        interceptor: takes all that would go out.
        consent_defaults: by source, what becomes of its events that say nothing of consent.
        id_, tap: the destination's id, and where what is kept back is published.
        meters: measure what becomes of the events, for rollouts.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        name: str,
        storage: bool,
        consent: tuple[str, ...] = (),
        consent_defaults: Mapping[str, Default] | None = None,
        clock: Callable[[], int],
        id_: str = "",
        tap: Tap | None = None,
        only: tuple[Group, Arm] | None = None,
        memberships: Memberships | None = None,
        interceptor: Interceptor | None = None,
        meters: Sequence[Meter] = (),
    ) -> None:
        self.interceptor = interceptor
        self._memberships = memberships or None
        self._today = False
        self.meters = meters
        self._only = only
        self._id = id_
        self._tap = Tap() if tap is None else tap
        self._refusals = Refusals(
            name, storage=storage, consent=consent, consent_defaults=consent_defaults
        )
        self._chain = chain
        self._clock = clock

    def without_transforms(self) -> Selection:
        """The same without its delivery transforms."""
        other = copy(self)
        other._chain = Chain()
        return other

    def of_today(self) -> Selection:
        """The same by the arms as they are today, whenever events came in; it measures nothing."""
        other = copy(self)
        other._today = True
        other.meters = ()
        return other

    def sort(self, events: Sequence[Event], offsets: Sequence[int], outgoing: Outgoing) -> None:
        """Add each event to what goes out or was kept back; the events stay as they are."""
        if not self.meters:
            self._sort(events, offsets, outgoing)
            return
        part = Outgoing(outgoing.cursor)
        self._sort(events, offsets, part)
        for meter in self.meters:
            meter.selected(
                events,
                offsets,
                zip(part.offsets, part.events, strict=True),
                [letter.offset for letter in part.dead],
                [o for rule, own in part.filtered.items() if rule.startswith(_ARM) for o in own],
            )
        outgoing.add(part)

    def _sort(self, events: Sequence[Event], offsets: Sequence[int], outgoing: Outgoing) -> None:
        rules: Sequence[str | None] = ()
        if self._refusals.concern(events):
            rules = self._refusals(events)
        if self._only is not None:
            rules = self._others(*self._only, events, rules, today=self._today)
        # A mark is stored by itself, never among events that are sealed.
        if getattr(events, "addressed", True) and ERASED in [event.type for event in events]:
            rules = [
                ERASED if event.type == ERASED else rule
                for event, rule in zip(events, rules or [None] * len(events), strict=True)
            ]
        if any(rules):
            for offset, rule in zip(offsets, rules, strict=True):
                if rule is not None:
                    outgoing.filtered.setdefault(rule, []).append(offset)
            if self._tap:
                for event, rule in zip(events, rules, strict=True):
                    if rule is not None:
                        self._show([event], rule)
            kept = [index for index, rule in enumerate(rules) if rule is None]
            events = [events[index] for index in kept]
            offsets = [offsets[index] for index in kept]
        if self._memberships is not None:
            events = self._memberships.stamped(events, today=self._today)
        if self._chain and events:
            told = self._chain.rules(events.ids()) if isinstance(events, Run) else None
            if isinstance(events, Run) and told is not None:
                events, offsets = self._chosen(events, offsets, told, outgoing)
            else:
                events, offsets = self._transform(events, offsets, outgoing)
        outgoing.events.append(events)
        outgoing.offsets += offsets

    @staticmethod
    def _others(
        group: Group,
        arm: Arm,
        events: Sequence[Event],
        rules: Sequence[str | None],
        *,
        today: bool,
    ) -> list[str | None]:
        """The rules that keep events back, with one for who is not in an arm."""
        known = rules or [None] * len(events)
        members = map(group.member_today if today else group.member, events)
        return [
            rule or (None if member is not None and member.arm == arm else f"{_ARM}{group.id}")
            for rule, member in zip(known, members, strict=True)
        ]

    def keep_back(
        self,
        users: Collection[str],
        events: Sequence[Event],
        offsets: Sequence[int],
        outgoing: Outgoing,
    ) -> tuple[list[Event], list[int]]:
        """Of these events, those that are not of suppressed users; the others are kept back."""
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

    def _transform(
        self, shared: Sequence[Event], offsets: Sequence[int], outgoing: Outgoing
    ) -> tuple[list[Event], list[int]]:
        events = [event.copy() for event in shared] if self._chain.mutates else list(shared)
        offset_of = dict(zip(map(id, events), offsets, strict=True))
        result = self._chain.run(events)
        for rule, dropped in result.filtered.items():
            outgoing.filtered.setdefault(rule, []).extend(offset_of[id(e)] for e in dropped)
            self._show(dropped, rule)
        now_ms = self._clock()
        for event, transform, error in result.failed:
            detail = f"transform {transform}: {type(error).__name__}"
            outgoing.dead.append(
                DeadLetter.of(event, offset_of[id(event)], "transform", detail, 0, now_ms, now_ms)
            )
        return result.kept, [offset_of[id(event)] for event in result.kept]

    def _chosen(
        self,
        events: Run,
        offsets: Sequence[int],
        rules: Sequence[str | None],
        outgoing: Outgoing,
    ) -> tuple[Sequence[Event], list[int]]:
        """The events that no transform drops, without making any."""
        places: dict[str | None, list[int]] = {None: []}
        for place, rule in enumerate(rules):
            places.setdefault(rule, []).append(place)
        kept = places.pop(None)
        for rule, dropped in places.items():
            assert rule is not None
            outgoing.filtered.setdefault(rule, []).extend(offsets[place] for place in dropped)
            if self._tap:
                self._show([events[place] for place in dropped], rule)
        return events.some(kept), [offsets[place] for place in kept]

    def _show(self, events: list[Event], rule: str) -> None:
        if self._tap:
            self._tap.publish(self._clock(), "filtered", events, destination=self._id, detail=rule)
