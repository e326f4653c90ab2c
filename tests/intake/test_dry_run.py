"""The dry run of intake gives the results of intake, and stores nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.config.settings import SourceSettings
from gateway.events.envelope.arrival import Arrival
from gateway.events.event import Event, encode_events
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.dry_run import IntakeDryRun
from gateway.intake.intake import Intake
from gateway.queue.batching import BatchingQueue
from gateway.state.ledger.counts import Ledger
from gateway.testing import START_MS, ManualClock
from tests.support.segment_fakes import FakeQueue


class Drop(Transform):
    """Drops events by name, and raises on some."""

    mutates = False

    def apply(self, events: list[Event]) -> list[Event]:
        if any(event.event == "raise" for event in events):
            raise ValueError
        return [event for event in events if event.event != "drop"]


class Upper(Transform):
    """Changes the names of events."""

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.event = (event.event or "").upper()
        return events


REQUESTS = st.lists(
    st.builds(
        Event,
        type=st.sampled_from(["track", "track", "alias", "purchase"]),
        event=st.sampled_from(["kept", "drop", "raise", " ", None]),
        user_id=st.sampled_from(["ada", "suppressed", None]),
        previous_id=st.sampled_from(["suppressed", "before"]),
        message_id=st.sampled_from(["a", "b", "c", "d", "e"]),
    ),
    max_size=6,
)


def context() -> IntakeContext:
    """Returns the parts of an intake over a queue that keeps all it is given."""
    return IntakeContext(
        sources={
            "web": SourceSettings(type="segment", write_key="w"),
            "off": SourceSettings(type="segment", write_key="o", enabled=False),
        },
        queue=cast("BatchingQueue", FakeQueue()),
        recent_ids=RecentIds(3_600_000, 1000),
        transforms=Chain([("drop", Drop()), ("upper", Upper())]),
        ledger=Ledger(),
        clock=ManualClock(),
        log=structlog.get_logger(),
        suppressed={"suppressed"},
    )


def stored(parts: IntakeContext) -> list[Event]:
    return cast("FakeQueue", parts.queue).stored


@given(REQUESTS, st.sampled_from(["web", "off"]))
def test_a_dry_run_gives_the_results_of_intake(request: list[Event], source_id: str) -> None:
    """For any request, the dry run finds the stored events, the codes and the duplicates."""
    real = context()
    arrival = Arrival(source_id, START_MS, [event.copy() for event in request])
    receipt = asyncio.run(Intake(real).accept(arrival))
    intake = IntakeDryRun(context())
    asyncio.run(intake.accept(Arrival(source_id, START_MS, [event.copy() for event in request])))
    assert len(intake.results) == len(request)
    new = [result for result in intake.results if not result.duplicate]
    kept = [result.event.to_dict() for result in new if not result.code]
    assert kept == [event.to_dict() for event in stored(real)]
    assert Counter(result.code for result in new if result.code) == receipt.discarded
    assert len(request) - len(new) == receipt.duplicate


@given(REQUESTS)
def test_take_in_gives_the_results_of_accept(request: list[Event]) -> None:
    """A whole request at once gives the same events and codes as the dry run step by step."""
    intake = IntakeDryRun(context())
    found = intake.take_in("web", [event.copy() for event in request], START_MS)
    asyncio.run(intake.accept(Arrival("web", START_MS, [event.copy() for event in request])))
    expected = [result.code or encode_events([result.event]) for result in intake.results]
    assert [f if isinstance(f, str) else encode_events([f]) for f in found] == expected


def test_a_dry_run_leaves_nothing_behind() -> None:
    """A dry run stores, counts and remembers nothing."""
    parts = context()
    intake = IntakeDryRun(parts)
    event = Event(type="track", event="kept", user_id="ada", message_id="a")
    receipt = asyncio.run(intake.accept(Arrival("web", START_MS, [event])))
    intake.reject("invalid_json")
    intake.refuse("web", 1)
    assert (receipt.accepted, [result.code for result in intake.results]) == (0, [""])
    assert stored(parts) == []
    assert parts.ledger.sources == {}
    assert parts.ledger.rejected_requests == {}
    assert parts.recent_ids is not None
    assert len(parts.recent_ids) == 0
