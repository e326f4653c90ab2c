"""Runs transforms one after the other over a batch, and knows what became of each event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.component import Transform
from gateway.errors import PluginError
from gateway.event import Event

__all__ = ["Chain", "Outcome"]


@dataclass(slots=True)
class Outcome:
    """What a chain made of a batch.

    Attributes:
        kept: events to go on with, in order.
        filtered: id of the transform to the number of events that it dropped.
        failed: events that a transform raised on, with its id and the error. They must not go on:
            a mask that failed has not masked.
    """

    kept: list[Event]
    filtered: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[Event, str, Exception]] = field(default_factory=list)


class Chain:
    """Transforms in the order of config.toml.

    Args:
        steps: pairs of the transform's id and the transform.
    """

    def __init__(self, steps: Sequence[tuple[str, Transform]] = ()) -> None:
        self._steps = tuple((id_, transform.apply) for id_, transform in steps)
        self.mutates = any(transform.mutates for _, transform in steps)
        self.ids = tuple(id_ for id_, _ in steps)

    def __bool__(self) -> bool:
        return bool(self._steps)

    def run(self, events: list[Event]) -> Outcome:
        """Apply all transforms. The events may be changed; copy shared ones before."""
        outcome = Outcome(events)
        for id_, apply in self._steps:
            before = outcome.kept
            if not before:
                break
            try:
                kept = apply(before)
                self._check(id_, before, kept)
                dropped = len(before) - len(kept)
            except Exception:  # noqa: BLE001 - one bad event must not take the batch with it
                kept, dropped = self._one_by_one(id_, apply, before, outcome)
            outcome.kept = kept
            if dropped:
                outcome.filtered[id_] += dropped
        return outcome

    def _one_by_one(
        self, id_: str, apply: object, events: list[Event], outcome: Outcome
    ) -> tuple[list[Event], int]:
        assert callable(apply)
        kept: list[Event] = []
        dropped = 0
        for event in events:
            try:
                result = apply([event])
                self._check(id_, [event], result)
            except Exception as error:  # noqa: BLE001
                outcome.failed.append((event, id_, error))
            else:
                kept += result
                dropped += 1 - len(result)
        return kept, dropped

    @staticmethod
    def _check(id_: str, given: list[Event], returned: list[Event]) -> None:
        if returned is given:
            return
        known = set(map(id, given))
        if len(returned) > len(given) or not known.issuperset(map(id, returned)):
            raise PluginError(
                f"transform {id_!r} returned events that it was not given; "
                "change events in place and leave out those to drop"
            )
