"""How many people one stands for, as transforms that sample tell it."""

from __future__ import annotations

import math

import pytest

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.events.event import EMPTY, Event
from gateway.testing import make_event


class Sampling(Transform):
    """A third party's sample, which keeps all and says what one stands for."""

    mutates = False

    def __init__(self, weight: float | None) -> None:
        self._weight = weight

    def apply(self, events: list[Event]) -> list[Event]:
        return events

    def weight(self, event: Event) -> float | None:
        if self._weight == 0.5:
            raise ValueError("no idea")
        return self._weight


@pytest.mark.parametrize("weight", [None, 0.0, 0.25, 0.5, -3.0, math.inf, math.nan])
def test_a_weight_that_is_none_names_its_transform(weight: float | None) -> None:
    """None, no number of people, and an error are the same: nothing is proved."""
    chain = Chain([("a", Sampling(2.0)), ("b", Sampling(weight))], weighs=True)
    (event,) = chain.run([make_event()]).kept
    assert event.notes.weight_doubt == "b"


def test_weights_multiply() -> None:
    """Independent samples leave one of as many as their product; 1 leaves no note."""
    chain = Chain([("a", Sampling(2.0)), ("b", Sampling(5.0)), ("c", Sampling(1.0))], weighs=True)
    (event,) = chain.run([make_event()]).kept
    assert (event.notes.weight, event.notes.weight_doubt) == (10.0, None)
    (same,) = Chain([("c", Sampling(1.0))], weighs=True).run([make_event()]).kept
    assert same.raw_notes is EMPTY


def test_only_who_reads_weights_pays_for_them() -> None:
    """A chain that does not weigh leaves shared events as they are."""
    event = make_event()
    chain = Chain([("a", Sampling(2.0))])
    assert not chain.mutates
    assert chain.run([event]).kept[0].raw_notes is EMPTY
