"""Intake, from decoded events to the queue: stamps, counts, and the effects of failures."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from structlog.testing import capture_logs

from gateway.components.transform import Transform
from gateway.errors import QueueClosed, QueueFull
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import API_EVENT_VERSION
from gateway.events.event import Event, decode_events
from gateway.events.timestamps import format_ms
from gateway.testing import START_MS
from tests.support.sizes import examples
from tests.support.stored_intake import StoredIntakeHarness, made

NOW = format_ms(START_MS)


class Drop(Transform):
    """Drops events by name, and raises on some."""

    mutates = False

    def apply(self, events: list[Event]) -> list[Event]:
        if any(event.event == "raise" for event in events):
            raise ValueError("ada@example.com")
        return [event for event in events if event.event != "drop"]


async def stamped(event: Event, **arrival: Any) -> Event:
    async with StoredIntakeHarness() as harness:
        await harness.accept(event, **arrival)
        (stored,) = harness.stored()
        return stored


async def test_an_accepted_event_is_stored_with_its_stamps() -> None:
    """Source, time of receipt and version are the gateway's, for any values of the client."""
    sent = made("m", source_id="forged", received_at="forged", version="forged")
    stored = await stamped(sent, client=Client("203.0.113.7", "UA", "client"))
    assert stored == made(
        "m",
        source_id="web",
        received_at=NOW,
        timestamp=NOW,
        original_timestamp=NOW,
        version=API_EVENT_VERSION,
        raw_context=Raw(b'{"ip":"203.0.113.7","userAgent":"UA"}'),
    )


async def test_keys_name_sources() -> None:
    """Each key of a source leads to its id, also if the source is disabled."""
    intake = StoredIntakeHarness().intake
    found = [intake.source_of(f"key-{n}") for n in range(1, 6)]
    assert found == ["web", "web", "app", "off", None]
    assert intake.write_keys("web") == ("key-1", "key-2")
    assert (intake.enabled("web"), intake.enabled("off")) == (True, False)


async def test_a_disabled_source_stores_nothing() -> None:
    """Events of a disabled source are counted as discarded, with those its source discarded."""
    async with StoredIntakeHarness() as harness:
        receipt = await harness.accept(made(), made(), source_id="off", discarded=Counter(bad=1))
        assert (receipt.accepted, receipt.duplicate) == (0, 0)
        assert receipt.discarded == {"source_disabled": 2, "bad": 1}
        assert harness.ledger.source("off").discarded == receipt.discarded
        assert harness.stored() == []


async def test_every_event_is_counted_once() -> None:
    """received = accepted + discarded by code + duplicate."""
    async with StoredIntakeHarness(("drop", Drop())) as harness:
        receipt = await harness.accept(
            made("a"),
            made("a"),
            made("b", "drop"),
            made("c", ""),
            made("d", user_id=None),
            discarded=Counter(event_too_large=2),
        )
        counts = harness.ledger.source("web")
        assert (receipt.accepted, receipt.duplicate) == (1, 1)
        assert (
            receipt.discarded
            == counts.discarded
            == {
                "event_too_large": 2,
                "event_not_defined": 1,
                "no_user_anon_id": 1,
                "filtered:drop": 1,
            }
        )
        assert counts.received == 7
        assert [event.message_id for event in harness.stored()] == ["a"]


async def test_case_38_duplicates() -> None:
    """A repeated id is accepted and not stored; from another source it is another event."""
    async with StoredIntakeHarness() as harness:
        first = await harness.accept(made("a"), made("b"))
        again = await harness.accept(made("b"), made("c"))
        other = await harness.accept(made("a"), source_id="app")
        assert [(r.accepted, r.duplicate) for r in (first, again, other)] == [
            (2, 0),
            (1, 1),
            (1, 0),
        ]
        assert [event.message_id for event in harness.stored()] == ["a", "b", "c", "a"]


async def test_without_dedup_everything_is_stored() -> None:
    """Without de-duplication, a repeated id is stored again."""
    async with StoredIntakeHarness(dedup=False) as harness:
        await harness.accept(made("a"), made("a"))
        assert len(harness.stored()) == 2


async def test_a_failing_transform_discards_and_complains_now_and_then() -> None:
    """Events of a failing transform are discarded, and the log says so once a minute."""
    async with StoredIntakeHarness(("mask", Drop())) as harness:
        with capture_logs() as logs:
            for _ in range(3):
                receipt = await harness.accept(made(name="raise"), made())
                assert receipt.discarded == {"transform_failed:mask": 1}
            harness.clock.advance(60)
            await harness.accept(made(name="raise"))
        assert len(harness.stored()) == 3
    assert [(line["transform"], line["error"]) for line in logs] == [("mask", "ValueError")] * 2
    assert "ada@example.com" not in json.dumps(logs)


async def test_what_is_refused_may_come_again() -> None:
    """Events of a refused request are counted as refused and not remembered."""
    async with StoredIntakeHarness() as harness:
        harness.store.failures = [QueueFull("disk full")]
        with pytest.raises(QueueFull):
            await harness.accept(made("a"), made("b", ""), discarded=Counter(bad_request=1))
        counts = harness.ledger.source("web")
        assert (counts.received, counts.refused) == (0, 3)

        assert (await harness.accept(made("a"), made("b", ""))).accepted == 1
        assert (counts.received, counts.refused) == (2, 3)


async def test_a_duplicate_waits_for_its_first_copy() -> None:
    """If the write of the first copy fails, the duplicate is refused too."""
    async with StoredIntakeHarness() as harness:
        harness.store.failures = [QueueFull("disk full")]
        first, again = harness.accept(made("a")), harness.accept(made("a"))
        with_more = harness.accept(made("a"), made("b"))
        results = await asyncio.gather(first, again, with_more, return_exceptions=True)
        assert [type(result) for result in results] == [QueueFull] * 3
        assert (await harness.accept(made("a"), made("b"))).accepted == 2


async def test_a_duplicate_of_a_failed_write_is_refused_though_its_neighbours_are_stored() -> None:
    """A failed earlier write refuses the duplicate, but not the events that are stored."""
    async with StoredIntakeHarness() as harness:
        harness.store.failures = [QueueFull("disk full"), None]
        harness.store.go.clear()
        first = harness.accept(made("a"))
        assert await asyncio.to_thread(harness.store.entered.wait, 10)
        second = harness.accept(made("a"), made("b"))
        await asyncio.sleep(0)  # it has seen the first one under way
        harness.store.go.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
        counts = harness.ledger.source("web")
        assert [type(result) for result in results] == [QueueFull, QueueFull]
        assert [event.message_id for event in harness.stored()] == ["b"]
        assert (counts.accepted, counts.duplicate, counts.refused) == (1, 0, 2)

        receipt = await harness.accept(made("a"), made("b"))
        assert (receipt.accepted, receipt.duplicate) == (1, 1)
        assert [event.message_id for event in harness.stored()] == ["b", "a"]


async def test_a_caller_that_is_cancelled_leaves_no_ghost() -> None:
    """A cancelled request's id may be stored twice, but never counts as stored when it is not."""
    async with StoredIntakeHarness() as harness:
        harness.store.failures = [QueueFull("disk full")]
        gone = harness.accept(made("a"))
        await asyncio.sleep(0)
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        receipt = await harness.accept(made("a"))
        assert receipt.accepted == 1
        assert [event.message_id for event in harness.stored()] == ["a"]


async def test_a_transform_that_breaks_encoding_costs_no_later_event() -> None:
    """An error outside the queue is raised, and the ids are not remembered."""

    class Cut(Transform):
        def apply(self, events: list[Event]) -> list[Event]:
            for event in events:
                event.user_id = "\ud83d"
            return events

    async with StoredIntakeHarness(("cut", Cut())) as harness:
        for _ in range(2):
            with pytest.raises(UnicodeEncodeError):
                await harness.accept(made("a"))
        assert harness.ids is not None
        assert len(harness.ids) == 0


async def test_a_closed_queue_refuses() -> None:
    """While the gateway stops, clients are told to send again."""
    async with StoredIntakeHarness() as harness:
        pass
    with pytest.raises(QueueClosed):
        await harness.accept(made("a"))
    assert harness.ledger.source("web").refused == 1


async def test_small_events_do_not_hold_a_large_request() -> None:
    """If little of a request is left, its events do not keep the request's bytes alive."""
    body = b'[{"type":"track","properties":{"a":1}}' + b" " * 100_000 + b"]"
    (event,) = decode_events(body)
    event.event, event.user_id = "e", "u"
    async with StoredIntakeHarness() as harness:
        await harness.accept(event, body_bytes=len(body))
        slice_ = await harness.batches.reader(0).read()
        assert slice_.events[0].properties == {"a": 1}
        assert slice_.events[0] is not event

        whole = made("m", raw_properties=Raw(b'{"a":1}'))
        await harness.accept(whole, body_bytes=100)
        assert (await harness.batches.reader(1).read()).events[0] is whole


Step = Callable[[], Event]
kinds: dict[str, Step] = {
    "good": lambda: made("x"),
    "fresh": made,
    "nameless": lambda: made(name=""),
    "dropped": lambda: made(name="drop"),
    "poison": lambda: made(name="raise"),
}


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(sorted(kinds)), max_size=6), st.booleans()), max_size=6
    )
)
@settings(max_examples=examples(25, 300))
def test_conservation(requests: list[tuple[list[str], bool]]) -> None:
    """For any events and failing writes, received adds up and accepted events are stored."""

    async def run() -> None:
        async with StoredIntakeHarness(("drop", Drop())) as harness:
            sent = refused = 0
            for names, fails in requests:
                harness.store.failures = [QueueFull("full")] if fails else []
                try:
                    receipt = await harness.accept(*(kinds[name]() for name in names))
                except QueueFull:
                    refused += len(names)
                else:
                    total = receipt.accepted + receipt.duplicate
                    assert total + sum(receipt.discarded.values()) == len(names)
                    sent += len(names)
            counts = harness.ledger.source("web")
            assert (counts.received, counts.refused) == (sent, refused)
            assert counts.accepted == len(harness.stored())

    asyncio.run(run())
