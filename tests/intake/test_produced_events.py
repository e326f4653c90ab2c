"""Events that a transform makes at intake are stored and counted for their own source."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest
import structlog

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.config.settings import SourceSettings
from gateway.errors import ConfigError, QueueFull
from gateway.events.event import Event
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.intake import Arrival, Intake, Receipt
from gateway.queue.batching import BatchingQueue
from gateway.state.ledger.counts import Ledger, SourceCounts
from gateway.testing import ManualClock
from tests.support.segment_fakes import FakeQueue

SOURCES = {
    "web": SourceSettings(type="segment", write_key="w"),
    "audit": SourceSettings(type="segment", write_key="a"),
    "blocked": SourceSettings(type="segment", write_key="b"),
    "off": SourceSettings(type="segment", write_key="o", enabled=False),
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


class Harness:
    """An intake with a `Guard`; `queue` has the stored events and `ledger` the counts."""

    def __init__(self, *sources: str, dedup: bool = True) -> None:
        self.queue = FakeQueue()
        self.ledger = Ledger()
        self.clock = ManualClock()
        self.ids = RecentIds(3_600_000, 10_000)
        self.intake = Intake(
            IntakeContext(
                sources=SOURCES,
                queue=cast("BatchingQueue", self.queue),
                recent_ids=self.ids if dedup else None,
                transforms=Chain([("guard", Guard(*sources))]),
                ledger=self.ledger,
                clock=self.clock,
                log=structlog.get_logger(),
            )
        )

    async def send(self, *events: Event) -> Receipt:
        return await self.intake.accept(Arrival("web", self.clock(), list(events)))

    def stored(self, source_id: str) -> list[Event]:
        return [event for event in self.queue.stored if event.source_id == source_id]

    def counts(self, source_id: str) -> SourceCounts:
        return self.ledger.source(source_id)


def track(name: str, message_id: str = "m", **fields: Any) -> Event:
    return Event(type="track", event=name, user_id="u", message_id=message_id, **fields)


async def test_they_are_counted_for_their_own_source() -> None:
    """A made event counts as accepted for its own source, not for the client's."""
    harness = Harness("audit", "blocked")
    receipt = await harness.send(track("x", "1"), track("y", "2"), track("Known", "3"))
    assert (receipt.accepted, receipt.discarded) == (1, {"filtered:guard": 2})
    web = harness.counts("web")
    assert (web.accepted, web.discarded, web.received) == (1, {"filtered:guard": 2}, 3)
    for source_id in ("audit", "blocked"):
        counts = harness.counts(source_id)
        assert (counts.accepted, counts.received) == (2, 2)
        assert [event.message_id for event in harness.stored(source_id)] == ["of-1", "of-2"]


async def test_they_are_stored_once_when_a_client_sends_again() -> None:
    """A made event is stored once, even if the client's event is sent again after a restart."""
    harness = Harness("audit", "blocked")
    await harness.send(track("x"))
    assert (await harness.send(track("x"))).duplicate == 1
    harness.ids.forget("web", [track("x")])
    assert (await harness.send(track("x"))).duplicate == 0
    for source_id in ("audit", "blocked"):
        assert len(harness.stored(source_id)) == 1
        counts = harness.counts(source_id)
        assert (counts.accepted, counts.duplicate) == (1, 1)


async def test_they_are_refused_with_the_request() -> None:
    """A full queue stores and counts nothing; the request sent again is stored whole."""
    harness = Harness("audit", "blocked")
    harness.queue.error = QueueFull("disk full")
    with pytest.raises(QueueFull):
        await harness.send(track("x"), track("Known", "n"))
    assert [harness.counts(source_id).received for source_id in SOURCES] == [0, 0, 0, 0]

    harness.queue.error = None
    await harness.send(track("x"), track("Known", "n"))
    counts = [harness.counts(source_id).accepted for source_id in ("web", "audit", "blocked")]
    assert counts == [1, 1, 1]
    assert len(harness.queue.stored) == 3


async def test_a_disabled_source_gets_none() -> None:
    """Made events for a disabled source are counted as discarded."""
    harness = Harness("off")
    await harness.send(track("x"))
    assert harness.queue.stored == []
    assert harness.counts("off").discarded == Counter(source_disabled=1)


def test_they_need_a_source_that_exists() -> None:
    """A missing source stops the start, and the error names transform and source."""
    with pytest.raises(ConfigError, match=r"^transforms\.guard: there is no source 'nobody'$"):
        Harness("nobody")


async def test_without_dedup_all_of_them_are_stored() -> None:
    """Without de-duplication, every made event is stored."""
    harness = Harness("audit", "blocked", dedup=False)
    await asyncio.gather(harness.send(track("x")), harness.send(track("x")))
    assert len(harness.stored("audit")) == len(harness.stored("blocked")) == 2
