"""Intake, from decoded events to the queue: stamps, counts, and the effects of failures."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from structlog.testing import capture_logs

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.config.settings import QueueSettings, SourceSettings
from gateway.errors import QueueClosed, QueueError, QueueFull
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import API_EVENT_VERSION
from gateway.events.event import Event, decode_events
from gateway.events.timestamps import format_ms, parse_ms
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.intake import Arrival, Intake
from gateway.queue.batching import BatchingQueue
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.state.ledger.counts import Ledger
from gateway.testing import START_MS, ManualClock
from tests.support.sizes import examples

NOW = format_ms(START_MS)
SOURCES = {
    "web": SourceSettings(type="segment", write_key=("key-1", "key-2")),
    "app": SourceSettings(type="segment", write_key="key-3"),
    "off": SourceSettings(type="segment", write_key="key-4", enabled=False),
}


class Drop(Transform):
    """Drops events by name, and raises on some."""

    mutates = False

    def apply(self, events: list[Event]) -> list[Event]:
        if any(event.event == "raise" for event in events):
            raise ValueError("ada@example.com")
        return [event for event in events if event.event != "drop"]


class ScriptedStore(MemoryStore):
    """A store whose writes wait and fail as the test says."""

    def __init__(self) -> None:
        super().__init__(MemoryConfig(), ManualClock())
        self.failures: list[QueueError | None] = []
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()

    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        self.entered.set()
        assert self.go.wait(10)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return super().write(chunks, counts, sync=sync)


class Harness:
    """An intake with a queue behind it."""

    def __init__(self, *steps: tuple[str, Transform], dedup: bool = True) -> None:
        self.store = ScriptedStore()
        self.clock = ManualClock()
        self.queue = BatchingQueue(self.store, QueueSettings(), structlog.get_logger())
        self.ids = RecentIds(3_600_000, 10_000) if dedup else None
        self.ledger = Ledger()
        self.intake = Intake(
            IntakeContext(
                sources=SOURCES,
                queue=self.queue,
                recent_ids=self.ids,
                transforms=Chain(steps),
                ledger=self.ledger,
                clock=self.clock,
                log=structlog.get_logger(),
            )
        )

    async def __aenter__(self) -> Self:
        await self.queue.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.queue.stop()

    def accept(self, *events: Event, source_id: str = "web", **fields: Any) -> asyncio.Task[Any]:
        arrival = Arrival(source_id, self.clock(), list(events), **fields)
        return asyncio.ensure_future(self.intake.accept(arrival))

    def stored(self) -> list[Event]:
        """Returns all events of the store, in order."""
        reader = self.store.reader(0)
        frames = iter(reader.next, None)
        return [event for frame in frames for event in decode_events(frame.payload)]


def made(message_id: str = "", name: str | None = "e", **fields: Any) -> Event:
    return Event(
        **{"type": "track", "event": name, "user_id": "u", "message_id": message_id, **fields}
    )


async def stamped(event: Event, **arrival: Any) -> Event:
    async with Harness() as harness:
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


def minutes(number: float) -> str:
    """Returns a time so many minutes after the gateway's now."""
    return format_ms(START_MS + round(number * 60_000))


@pytest.mark.parametrize(
    ("fields", "batch_sent_at", "times"),
    [
        # 33: two hours slow by the client's clock, five minutes before it sent.
        ({"timestamp": minutes(-125), "sent_at": minutes(-120)}, None, (-5, -125, -120)),
        ({"original_timestamp": minutes(-125), "sent_at": minutes(-120)}, None, (-5, -125, -120)),
        # Both: the caller's own time counts, the one that the SDK has stamped is kept.
        ({"timestamp": minutes(9), "original_timestamp": minutes(3)}, None, (9, 3, None)),
        ({"timestamp": "garbage", "original_timestamp": minutes(3)}, None, (3, 3, None)),
        # 34: nothing says when it was sent.
        ({"timestamp": minutes(-9e6)}, None, (-9e6, -9e6, None)),
        ({"timestamp": minutes(-9e6)}, "garbage", (-9e6, -9e6, None)),
        # 35: nothing says when it happened.
        ({}, None, (0, 0, None)),
        ({"sent_at": minutes(-7)}, None, (0, 0, -7)),
        ({"timestamp": "garbage", "sent_at": minutes(-7)}, None, (0, 0, -7)),
        ({"timestamp": minutes(-2), "original_timestamp": "garbage"}, None, (-2, -2, None)),
        # 36: the event's own time of sending wins over the batch's.
        ({"timestamp": minutes(-2)}, minutes(1), (-3, -2, 1)),
        ({"timestamp": minutes(-2), "sent_at": minutes(0)}, minutes(1), (-2, -2, 0)),
        ({"timestamp": minutes(-2), "sent_at": "garbage"}, minutes(1), (-3, -2, 1)),
        # 37: forms of times, and Go's zero time, which is absent.
        ({"timestamp": "0001-01-01T00:00:00Z"}, None, (0, 0, None)),
        ({"timestamp": minutes(-2), "sent_at": "0001-01-01T00:00:00Z"}, minutes(1), (-3, -2, 1)),
        (
            {"original_timestamp": "0001-01-01T00:00:00Z", "timestamp": minutes(-2)},
            None,
            (-2, -2, None),
        ),
        ({"timestamp": minutes(-2).replace("Z", "999999+0000")}, None, (-2, -2, None)),
        # The gap may be negative.
        ({"timestamp": minutes(8), "sent_at": minutes(1)}, None, (7, 8, 1)),
    ],
)
async def test_cases_33_to_37_times(
    fields: dict[str, str], batch_sent_at: str | None, times: tuple[float, float, float | None]
) -> None:
    """The timestamp is receivedAt - (sentAt - originalTimestamp), with rules for missing times."""
    stored = await stamped(made(**fields), sent_at=batch_sent_at)
    assert (stored.timestamp, stored.original_timestamp, stored.sent_at, stored.received_at) == (
        minutes(times[0]),
        minutes(times[1]),
        minutes(times[2]) if times[2] is not None else None,
        NOW,
    )


@pytest.mark.parametrize(
    ("fields", "notes", "raw"),
    [
        ({"timestamp": "garbage"}, ("timestamp_unreadable",), "garbage"),
        ({"sent_at": "x" * 500}, ("sent_at_unreadable",), "x" * 100),
        ({"timestamp": "0001-01-01T00:00:00Z"}, (), None),
        ({"timestamp": " ", "sent_at": ""}, (), None),
        ({"timestamp": minutes(1440)}, (), None),
        ({"timestamp": minutes(1440.1)}, ("timestamp_in_future",), None),
    ],
)
async def test_case_35_odd_times_are_noted(
    fields: dict[str, str], notes: tuple[str, ...], raw: str | None
) -> None:
    """An unreadable time is noted, up to a limit, and a time far in the future is flagged."""
    stored = await stamped(made(**fields))
    assert (stored.notes.notes, stored.notes.raw_timestamp) == (notes, raw)


times = st.none() | st.integers(-(10**13), 10**13).map(format_ms) | st.text(max_size=5)


@given(times, times, times, times)
@settings(max_examples=examples(25, 300))
def test_any_times(one: str | None, two: str | None, three: str | None, four: str | None) -> None:
    """For any times of the client, all times of a stored event are readable and in one form."""
    event = made(timestamp=one, original_timestamp=two, sent_at=three)
    stored = asyncio.run(stamped(event, sent_at=four))
    for text in (stored.timestamp, stored.original_timestamp, stored.received_at):
        assert text is not None
        assert format_ms(parse_ms(text) or 0) == text
    assert stored.sent_at is None or format_ms(parse_ms(stored.sent_at) or 0) == stored.sent_at


async def test_keys_name_sources() -> None:
    """Each key of a source leads to its id, also if the source is disabled."""
    intake = Harness().intake
    found = [intake.source_of(f"key-{n}") for n in range(1, 6)]
    assert found == ["web", "web", "app", "off", None]
    assert intake.write_keys("web") == ("key-1", "key-2")
    assert (intake.enabled("web"), intake.enabled("off")) == (True, False)


async def test_a_disabled_source_stores_nothing() -> None:
    """Events of a disabled source are counted as discarded, with those its source discarded."""
    async with Harness() as harness:
        receipt = await harness.accept(made(), made(), source_id="off", discarded=Counter(bad=1))
        assert (receipt.accepted, receipt.duplicate) == (0, 0)
        assert receipt.discarded == {"source_disabled": 2, "bad": 1}
        assert harness.ledger.source("off").discarded == receipt.discarded
        assert harness.stored() == []


async def test_every_event_is_counted_once() -> None:
    """received = accepted + discarded by code + duplicate."""
    async with Harness(("drop", Drop())) as harness:
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
    async with Harness() as harness:
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
    async with Harness(dedup=False) as harness:
        await harness.accept(made("a"), made("a"))
        assert len(harness.stored()) == 2


async def test_a_failing_transform_discards_and_complains_now_and_then() -> None:
    """Events of a failing transform are discarded, and the log says so once a minute."""
    async with Harness(("mask", Drop())) as harness:
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
    async with Harness() as harness:
        harness.store.failures = [QueueFull("disk full")]
        with pytest.raises(QueueFull):
            await harness.accept(made("a"), made("b", ""), discarded=Counter(bad_request=1))
        counts = harness.ledger.source("web")
        assert (counts.received, counts.refused) == (0, 3)

        assert (await harness.accept(made("a"), made("b", ""))).accepted == 1
        assert (counts.received, counts.refused) == (2, 3)


async def test_a_duplicate_waits_for_its_first_copy() -> None:
    """If the write of the first copy fails, the duplicate is refused too."""
    async with Harness() as harness:
        harness.store.failures = [QueueFull("disk full")]
        first, again = harness.accept(made("a")), harness.accept(made("a"))
        with_more = harness.accept(made("a"), made("b"))
        results = await asyncio.gather(first, again, with_more, return_exceptions=True)
        assert [type(result) for result in results] == [QueueFull] * 3
        assert (await harness.accept(made("a"), made("b"))).accepted == 2


async def test_a_duplicate_of_a_failed_write_is_refused_though_its_neighbours_are_stored() -> None:
    """A failed earlier write refuses the duplicate, but not the events that are stored."""
    async with Harness() as harness:
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
    async with Harness() as harness:
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

    async with Harness(("cut", Cut())) as harness:
        for _ in range(2):
            with pytest.raises(UnicodeEncodeError):
                await harness.accept(made("a"))
        assert harness.ids is not None
        assert len(harness.ids) == 0


async def test_a_closed_queue_refuses() -> None:
    """While the gateway stops, clients are told to send again."""
    async with Harness() as harness:
        pass
    with pytest.raises(QueueClosed):
        await harness.accept(made("a"))
    assert harness.ledger.source("web").refused == 1


async def test_small_events_do_not_hold_a_large_request() -> None:
    """If little of a request is left, its events do not keep the request's bytes alive."""
    body = b'[{"type":"track","properties":{"a":1}}' + b" " * 100_000 + b"]"
    (event,) = decode_events(body)
    event.event, event.user_id = "e", "u"
    async with Harness() as harness:
        await harness.accept(event, body_bytes=len(body))
        slice_ = await harness.queue.reader(0).read()
        assert slice_.events[0].properties == {"a": 1}
        assert slice_.events[0] is not event

        whole = made("m", raw_properties=Raw(b'{"a":1}'))
        await harness.accept(whole, body_bytes=100)
        assert (await harness.queue.reader(1).read()).events[0] is whole


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
        async with Harness(("drop", Drop())) as harness:
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
