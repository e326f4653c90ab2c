"""Puts a history into the lake of a config, and takes it out again.

A history is one load, named by its plan: the same history is never there twice, and one that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import headgate_lake
from gateway import Event
from headgate_demo.people import Plan

__all__ = ["Place", "fill", "load_of", "loads"]

_MARK = "demo:"
_BATCH_EVENTS = 50_000

_SIMULATION = 1
"""Number of the simulation; another one makes other events of the same plan."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a lake holds.

    Attributes:
        demos: ids of the demo's loads.
        others: it holds events that did not come from the demo.
    """

    demos: Sequence[str]
    others: bool


def load_of(plan: Plan, currency: str) -> str:
    """Returns the id of a plan's load."""
    day = plan.end.date().isoformat()
    return f"{_MARK}{_SIMULATION}:{day}:{plan.days}:{plan.people}:{plan.seed}:{currency}"


def loads(storage: headgate_lake.Storage) -> Place:
    """Looks into a lake; there need not be one.

    Raises:
        LakeError: it cannot be read.
    """
    ids = headgate_lake.queue_ids(storage)
    demos = [id_ for id_ in ids if id_.startswith(_MARK)]
    return Place(demos, len(demos) < len(ids))


def fill(
    storage: headgate_lake.Storage, load: str, events: Sequence[Event], end_ms: int
) -> Iterator[int]:
    """Writes events to a lake, and yields how many of them are there after each step.

    Args:
        end_ms: the moment after the last event.
    """
    with headgate_lake.Loader(storage, load, batch_events=_BATCH_EVENTS) as loader:
        begin = loader.position
        yield begin
        yield from loader.load(events[begin:])
        loader.complete_up_to(end_ms)
