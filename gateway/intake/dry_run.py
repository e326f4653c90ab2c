"""Tells step by step what intake would do with an event, and stores nothing.

The dry run is made of the same steps as `gateway.intake.intake`. It runs each event and each
transform alone, so it can tell which step did what.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from anyio import CapacityLimiter
from msgspec import Struct

from gateway.components.chain import Chain
from gateway.events.envelope.arrival import Arrival, Plain, Receipt
from gateway.events.envelope.sealed import Origin
from gateway.events.event import Event
from gateway.events.json_diff import Change, changes
from gateway.intake.acceptance import Prepare, discards_of, origin_of, preparer, transform
from gateway.intake.context import IntakeContext, identity_of
from gateway.intake.source_directory import SourceDirectory

__all__ = ["DryRunResult", "IntakeDryRun", "KnownIds", "Step", "run_alone"]

T = TypeVar("T")

KnownIds: TypeAlias = Callable[[str, set[str]], set[str]]
"""Takes a source id and message ids; returns those that the source has sent before."""


class Step(Struct, frozen=True):
    """A step that an event passes.

    Attributes:
        step: ``source``, ``arrival``, ``validation``, ``dedup`` or ``transform``; ``groups`` at
            delivery.
        id: of the source or the transform.
        outcome: ``passed``, ``changed``, ``dropped``, ``failed``, or ``duplicate``.
        detail: the rule, the code, or the reason.
        changes: changes to the event.
    """

    step: str
    id: str = ""
    outcome: str = "passed"
    detail: str = ""
    changes: list[Change] = []


@dataclass(slots=True)
class DryRunResult:
    """The result for one event.

    Attributes:
        event: as it would be stored, or as it was when a step discarded it.
        code: discard code; empty if the event would be stored.
        duplicate: an event with the same id is there already. The steps after de-duplication are
            shown as if it were not.
        made: events that transforms would make of it.
    """

    event: Event
    source_id: str
    steps: list[Step] = field(default_factory=list)
    code: str = ""
    duplicate: bool = False
    made: list[Event] = field(default_factory=list)


class IntakeDryRun(SourceDirectory):
    """Stands in for `Intake`, and stores, counts and remembers nothing.

    Args:
        before: as for `Intake`.

    Attributes:
        results: of the events since this list was last emptied.
        discarded: number of events by code that the source itself could not accept.
        known_ids: tells which message ids were seen before.
    """

    def __init__(self, context: IntakeContext, before: SourceDirectory | None = None) -> None:
        super().__init__(context, before)
        self.results: list[DryRunResult] = []
        self.discarded: Counter[str] = Counter()
        self.known_ids: KnownIds = lambda source_id, message_ids: set()
        self._finds_duplicates = context.recent_ids is not None
        self._transforms = context.transforms
        self._single_transforms = context.transforms.singles()
        self._suppressed = context.suppressed
        self._identity = identity_of(context)
        self._turn = CapacityLimiter(1)

    @property
    def decodes_all(self) -> bool:
        """All events are decoded."""
        return True

    def reject(self, code: str) -> None:
        """Ignores a rejected request: nothing is counted."""

    def refuse(self, source_id: str, events: int) -> None:
        """Ignores refused events: nothing is counted."""

    async def accept_as_sent(self, origin: Origin, plain: Plain) -> bool:
        """Returns False, so that the source passes decoded events to `accept`."""
        return False

    async def accept(self, arrival: Arrival) -> Receipt:
        """Adds the result for each event of a request to `results`."""
        self.discarded += arrival.discarded
        arrival.client = self._transforms.of_client(arrival.client)
        prepare = preparer(origin_of(arrival), self._suppressed, arrival.types)
        results = [self._prepare(event, arrival.source_id, prepare) for event in arrival.events]
        valid = [result for result in results if not result.code]
        if self._finds_duplicates and valid:
            self._find_duplicates(arrival.source_id, valid)
        for result in valid:
            await self._transform(result)
            await asyncio.sleep(0)
        self.results += results
        return Receipt(0, 0, {})

    def chain_of(self, ids: Collection[str]) -> Chain:
        """Returns the transforms with these ids, in the order of config.toml."""
        return self._transforms.part(ids)

    def take_in(
        self, source_id: str, events: list[Event], received_ms: int, *, learn: bool = False
    ) -> list[Event | str]:
        """Returns each event as it would be stored, or the code that it would be discarded with.

        Unlike `accept` it records no steps, and it does not look for duplicates. The source of an
        import need not stand in config.toml.

        Args:
            learn: links of users to visitors hold for the events of later calls too.
        """
        if source_id in self._sources and not self.enabled(source_id):
            return ["source_disabled"] * len(events)
        self._transforms.receive(events)
        prepare = preparer(Origin(source_id, received_ms), self._suppressed)
        codes: dict[int, str] = {}
        valid: list[Event] = []
        for event, code in zip(events, prepare(events), strict=True):
            if code is None:
                valid.append(event)
            else:
                codes[id(event)] = code
        outcome = transform(valid, self._transforms.run, self._identity)
        if learn and self._identity.active:
            self._identity.learn_and_note(outcome.kept, outcome.kept)
        else:
            self._note_visitors(outcome.kept)
        for code, discarded in discards_of(outcome):
            codes |= dict.fromkeys(map(id, discarded), code)
        return [codes.get(id(event), event) for event in events]

    def _prepare(self, event: Event, source_id: str, prepare: Prepare) -> DryRunResult:
        """Runs the steps before de-duplication."""
        result = DryRunResult(event, source_id, [Step("source", source_id)])
        for id_, chain in self._single_transforms:
            _, changed = _changes_by(partial(chain.receive, [event]), event)
            if changed:
                result.steps.append(Step("arrival", id_, "changed", changes=changed))
        if not self.enabled(source_id):
            result.steps[0] = Step("source", source_id, "dropped", "source_disabled")
            result.code = "source_disabled"
            return result
        (code,), changed = _changes_by(partial(prepare, [event]), event)
        result.code = code or ""
        outcome = "dropped" if code else "changed" if changed else "passed"
        result.steps.append(Step("validation", "", outcome, result.code, changed))
        return result

    def _find_duplicates(self, source_id: str, results: list[DryRunResult]) -> None:
        seen = set(self.known_ids(source_id, {result.event.message_id for result in results}))
        for result in results:
            id_ = result.event.message_id
            result.duplicate = id_ in seen
            outcome = "duplicate" if result.duplicate else "passed"
            result.steps.append(Step("dedup", outcome=outcome))
            seen.add(id_)  # the same id may occur again in the same request

    async def _transform(self, result: DryRunResult) -> None:
        """Runs the transforms one by one, up to the first that does not keep the event."""
        event = result.event
        self._note_visitors([event])
        for id_, chain in self._single_transforms:
            step, made = await run_alone(id_, chain, event, self._turn)
            result.steps.append(step)
            result.made += made
            if step.outcome in ("dropped", "failed"):
                code = "filtered" if step.outcome == "dropped" else "transform_failed"
                result.code = f"{code}:{id_}"
                break
        # Transforms may have changed ids.
        self._note_visitors([event])

    def _note_visitors(self, events: list[Event]) -> None:
        if self._identity.active:
            self._identity.preview(events, events)


async def run_alone(
    id_: str, chain: Chain, event: Event, turn: CapacityLimiter
) -> tuple[Step, list[Event]]:
    """Runs a chain of one transform over one event, which it may change.

    Args:
        turn: of the threads for transforms that take long.

    Returns:
        The step, and the events that the transform made.
    """
    before = event.to_dict()
    outcome = chain.begin([event])
    await chain.finish(outcome, turn)
    if outcome.failed:
        error = outcome.failed[0][2]
        return Step("transform", id_, "failed", type(error).__name__), outcome.added
    changed = changes(before, event.to_dict())
    if not outcome.kept:
        rule = next(iter(outcome.filtered), id_)
        return Step("transform", id_, "dropped", rule, changed), outcome.added
    step = Step("transform", id_, "changed" if changed else "passed", "", changed)
    return step, outcome.added


def _changes_by(act: Callable[[], T], event: Event) -> tuple[T, list[Change]]:
    """Returns the result of an action, and its changes to an event."""
    before = event.to_dict()
    result = act()
    return result, changes(before, event.to_dict())
