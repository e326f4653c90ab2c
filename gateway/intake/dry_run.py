"""Intake step by step: what would become of an event, noted down in place of storing it.

The rules are those of `gateway.intake.intake`, by its own code; what is different is that each
event, and each transform, is taken alone, so that it can be told what did what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct

from gateway.components.chain import Chain
from gateway.events.envelope.arrival import Arrival, Plain, Receipt
from gateway.events.envelope.sealed import Origin
from gateway.events.event import Event
from gateway.events.json_diff import Change, changes
from gateway.intake.intake import Intake

__all__ = ["Known", "RehearsedIntake", "Step", "Taken", "run_alone"]


Known: TypeAlias = Callable[[str, set[str]], set[str]]
"""Given the id of a source and message ids, those of them that it has sent before."""


class Step(Struct, frozen=True):
    """Something that an event passes.

    Attributes:
        step: ``source``, ``arrival``, ``validation``, ``dedup`` or ``transform``; ``groups`` at
            delivery.
        id: of the source or the transform.
        outcome: ``passed``, ``changed``, ``dropped``, ``failed``, or ``duplicate``.
        detail: the rule or code, or why.
        changes: what it changed of the event.
    """

    step: str
    id: str = ""
    outcome: str = "passed"
    detail: str = ""
    changes: list[Change] = []


@dataclass(slots=True)
class Taken:
    """What would become of one event.

    Attributes:
        event: as it would be stored, or as it was when it was dropped.
        code: why it would not be stored; empty where it would.
        duplicate: an event with its id is there already; what follows holds if it were not.
        made: events that transforms made of it.
    """

    event: Event
    source_id: str
    steps: list[Step] = field(default_factory=list)
    code: str = ""
    duplicate: bool = False
    made: list[Event] = field(default_factory=list)


class RehearsedIntake(Intake):
    """Stores, counts and remembers nothing.

    Attributes:
        taken: what would have become of the events since it was last emptied.
        discarded: by code, what the source could not make events of.
        known: of these ids those that a source has sent before.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.taken: list[Taken] = []
        self.discarded: Counter[str] = Counter()
        self.known: Known = lambda source_id, message_ids: set()
        self._singles = self._transforms.singles()

    async def accept_as_sent(self, origin: Origin, plain: Plain) -> bool:
        """Have each event looked at."""
        return False

    async def accept(self, arrival: Arrival) -> Receipt:
        """Note down what would become of a request's events."""
        self.discarded += arrival.discarded
        arrival.client = self._transforms.of_client(arrival.client)
        taken = [self._begin(event, arrival) for event in arrival.events]
        going_on = [one for one in taken if not one.code]
        if self._recent_ids is not None and going_on:
            self._find_duplicates(arrival.source_id, going_on)
        for one in going_on:
            self._transform_alone(one)
        self.taken += taken
        return Receipt(0, 0, {})

    def chain_of(self, ids: Collection[str]) -> Chain:
        """The transforms of these ids, in their order."""
        return self._transforms.part(ids)

    def take_in(self, source_id: str, events: list[Event], received_ms: int) -> list[Event | str]:
        """What would be stored of a source's events, or the code that they would be discarded with.

        As `accept`, without the steps, and without de-duplication.
        """
        arrival = Arrival(source_id, received_ms, events)
        if not self.enabled(source_id):
            return ["source_disabled"] * len(events)
        self._transforms.receive(events)
        found: dict[int, str] = {}
        ready: list[Event] = []
        for event in events:
            codes: Counter[str] = Counter()
            ready += self._prepare(replace(arrival, events=[event]), codes, [])
            if codes:
                found[id(event)] = next(iter(codes))
        self._foresee(ready)
        outcome = self._transforms.run(ready)
        self._foresee(outcome.kept)
        for id_, dropped in outcome.filtered.items():
            found |= dict.fromkeys(map(id, dropped), f"filtered:{id_}")
        for event, id_, _ in outcome.failed:
            found[id(event)] = f"transform_failed:{id_}"
        return [found.get(id(event), event) for event in events]

    def _begin(self, event: Event, arrival: Arrival) -> Taken:
        taken = Taken(event, arrival.source_id)
        taken.steps.append(Step("source", arrival.source_id))
        for id_, chain in self._singles:
            changed = _changes_by(partial(chain.receive, [event]), event)
            if changed:
                taken.steps.append(Step("arrival", id_, "changed", changes=changed))
        if not self.enabled(arrival.source_id):
            taken.steps[0] = Step("source", arrival.source_id, "dropped", "source_disabled")
            taken.code = "source_disabled"
        else:
            self._validate(taken, arrival)
        return taken

    def _find_duplicates(self, source_id: str, taken: list[Taken]) -> None:
        known = self.known(source_id, {one.event.message_id for one in taken})
        seen = set(known)
        for one in taken:
            one.duplicate = one.event.message_id in seen
            seen.add(one.event.message_id)  # for the next with the same id in the same request
            one.steps.append(Step("dedup", outcome="duplicate" if one.duplicate else "passed"))

    def _transform_alone(self, taken: Taken) -> None:
        event = taken.event
        self._foresee([event])
        for id_, chain in self._singles:
            step = run_alone(id_, chain, event, taken.made)
            taken.steps.append(step)
            if step.outcome in ("dropped", "failed"):
                code = "filtered" if step.outcome == "dropped" else "transform_failed"
                taken.code = f"{code}:{id_}"
                break
        self._foresee([event])

    def _foresee(self, events: list[Event]) -> None:
        """Note whose they are, before the transforms and, as those may change ids, after them."""
        if self._identity.active:
            self._identity.foresee(events, events)

    def _validate(self, taken: Taken, arrival: Arrival) -> None:
        codes: Counter[str] = Counter()
        alone = replace(arrival, events=[taken.event])
        changed = _changes_by(lambda: self._prepare(alone, codes, []), taken.event)
        taken.code = next(iter(codes), "")
        outcome = "dropped" if taken.code else "changed" if changed else "passed"
        taken.steps.append(Step("validation", "", outcome, taken.code, changed))


def run_alone(id_: str, chain: Chain, event: Event, made: list[Event] | None = None) -> Step:
    """Run a chain of one transform over one event, which it may change.

    Args:
        made: gets the events that it makes.
    """
    before = event.to_dict()
    outcome = chain.run([event])
    if made is not None:
        made += outcome.added
    if outcome.failed:
        return Step("transform", id_, "failed", type(outcome.failed[0][2]).__name__)
    changed = changes(before, event.to_dict())
    if not outcome.kept:
        rule = next(iter(outcome.filtered), id_)
        return Step("transform", id_, "dropped", rule, changed)
    return Step("transform", id_, "changed" if changed else "passed", "", changed)


def _changes_by(act: Callable[[], object], event: Event) -> list[Change]:
    before = event.to_dict()
    act()
    return changes(before, event.to_dict())
