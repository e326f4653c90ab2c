"""Runs transforms one after the other over a batch, and tells what became of each event."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import TypeVar

import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from msgspec import Raw, json, structs

from gateway.components.isolation import contained, is_interrupt
from gateway.components.transform import Transform
from gateway.components.transform_methods import TransformMethods
from gateway.components.verdict import trace_of
from gateway.errors import PluginError
from gateway.events.envelope.client import Client
from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.sealed import Ids
from gateway.events.event import Event

__all__ = ["Chain", "Outcome"]

_LOG_EVERY_SECONDS = 60.0
_ANYONE = Client()

_T = TypeVar("_T")
_Apply = Callable[[list[Event]], "list[Event] | None"]
_Produced = Callable[[], list[Event]]
_NONE = "apply has returned None"
_Passes = Callable[[bytes | memoryview], bool]
_Weight = Callable[[Event], "float | None"]
_Step = tuple[str, _Apply, "_Produced | None", "_Weight | None", bool, bool]
"""Id, `apply`, `produced`, `weight`, `mutates`, and whether `apply` may put its work off."""


@dataclass(slots=True)
class Outcome:
    """The result of running a chain over a batch.

    Attributes:
        kept: events to go on with, in order.
        filtered: id of the transform to the events that it dropped.
        changed: id of the transform to the events that it changed.
        failed: events that a transform raised on, with its id and the error. They must not go on:
            a mask that failed has not masked.
        added: events that transforms made; these pass through no transform.
        left: transforms that have not run, because the next one would take long.
    """

    kept: list[Event]
    filtered: dict[str, list[Event]] = field(default_factory=dict)
    changed: dict[str, list[Event]] = field(default_factory=dict)
    failed: list[tuple[Event, str, Exception]] = field(default_factory=list)
    added: list[Event] = field(default_factory=list)
    left: int = 0

    def note_changes(self) -> None:
        """Writes into each changed event which transforms changed it."""
        for id_, changed in self.changed.items():
            for event in changed:
                add_notes(event, (f"changed:{id_}",))


class Chain:
    """Transforms in the order of config.toml.

    Attributes:
        mutates: whether one of them may change events.
        ids: their ids, in order.
        adds_to: pairs of a transform's id and the id of a source that it makes events for.
        sees_all: one of them has to see all events, as it cannot tell from a text what it changes.

    Args:
        steps: pairs of the transform's id and the transform.
        weighs: write into the events that samples keep how many people one stands for.
    """

    def __init__(
        self, steps: Sequence[tuple[str, Transform]] = (), *, weighs: bool = False
    ) -> None:
        self._transforms = tuple(steps)
        self._weighs = weighs
        self._doubted: dict[str, float] = {}
        # Bound once: no event pays for finding out which methods a transform has.
        bound = [(id_, TransformMethods.of(transform)) for id_, transform in steps]
        weights = [m.weight if weighs else None for _, m in bound]
        self._steps: tuple[_Step, ...] = tuple(
            (id_, m.apply, m.produced, weight, m.mutates, False)
            for (id_, m), weight in zip(bound, weights, strict=True)
        )
        self._brief: tuple[_Step, ...] = tuple(
            (
                id_,
                m.apply_briefly or m.apply,
                m.produced,
                weight,
                m.mutates,
                m.apply_briefly is not None,
            )
            for (id_, m), weight in zip(bound, weights, strict=True)
        )
        self._apart: tuple[_Step, ...] = tuple(
            (id_, m.apply_apart or m.apply, m.produced, weight, m.mutates, False)
            for (id_, m), weight in zip(bound, weights, strict=True)
        )
        self._passes = _all_have(m.passes for _, m in bound)
        self._passes_additions = _all_have(m.passes for _, m in bound if m.of_client is None)
        self._suspects = _all_have(m.suspects_of or _of_text(m.suspects) for _, m in bound)
        self.sees_all = self._suspects is None
        self._keeps = _all_have((id_, m.keeps) if m.keeps else None for id_, m in bound)
        if any(weights):
            self._keeps = None  # a weight is written into events, not into ids
        self._forms = tuple(m.forms or _forms_by(m.apply) for _, m in bound if m.mutates)
        self._receives = tuple(m.receive for _, m in bound if m.receive is not None)
        self._of_client = tuple(m.of_client for _, m in bound if m.of_client is not None)
        self._of_context = tuple((id_, m.of_context, m.passes) for id_, m in bound)
        self.mutates = any(m.mutates for _, m in bound) or any(weights)
        self.ids = tuple(id_ for id_, _ in bound)
        self.adds_to = tuple((id_, source) for id_, m in bound for source in m.adds_to)

    def singles(self) -> list[tuple[str, Chain]]:
        """Returns the id of each transform, and a chain of it alone."""
        return [
            (id_, Chain([(id_, transform)], weighs=self._weighs))
            for id_, transform in self._transforms
        ]

    def part(self, ids: Collection[str]) -> Chain:
        """Returns a chain of the transforms with these ids, in their order."""
        chosen = [step for step in self._transforms if step[0] in ids]
        return Chain(chosen, weighs=self._weighs)

    def __bool__(self) -> bool:
        return bool(self._steps)

    def rules(self, ids: Sequence[Ids | Event]) -> list[str | None] | None:
        """Returns for each event the id of the transform that drops it; None for one that is kept.

        Returns None for the whole batch where ids alone do not tell.
        """
        if self._keeps is None:
            return None
        rules: list[str | None] = [None] * len(ids)
        try:
            for id_, keeps in self._keeps:
                kept = keeps(ids)
                if kept is None:
                    return None
                rules = [
                    rule or (None if keep else id_) for rule, keep in zip(rules, kept, strict=True)
                ]
        except BaseException as error:  # noqa: BLE001 - see `_doubt`
            self._doubt("keeps", error)
            return None
        return rules

    def passes(self, text: bytes | memoryview) -> bool:
        """Tells whether all transforms surely keep the events of a JSON text, and change none."""
        return self._pass(self._passes, text)

    def passes_additions(self, text: bytes) -> bool:
        """Tells the same of what is added from a request; `of_client` has seen that already."""
        return self._passes is not None and self._pass(self._passes_additions, text)

    def _pass(self, all_passes: Sequence[_Passes] | None, text: bytes | memoryview) -> bool:
        if all_passes is None:
            return False
        try:
            return all(passes(text) for passes in all_passes)
        except BaseException as error:  # noqa: BLE001 - see `_doubt`
            self._doubt("passes", error)
            return False

    def suspects(self, text: bytes, client: Client = _ANYONE) -> Collection[int] | None:
        """Returns where there may be something to change; None where a transform cannot tell.

        Args:
            client: the sender of the request, before `of_client`.
        """
        if self._suspects is None:
            return None
        ends: set[int] = set()
        try:
            for suspects in self._suspects:
                found = suspects(text, client)
                if found is None:
                    return None
                ends.update(found)
        except BaseException as error:  # noqa: BLE001 - see `_doubt`
            self._doubt("suspects", error)
            return None
        return ends

    def receive(self, events: Sequence[Event]) -> None:
        """Shows a request's events to the transforms that want to see them first."""
        with contained:
            for receive in self._receives:
                receive(events)

    def of_client(self, client: Client) -> Client:
        """Returns the sender of a request as it is to be written into its events."""
        with contained:
            for of_client in self._of_client:
                client = of_client(client)
        return client

    def of_context(self, context: Raw) -> tuple[Raw, tuple[str, ...]] | None:
        """Returns a context that a batch has beside its events as it is to become part of them.

        Returns:
            The context, and the ids of the transforms that changed it; None if a transform has to
            see the whole events.
        """
        changed: list[str] = []
        try:
            for id_, of_context, passes in self._of_context:
                new = context
                if of_context is not None:
                    answer = of_context(context)
                    if answer is None:
                        return None
                    new = answer
                elif passes is None or not passes(bytes(context)):
                    return None
                if new is not context:
                    changed.append(id_)
                context = new
        except BaseException as error:  # noqa: BLE001 - see `_doubt`
            self._doubt("of_context", error)
            return None
        return context, tuple(changed)

    def forms(self, attribute: str, id_: str) -> Collection[str]:
        """Returns all forms in which an id may leave the chain; see `ChangesIds`."""
        found: Collection[str] = (id_,)
        for forms in self._forms:
            found = {new for one in found for new in forms(attribute, one)}
        return found

    def _doubt(self, method: str, error: BaseException) -> None:
        """Logs that an optional method failed, once a minute; `apply` then decides instead.

        Raises:
            KeyboardInterrupt: the user has pressed Ctrl-C.
        """
        if is_interrupt(error):
            raise error
        now = time.monotonic()
        if now - self._doubted.get(method, -math.inf) < _LOG_EVERY_SECONDS:
            return
        self._doubted[method] = now
        structlog.get_logger().error(
            "an optional method of a transform failed; its `apply` is called for all events",
            method=method,
            transforms=self.ids,
            trace=trace_of(error),  # not its text, which may quote an event
        )

    def run(self, events: list[Event]) -> Outcome:
        """Applies all transforms. They may change the events: copy shared ones before."""
        outcome = Outcome(events)
        _run(self._steps, outcome)
        return outcome

    def begin(self, events: list[Event]) -> Outcome:
        """Does what `run` does, but stops before a transform that would take long.

        While `Outcome.left` is not zero, call `step_apart` in another thread, and then `go_on`;
        `finish` does both.
        """
        outcome = Outcome(events)
        _run(self._brief, outcome)
        return outcome

    def step_apart(self, outcome: Outcome) -> None:
        """Applies the transform that would take long; runs in another thread."""
        place = len(self._apart) - outcome.left
        _run(self._apart[place : place + 1], outcome)

    def go_on(self, outcome: Outcome) -> None:
        """Continues `begin` after `step_apart`."""
        place, outcome.left = len(self._brief) - outcome.left + 1, 0
        _run(self._brief[place:], outcome)

    async def finish(self, outcome: Outcome, turn: CapacityLimiter) -> None:
        """Runs the transforms that `begin` has left: those that take long in a thread.

        Args:
            turn: how many threads may do so at a time. Each slows down the event loop.
        """
        while outcome.left:
            await anyio.to_thread.run_sync(self.step_apart, outcome, limiter=turn)
            self.go_on(outcome)


def _run(steps: Sequence[_Step], outcome: Outcome) -> None:
    """Applies transforms until one takes too long."""
    for number, (id_, apply, produced, weight, mutates, puts_off) in enumerate(steps):
        before = outcome.kept
        if not before:
            break
        originals = [event.copy() for event in before] if mutates else []
        try:
            with contained:
                kept = _apply(id_, apply, before)
                if kept is None and puts_off:
                    outcome.left = len(steps) - number
                    return
                if kept is None:
                    raise TypeError(_NONE)
                if produced is not None:
                    outcome.added += produced()
            if len(kept) < len(before):
                outcome.filtered[id_] = _without(before, kept)
        except Exception:  # noqa: BLE001 - one bad event must not take the batch with it
            for event, original in zip(before, originals, strict=False):
                event.restore(original)  # or a change made before the error is made twice
            if puts_off:  # one by one they may take long, too
                outcome.left = len(steps) - number
                return
            kept = _one_by_one(id_, apply, produced, before, outcome)
        outcome.kept = kept
        changed = _changed(kept, before, originals) if originals else []
        if changed:
            outcome.changed[id_] = changed
        if weight is not None:
            _weigh(id_, weight, kept)


def _weigh(id_: str, weight: _Weight, events: list[Event]) -> None:
    """Writes into the events that a sample keeps how many people one stands for."""
    for event in events:
        try:
            with contained:
                one = weight(event)
        except Exception:  # noqa: BLE001 - a weight that cannot be told is none
            one = None
        if one == 1.0:
            continue
        notes = event.notes
        if one is None or not 1.0 < one < math.inf:
            notes = structs.replace(notes, weight_doubt=notes.weight_doubt or id_)
        else:
            notes = structs.replace(notes, weight=notes.weight * one)
        event.raw_notes = Raw(json.encode(notes))


def _of_text(
    suspects: Callable[[bytes], Collection[int] | None] | None,
) -> Callable[[bytes, Client], Collection[int] | None] | None:
    """Returns `SuspectsText.suspects` as a function that gets the client too."""
    return None if suspects is None else lambda text, _: suspects(text)


def _forms_by(apply: _Apply) -> Callable[[str, str], Collection[str]]:
    """Tells the form of an id by applying a transform to an event that has it."""

    def forms(attribute: str, id_: str) -> Collection[str]:
        event = Event(type="track", event="Erasure", message_id="erasure")
        setattr(event, attribute, id_)
        try:
            with contained:
                kept = apply([event])
        except Exception:  # noqa: BLE001 - a transform may fail in any way it likes
            return (id_,)
        new = getattr(kept[0], attribute) if kept else id_
        return (new,) if isinstance(new, str) else (id_,)

    return forms


def _all_have(bound: Iterable[_T | None]) -> tuple[_T, ...] | None:
    """Returns the method of each transform; None where one of them lacks it."""
    found = tuple(bound)
    present = tuple(method for method in found if method is not None)
    return present if len(present) == len(found) else None


def _changed(kept: list[Event], before: list[Event], originals: list[Event]) -> list[Event]:
    """Returns the kept events that differ from their originals."""
    was = dict(zip(map(id, before), originals, strict=True))
    # A field that no transform touched is the same object, so this mostly compares pointers.
    return [event for event in kept if event != was[id(event)]]


def _without(events: list[Event], kept: list[Event]) -> list[Event]:
    going_on = set(map(id, kept))
    return [event for event in events if id(event) not in going_on]


def _apply(id_: str, apply: _Apply, events: list[Event]) -> list[Event] | None:
    """Returns the events that a transform keeps; None if it would take long.

    Raises:
        PluginError: it returned an event that it was not given, or one twice.
    """
    # It gets a list of its own, so that removing from that list hides nothing from us.
    kept = apply(events.copy())
    if kept is None:
        return None
    if len(kept) == len(events) and all(map(is_, kept, events)):
        return kept
    given, returned = set(map(id, events)), set(map(id, kept))
    if len(returned) != len(kept) or not returned <= given:
        raise PluginError(
            f"transform {id_!r} returned events that it was not given, or one of them twice; "
            "change events in place and leave out those to drop"
        )
    return kept


def _one_by_one(
    id_: str, apply: _Apply, produced: _Produced | None, events: list[Event], outcome: Outcome
) -> list[Event]:
    """Applies a transform to each event alone, and records those that it fails on."""
    kept: list[Event] = []
    dropped: list[Event] = []
    for event in events:
        try:
            with contained:
                result = _apply(id_, apply, [event])
                if result is None:
                    raise TypeError(_NONE)
                if produced is not None:
                    outcome.added += produced()
        except Exception as error:  # noqa: BLE001 - it is recorded with its event
            outcome.failed.append((event, id_, error))
        else:
            kept += result
            if not result:
                dropped.append(event)
    if dropped:
        outcome.filtered[id_] = dropped
    return kept
