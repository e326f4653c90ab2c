"""Conformance of the tracking API, cases 44 and 45: a tracking plan at intake."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from gateway.builtin.plan import Plan, PlanConfig
from gateway.builtin.plan_rules import read_plan
from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.config.load import load
from gateway.config.settings import SourceSettings
from gateway.errors import ConfigError, QueueFull
from gateway.events.event import Event
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.intake import Arrival, Intake, Receipt
from gateway.queue.batching import BatchingQueue
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from gateway.state.ledger.counts import Ledger, SourceCounts
from gateway.testing import ManualClock
from tests.support.segment_fakes import FakeQueue

SOURCES = {
    "web": SourceSettings(type="segment", write_key="w"),
    "audit": SourceSettings(type="segment", write_key="a"),
    "blocked": SourceSettings(type="segment", write_key="b"),
    "off": SourceSettings(type="segment", write_key="o", enabled=False),
}


def rule(version: int, *names: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A version of the rule for "Order Completed" that names these properties."""
    properties = {"properties": {name: {} for name in names}, "required": list(required)}
    return {
        "type": "TRACK",
        "key": "Order Completed",
        "version": version,
        "jsonSchema": {"properties": {"properties": properties}},
    }


class House:
    """An intake with a plan; `queue` is what is stored and `ledger` what is counted."""

    def __init__(self, steps: list[tuple[str, Transform]]) -> None:
        self.queue = FakeQueue()
        self.ledger = Ledger()
        self.clock = ManualClock()
        self.ids = RecentIds(3_600_000, 10_000)
        self.intake = Intake(
            IntakeContext(
                sources=SOURCES,
                queue=cast("BatchingQueue", self.queue),
                recent_ids=self.ids,
                transforms=Chain(steps),
                ledger=self.ledger,
                clock=self.clock,
                log=structlog.get_logger(),
            )
        )

    async def send(self, *events: Event, source_id: str = "web") -> Receipt:
        return await self.intake.accept(Arrival(source_id, self.clock(), list(events)))

    def stored(self, source_id: str) -> list[dict[str, Any]]:
        """What destinations see of a source."""
        return [e.to_dict() for e in self.queue.stored if e.source_id == source_id]

    def counts(self, source_id: str) -> SourceCounts:
        return self.ledger.source(source_id)


Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes an intake whose plan has these rules and settings."""

    def made(*rules: Any, **options: Any) -> House:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({"rules": rules or [rule(1, "order_id")]}))
        config = PlanConfig(file="plan.json", **options)
        return House([("shop", Plan(config, read_plan(path), "shop"))])

    return made


def track(name: str, message_id: str = "m", **fields: Any) -> Event:
    event = Event(type="track", event=name, user_id="u", message_id=message_id)
    for key, value in fields.items():
        setattr(event, key, value)
    return event


BLOCK: dict[str, Any] = {
    "unplanned_event": "block",
    "report_to": "audit",
    "forward_blocked_to": "blocked",
}


async def test_case_44_an_unplanned_event_is_blocked_forwarded_and_reported(make: Make) -> None:
    """It is answered as accepted and not delivered; there is one copy of it and one report."""
    house = make(**BLOCK)
    receipt = await house.send(track("Order Complete"), track("Order Completed", "n"))
    assert (receipt.accepted, receipt.discarded) == (1, {"filtered:shop": 1})
    assert [event["messageId"] for event in house.stored("web")] == ["n"]

    (copy,) = house.stored("blocked")
    assert (copy["messageId"], copy["event"], copy["userId"]) == ("m", "Order Complete", "u")
    assert (copy["forwardedFromProject"], copy["context"]["protocols"]["sourceId"]) == ("web",) * 2

    (report,) = house.stored("audit")
    assert (report["event"], report["userId"]) == ("Violation Generated", "schema-violations")
    assert report["properties"]["violationType"] == "Unplanned Event"
    assert report["properties"]["eventMessageID"] == "m"
    assert report["integrations"] == {}


async def test_case_44_a_report_is_not_validated(make: Make) -> None:
    """No plan has "Violation Generated", and it is stored all the same, also in the same source."""
    house = make(**BLOCK | {"report_to": "web"})
    await house.send(track("Unheard Of"))
    (report,) = house.stored("web")
    assert report["event"] == "Violation Generated"
    # Sent by a client, it is an event like any other.
    await house.send(track("Violation Generated", "x"))
    assert [e["properties"]["eventName"] for e in house.stored("web")] == [
        "Unheard Of",
        "Violation Generated",
    ]


async def test_case_44_omitted_properties_are_listed(make: Make) -> None:
    """What is not in the plan is absent from the stored event, which says so."""
    house = make(unplanned_properties="omit")
    receipt = await house.send(
        track("Order Completed", properties={"order_id": "o", "color": "red"})
    )
    assert (receipt.accepted, receipt.discarded) == (1, {})
    (event,) = house.stored("web")
    assert event["properties"] == {"order_id": "o"}
    assert event["context"]["protocols"]["omitted"] == ["properties.color"]


@pytest.mark.parametrize(
    ("asked", "missing"),
    [(3.2, "old"), ("x", "old"), (True, "old"), (None, "old"), (9, "old"), (1, "old"), (2, "new")],
)
async def test_case_45_the_version_of_a_rule(make: Make, asked: Any, missing: str) -> None:
    """Only the number of a version picks it; whatever else is asked for gets the oldest."""
    house = make(
        rule(2, required=("new",)),
        rule(1, required=("old",)),
        violations="block",
        report_to="audit",
    )
    protocols = {} if asked is None else {"event_version": asked}
    await house.send(track("Order Completed", context={"protocols": protocols}))
    assert house.stored("web") == []
    (report,) = house.stored("audit")
    assert report["properties"]["violationField"] == f"properties.{missing}"


# -- events that a transform makes, at intake ------------------------------------------------------


async def test_what_is_made_is_counted_for_its_own_source(make: Make) -> None:
    """The client's source has what the client sent; the others have accepted what was made."""
    house = make(**BLOCK)
    await house.send(track("x", "1"), track("y", "2"), track("Order Completed", "3"))
    web = house.counts("web")
    assert (web.accepted, web.discarded, web.received) == (1, {"filtered:shop": 2}, 3)
    for source_id in ("audit", "blocked"):
        assert (house.counts(source_id).accepted, house.counts(source_id).received) == (2, 2)


async def test_what_a_client_sends_again_is_reported_once(make: Make) -> None:
    """Also where nobody remembers the blocked event itself, as after a restart."""
    house = make(**BLOCK)
    await house.send(track("x"))
    assert (await house.send(track("x"))).duplicate == 1
    house.ids.forget("web", [track("x")])
    assert (await house.send(track("x"))).duplicate == 0
    for source_id in ("audit", "blocked"):
        assert len(house.stored(source_id)) == 1
        assert (house.counts(source_id).accepted, house.counts(source_id).duplicate) == (1, 1)


async def test_what_was_made_is_refused_with_what_it_was_made_of(make: Make) -> None:
    """Where the queue is full nothing is stored or counted; sent again, all of it is."""
    house = make(**BLOCK)
    house.queue.error = QueueFull("disk full")
    with pytest.raises(QueueFull):
        await house.send(track("x"), track("Order Completed", "n"))
    assert [house.counts(source_id).received for source_id in SOURCES] == [0, 0, 0, 0]

    house.queue.error = None
    await house.send(track("x"), track("Order Completed", "n"))
    counts = [house.counts(source_id).accepted for source_id in ("web", "audit", "blocked")]
    assert counts == [1, 1, 1]
    assert len(house.queue.stored) == 3


async def test_a_disabled_source_gets_no_reports(make: Make) -> None:
    """They are counted as its other events are, and thrown away."""
    house = make(unplanned_event="block", report_to="off")
    await house.send(track("x"))
    assert house.queue.stored == []
    assert house.counts("off").discarded == Counter(source_disabled=1)


def test_reports_to_a_source_that_there_is_not(make: Make) -> None:
    """It stops the start, and says which transform and which source."""
    with pytest.raises(ConfigError, match=r"^transforms\.shop: there is no source 'nobody'$"):
        make(report_to="nobody")


async def test_without_dedup_everything_that_is_made_is_stored(make: Make) -> None:
    """As it is for what clients send."""
    house = make(**BLOCK)
    house.intake._recent_ids = None
    await asyncio.gather(house.send(track("x")), house.send(track("x")))
    assert len(house.stored("audit")) == len(house.stored("blocked")) == 2


# -- with everything around it ---------------------------------------------------------------------

CONFIG = """
[queue]
type = "memory"
[sources.web]
type = "segment"
write_key = "w"
[sources.audit]
type = "segment"
[transforms.shop]
type = "plan"
file = "plans/shop.json"
unplanned_event = "block"
report_to = "audit"
"""


@asynccontextmanager
async def running(folder: Path, config: str) -> AsyncIterator[Gateway]:
    (folder / "plans").mkdir(exist_ok=True)
    (folder / "plans" / "shop.json").write_text(json.dumps({"rules": [rule(1)]}))
    path = folder / "config.toml"
    path.write_text(config)
    async with Gateway(load(path, {}), discover(installed=())).running() as gateway:
        yield gateway


async def test_a_plan_in_a_config_file(tmp_path: Path) -> None:
    """The file is found beside the config, and the reports go through the real queue."""
    async with running(tmp_path, CONFIG) as gateway:
        receipt = await gateway.intake.accept(Arrival("web", gateway.clock(), [track("x")]))
        assert receipt.discarded == {"filtered:shop": 1}
        assert gateway.ledger.source("audit").accepted == 1
        assert gateway.queue.end == 1


async def test_a_report_to_nobody_stops_the_start(tmp_path: Path) -> None:
    """A misspelt source is found before the first event."""
    with pytest.raises(ConfigError, match=r"transforms\.shop: there is no source 'audits'"):
        async with running(tmp_path, CONFIG.replace('"audit"', '"audits"')):
            pass
