"""The dry run of intake gives the results of intake, and stores nothing."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.components.transform import Transform
from gateway.events.envelope.arrival import Arrival
from gateway.events.event import Event, encode_events
from gateway.intake.dry_run import IntakeDryRun
from gateway.testing import START_MS
from tests.support.intake_harness import IntakeHarness, make_source


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


def make_harness() -> IntakeHarness:
    return IntakeHarness(
        sources={"web": make_source("w"), "off": make_source("o", enabled=False)},
        transforms=[("drop", Drop()), ("upper", Upper())],
        suppressed={"suppressed"},
    )


@given(REQUESTS, st.sampled_from(["web", "off"]))
def test_a_dry_run_gives_the_results_of_intake(request: list[Event], source_id: str) -> None:
    """For any request, the dry run finds the stored events, the codes and the duplicates."""
    real = make_harness()
    arrival = Arrival(source_id, START_MS, [event.copy() for event in request])
    receipt = asyncio.run(real.intake.accept(arrival))
    intake = IntakeDryRun(make_harness().context)
    asyncio.run(intake.accept(Arrival(source_id, START_MS, [event.copy() for event in request])))
    assert len(intake.results) == len(request)
    new = [result for result in intake.results if not result.duplicate]
    kept = [result.event.to_dict() for result in new if not result.code]
    assert kept == [event.to_dict() for event in real.stored()]
    assert Counter(result.code for result in new if result.code) == receipt.discarded
    assert len(request) - len(new) == receipt.duplicate


@given(REQUESTS)
def test_take_in_gives_the_results_of_accept(request: list[Event]) -> None:
    """A whole request at once gives the same events and codes as the dry run step by step."""
    intake = IntakeDryRun(make_harness().context)
    found = intake.take_in("web", [event.copy() for event in request], START_MS)
    asyncio.run(intake.accept(Arrival("web", START_MS, [event.copy() for event in request])))
    expected = [result.code or encode_events([result.event]) for result in intake.results]
    assert [f if isinstance(f, str) else encode_events([f]) for f in found] == expected


def test_a_dry_run_leaves_nothing_behind() -> None:
    """A dry run stores, counts and remembers nothing."""
    harness = make_harness()
    intake = IntakeDryRun(harness.context)
    event = Event(type="track", event="kept", user_id="ada", message_id="a")
    receipt = asyncio.run(intake.accept(Arrival("web", START_MS, [event])))
    intake.reject("invalid_json")
    intake.refuse("web", 1)
    assert (receipt.accepted, [result.code for result in intake.results]) == (0, [""])
    assert harness.stored() == []
    assert harness.ledger.sources == {}
    assert harness.ledger.rejected_requests == {}
    assert len(harness.ids) == 0
