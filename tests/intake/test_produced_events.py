"""Events that a transform makes at intake are stored and counted for their own source."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from gateway.components.transform import Transform
from gateway.errors import ConfigError, QueueFull
from gateway.events.event import Event
from tests.support.intake_harness import IntakeHarness, make_source

SOURCES = {
    "web": make_source("w"),
    "audit": make_source("a"),
    "blocked": make_source("b"),
    "off": make_source("o", enabled=False),
}


class Guard(Transform):
    """Drops all events not named "Known", and makes a copy of each for these sources."""

    def __init__(self, *sources: str) -> None:
        self.adds_to = sources
        self._made: list[Event] = []

    def apply(self, events: list[Event]) -> list[Event]:
        kept = [event for event in events if event.event == "Known"]
        for event in events:
            if event not in kept:
                for source_id in self.adds_to:
                    copy = event.copy()
                    copy.source_id, copy.message_id = source_id, f"of-{event.message_id}"
                    self._made.append(copy)
        return kept

    def produced(self) -> list[Event]:
        made, self._made = self._made, []
        return made


def guarded(*sources: str, dedup: bool = True) -> IntakeHarness:
    """Makes an intake with a `Guard` that makes events for these sources."""
    return IntakeHarness(sources=SOURCES, transforms=[("guard", Guard(*sources))], dedup=dedup)


def stored(harness: IntakeHarness, source_id: str) -> list[Event]:
    return [event for event in harness.stored() if event.source_id == source_id]


def track(name: str, message_id: str = "m", **fields: Any) -> Event:
    return Event(type="track", event=name, user_id="u", message_id=message_id, **fields)


async def test_they_are_counted_for_their_own_source() -> None:
    """A made event counts as accepted for its own source, not for the client's."""
    harness = guarded("audit", "blocked")
    receipt = await harness.accept(track("x", "1"), track("y", "2"), track("Known", "3"))
    assert (receipt.accepted, receipt.discarded) == (1, {"filtered:guard": 2})
    web = harness.ledger.source("web")
    assert (web.accepted, web.discarded, web.received) == (1, {"filtered:guard": 2}, 3)
    for source_id in ("audit", "blocked"):
        counts = harness.ledger.source(source_id)
        assert (counts.accepted, counts.received) == (2, 2)
        assert [event.message_id for event in stored(harness, source_id)] == ["of-1", "of-2"]


async def test_they_are_stored_once_when_a_client_sends_again() -> None:
    """A made event is stored once, even if the client's event is sent again after a restart."""
    harness = guarded("audit", "blocked")
    await harness.accept(track("x"))
    assert (await harness.accept(track("x"))).duplicate == 1
    harness.ids.forget("web", [track("x")])
    assert (await harness.accept(track("x"))).duplicate == 0
    for source_id in ("audit", "blocked"):
        assert len(stored(harness, source_id)) == 1
        counts = harness.ledger.source(source_id)
        assert (counts.accepted, counts.duplicate) == (1, 1)


async def test_they_are_refused_with_the_request() -> None:
    """A full queue stores and counts nothing; the request sent again is stored whole."""
    harness = guarded("audit", "blocked")
    harness.queue.error = QueueFull("disk full")
    with pytest.raises(QueueFull):
        await harness.accept(track("x"), track("Known", "n"))
    assert [harness.ledger.source(source_id).received for source_id in SOURCES] == [0, 0, 0, 0]

    harness.queue.error = None
    await harness.accept(track("x"), track("Known", "n"))
    counts = [
        harness.ledger.source(source_id).accepted for source_id in ("web", "audit", "blocked")
    ]
    assert counts == [1, 1, 1]
    assert len(harness.queue.stored) == 3


async def test_a_disabled_source_gets_none() -> None:
    """Made events for a disabled source are counted as discarded."""
    harness = guarded("off")
    await harness.accept(track("x"))
    assert harness.queue.stored == []
    assert harness.ledger.source("off").discarded == Counter(source_disabled=1)


def test_they_need_a_source_that_exists() -> None:
    """A missing source stops the start, and the error names transform and source."""
    with pytest.raises(ConfigError, match=r"^transforms\.guard: there is no source 'nobody'$"):
        guarded("nobody")


async def test_without_dedup_all_of_them_are_stored() -> None:
    """Without de-duplication, every made event is stored."""
    harness = guarded("audit", "blocked", dedup=False)
    await asyncio.gather(harness.accept(track("x")), harness.accept(track("x")))
    assert len(stored(harness, "audit")) == len(stored(harness, "blocked")) == 2
