"""Runs transforms one after the other over a batch, and knows what became of each event."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from operator import is_

from gateway.components.transform import Transform
from gateway.errors import PluginError
from gateway.events.envelope.client import Client
from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.sealed import Ids
from gateway.events.event import Event

__all__ = ["Chain", "Outcome"]

_Apply = Callable[[list[Event]], list[Event]]
_Produced = Callable[[], list[Event]]


@dataclass(slots=True)
class Outcome:
    """What a chain made of a batch.

    Attributes:
        kept: events to go on with, in order.
        filtered: id of the transform to the events that it dropped.
        changed: id of the transform to the events that it changed.
        failed: events that a transform raised on, with its id and the error. They must not go on:
            a mask that failed has not masked.
        added: events that transforms made of their own, which passed through none of them.
    """

    kept: list[Event]
    filtered: dict[str, list[Event]] = field(default_factory=dict)
    changed: dict[str, list[Event]] = field(default_factory=dict)
    failed: list[tuple[Event, str, Exception]] = field(default_factory=list)
    added: list[Event] = field(default_factory=list)

    def note_changes(self) -> None:
        """Write into the events that were changed by which transform."""
        for id_, changed in self.changed.items():
            for event in changed:
                add_notes(event, (f"changed:{id_}",))


class Chain:
    """Transforms in the order of config.toml.

    Args:
        steps: pairs of the transform's id and the transform.
    """

    def __init__(self, steps: Sequence[tuple[str, Transform]] = ()) -> None:
        self._transforms = tuple(steps)
        self._steps = tuple((id_, t.apply, t.produced, t.mutates) for id_, t in steps)
        self._passes = tuple(transform.passes for _, transform in steps)
        self._keeps = tuple((id_, transform.keeps) for id_, transform in steps)
        self._suspects = tuple(transform.suspects for _, transform in steps)
        self._receives = tuple(
            t.receive for _, t in steps if type(t).receive is not Transform.receive
        )
        self._of_client = tuple(t.of_client for _, t in steps)
        self.mutates = any(transform.mutates for _, transform in steps)
        self.ids = tuple(id_ for id_, _ in steps)
        self.adds_to = tuple((id_, source) for id_, t in steps for source in t.adds_to)
        """Pairs of a transform's id and the id of a source that it makes events for."""

    def singles(self) -> list[tuple[str, Chain]]:
        """Id of each transform, and a chain of it alone."""
        return [(id_, Chain([(id_, transform)])) for id_, transform in self._transforms]

    def part(self, ids: Collection[str]) -> Chain:
        """The transforms of these ids, in their order."""
        return Chain([step for step in self._transforms if step[0] in ids])

    def __bool__(self) -> bool:
        return bool(self._steps)

    def rules(self, ids: Sequence[Ids | Event]) -> list[str | None] | None:
        """For each event the transform that drops it, or None; told from ids alone, and else None.

        Where that can be told, the events stay as they are.
        """
        rules: list[str | None] = [None] * len(ids)
        for id_, keeps in self._keeps:
            kept = keeps(ids)
            if kept is None:
                return None
            rules = [
                rule or (None if keep else id_) for rule, keep in zip(rules, kept, strict=True)
            ]
        return rules

    def passes(self, text: bytes | memoryview) -> bool:
        """Whether all transforms surely keep and leave alone the events of a JSON text."""
        return all(passes(text) for passes in self._passes)

    def suspects(self, text: bytes) -> Collection[int] | None:
        """Where something may be that a transform changes; None where one of them cannot tell."""
        ends: set[int] = set()
        for suspects in self._suspects:
            found = suspects(text)
            if found is None:
                return None
            ends.update(found)
        return ends

    def receive(self, events: Sequence[Event]) -> None:
        """Show the events of a request to the transforms that want to see them first."""
        for receive in self._receives:
            receive(events)

    def of_client(self, client: Client) -> Client:
        """What may be known of who sent a request."""
        for of_client in self._of_client:
            client = of_client(client)
        return client

    def run(self, events: list[Event]) -> Outcome:
        """Apply all transforms. The events may be changed; copy shared ones before."""
        outcome = Outcome(events)
        for id_, apply, produced, mutates in self._steps:
            before = outcome.kept
            if not before:
                break
            originals = [event.copy() for event in before] if mutates else []
            try:
                kept = _apply(id_, apply, before)
                outcome.added += produced()
                if len(kept) < len(before):
                    outcome.filtered[id_] = _without(before, kept)
            except Exception:  # noqa: BLE001 - one bad event must not take the batch with it
                for event, original in zip(before, originals, strict=False):
                    event.restore(original)  # or what was done already would be done twice
                kept = _one_by_one(id_, apply, produced, before, outcome)
            outcome.kept = kept
            changed = _changed(kept, before, originals) if originals else []
            if changed:
                outcome.changed[id_] = changed
        return outcome


def _changed(kept: list[Event], before: list[Event], originals: list[Event]) -> list[Event]:
    """Of the events that go on, those that are not as they were."""
    was = dict(zip(map(id, before), originals, strict=True))
    # Fields that nobody touched are the same objects, so that this mostly compares pointers.
    return [event for event in kept if event != was[id(event)]]


def _without(events: list[Event], kept: list[Event]) -> list[Event]:
    going_on = set(map(id, kept))
    return [event for event in events if id(event) not in going_on]


def _apply(id_: str, apply: _Apply, events: list[Event]) -> list[Event]:
    """What a transform keeps of these events, once it is clear that it kept to its contract."""
    # It gets a list of its own: one that removes from what it is given must not hide that from us.
    kept = apply(events.copy())
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
    id_: str, apply: _Apply, produced: _Produced, events: list[Event], outcome: Outcome
) -> list[Event]:
    kept: list[Event] = []
    dropped: list[Event] = []
    for event in events:
        try:
            result = _apply(id_, apply, [event])
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
