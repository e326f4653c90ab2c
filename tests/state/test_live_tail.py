"""The live tail: filtered, bounded, and free without watchers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.runtime.rates import Rates
from gateway.state import Discard
from gateway.state.live_tail import MOST_HELD, Choice, LiveTail, Sighting, Watcher
from gateway.testing import make_event


async def seen(watcher: Watcher, number: int) -> list[Sighting]:
    """Returns the next sightings, this many."""
    found: list[Sighting] = []
    async for sightings in watcher.sightings():
        found += sightings
        if len(found) >= number:
            break
    return found


async def test_who_watches_sees_what_is_published() -> None:
    """A watcher sees published events, and id and code of those that were not stored."""
    live_tail = LiveTail()
    event = make_event(user_id="ada")
    with live_tail.watching(Choice()) as watcher:
        live_tail.publish(5, "delivered", [event], destination="crm", detail="x")
        live_tail.publish(6, "", [Discard(6, "web", "m", "duplicate")])
        first, second = await seen(watcher, 2)
    assert (first.event, first.destination, first.detail) == (event, "crm", "x")
    assert (second.event, second.outcome, second.message_id) == (None, "duplicate", "m")


async def test_nothing_is_held_for_nobody() -> None:
    """Without a watcher the tail is false and holds nothing; a watcher that left is forgotten."""
    live_tail = LiveTail()
    assert not live_tail
    with live_tail.watching(Choice()) as watcher:
        assert live_tail
    live_tail.publish(5, "accepted", [make_event()])
    assert not live_tail
    assert not watcher._held


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({}, True),
        ({"source": "web"}, True),
        ({"source": "app"}, False),
        ({"destination": "crm"}, True),
        ({"destination": "lake"}, False),
        ({"outcome": "filtered"}, True),
        ({"outcome": "filtered:x"}, True),
        ({"outcome": "delivered"}, False),
        ({"event": "Order Completed"}, True),
        ({"event": "track"}, True),
        ({"event": "Other"}, False),
        ({"user": "ada"}, True),
        ({"user": "anonymous"}, True),
        ({"user": "eve"}, False),
    ],
)
def test_a_choice_is_by_all_that_it_names(choice: dict[str, str], wanted: bool) -> None:
    """A choice filters by source, destination, outcome or a part of it, event and user."""
    event = make_event(user_id="ada", anonymous_id="anonymous")
    sighting = Sighting(0, "filtered:x", "web", "crm", event.message_id, "", event)
    assert Choice(**choice).wants(sighting) is wanted


@pytest.mark.parametrize("choice", [{"event": "track"}, {"user": "ada"}])
def test_what_was_not_stored_has_no_event_to_choose_by(choice: dict[str, str]) -> None:
    """A choice by event or user excludes events that were not stored."""
    sighting = Sighting(0, "duplicate", "web", "", "m", "", None)
    assert not Choice(**choice).wants(sighting)


async def test_who_does_not_read_misses_events_and_is_told_how_many() -> None:
    """A watcher that does not read misses events beyond the bound, and learns how many."""
    live_tail = LiveTail()
    events = [make_event()] * 100
    with live_tail.watching(Choice()) as slow, live_tail.watching(Choice()) as other:
        for _ in range(MOST_HELD // 100 + 3):
            live_tail.publish(0, "accepted", events)
        assert (slow.take_missed(), slow.take_missed()) == (300, 0)
        assert slow._events == MOST_HELD
        assert len(await seen(other, MOST_HELD)) == MOST_HELD
        live_tail.publish(0, "accepted", events)
        assert other._events == 100


async def test_a_quiet_stream_lets_the_caller_look_up(monkeypatch: Any) -> None:
    """Without events an empty list comes, so that callers can check their connection."""
    monkeypatch.setattr("gateway.state.live_tail._LOOK_UP_SECONDS", 0.001)
    with LiveTail().watching(Choice()) as watcher:
        async for sightings in watcher.sightings():
            assert sightings == []
            break


def test_rates_are_means_over_the_window() -> None:
    """Rates are means over the window, and ignore earlier samples and the start of new counts."""
    rates = Rates()
    for second in range(30):
        rates.sample(100.0 + second, {"a": second * second} | ({"b": 7} if second > 25 else {}))
    assert rates.growth("a") == 29**2 - 19**2
    assert rates.per_second("a") == (29**2 - 19**2) / 10
    assert (rates.per_second("b"), rates.per_second("c")) == (0.0, 0.0)
