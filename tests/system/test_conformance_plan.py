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
    """Returns a version of the rule for "Order Completed" that names these properties."""
    properties = {"properties": {name: {} for name in names}, "required": list(required)}
    return {
        "type": "TRACK",
        "key": "Order Completed",
        "version": version,
        "jsonSchema": {"properties": {"properties": properties}},
    }


class Harness:
    """An intake with a plan; `queue` has the stored events and `ledger` the counts."""

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
        """Returns the events of a source in the form that destinations see."""
        return [e.to_dict() for e in self.queue.stored if e.source_id == source_id]

    def counts(self, source_id: str) -> SourceCounts:
        return self.ledger.source(source_id)


Make = Callable[..., Harness]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes an intake whose plan has these rules and settings."""

    def made(*rules: Any, **options: Any) -> Harness:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({"rules": rules or [rule(1, "order_id")]}))
        config = PlanConfig(file="plan.json", **options)
        return Harness([("shop", Plan(config, read_plan(path), "shop"))])

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
    """An unplanned event is accepted and not delivered; it makes one copy and one report."""
    harness = make(**BLOCK)
    receipt = await harness.send(track("Order Complete"), track("Order Completed", "n"))
    assert (receipt.accepted, receipt.discarded) == (1, {"filtered:shop": 1})
    assert [event["messageId"] for event in harness.stored("web")] == ["n"]

    (copy,) = harness.stored("blocked")
    assert (copy["messageId"], copy["event"], copy["userId"]) == ("m", "Order Complete", "u")
    assert (copy["forwardedFromProject"], copy["context"]["protocols"]["sourceId"]) == ("web",) * 2

    (report,) = harness.stored("audit")
    assert (report["event"], report["userId"]) == ("Violation Generated", "schema-violations")
    assert report["properties"]["violationType"] == "Unplanned Event"
    assert report["properties"]["eventMessageID"] == "m"
    assert report["integrations"] == {}


async def test_case_44_a_report_is_not_validated(make: Make) -> None:
    """ "Violation Generated" is stored without a rule in the plan, also in the same source."""
    harness = make(**BLOCK | {"report_to": "web"})
    await harness.send(track("Unheard Of"))
    (report,) = harness.stored("web")
    assert report["event"] == "Violation Generated"
    # Sent by a client, it is an event like any other.
    await harness.send(track("Violation Generated", "x"))
    assert [e["properties"]["eventName"] for e in harness.stored("web")] == [
        "Unheard Of",
        "Violation Generated",
    ]


async def test_case_44_omitted_properties_are_listed(make: Make) -> None:
    """Unplanned properties are removed from the stored event and listed in it."""
    harness = make(unplanned_properties="omit")
    receipt = await harness.send(
        track("Order Completed", properties={"order_id": "o", "color": "red"})
    )
    assert (receipt.accepted, receipt.discarded) == (1, {})
    (event,) = harness.stored("web")
    assert event["properties"] == {"order_id": "o"}
    assert event["context"]["protocols"]["omitted"] == ["properties.color"]


@pytest.mark.parametrize(
    ("asked", "missing"),
    [(3.2, "old"), ("x", "old"), (True, "old"), (None, "old"), (9, "old"), (1, "old"), (2, "new")],
)
async def test_case_45_the_version_of_a_rule(make: Make, asked: Any, missing: str) -> None:
    """A rule's version is chosen by its number only; anything else gets the oldest."""
    harness = make(
        rule(2, required=("new",)),
        rule(1, required=("old",)),
        violations="block",
        report_to="audit",
    )
    protocols = {} if asked is None else {"event_version": asked}
    await harness.send(track("Order Completed", context={"protocols": protocols}))
    assert harness.stored("web") == []
    (report,) = harness.stored("audit")
    assert report["properties"]["violationField"] == f"properties.{missing}"


# -- events that a transform makes, at intake ------------------------------------------------------


async def test_what_is_made_is_counted_for_its_own_source(make: Make) -> None:
    """Events that transforms make are counted as accepted for their own sources."""
    harness = make(**BLOCK)
    await harness.send(track("x", "1"), track("y", "2"), track("Order Completed", "3"))
    web = harness.counts("web")
    assert (web.accepted, web.discarded, web.received) == (1, {"filtered:shop": 2}, 3)
    for source_id in ("audit", "blocked"):
        assert (harness.counts(source_id).accepted, harness.counts(source_id).received) == (2, 2)


async def test_what_a_client_sends_again_is_reported_once(make: Make) -> None:
    """An event sent again is reported once, also after a restart."""
    harness = make(**BLOCK)
    await harness.send(track("x"))
    assert (await harness.send(track("x"))).duplicate == 1
    harness.ids.forget("web", [track("x")])
    assert (await harness.send(track("x"))).duplicate == 0
    for source_id in ("audit", "blocked"):
        assert len(harness.stored(source_id)) == 1
        assert (harness.counts(source_id).accepted, harness.counts(source_id).duplicate) == (1, 1)


async def test_what_was_made_is_refused_with_what_it_was_made_of(make: Make) -> None:
    """If the queue is full, neither the event nor its report is stored or counted."""
    harness = make(**BLOCK)
    harness.queue.error = QueueFull("disk full")
    with pytest.raises(QueueFull):
        await harness.send(track("x"), track("Order Completed", "n"))
    assert [harness.counts(source_id).received for source_id in SOURCES] == [0, 0, 0, 0]

    harness.queue.error = None
    await harness.send(track("x"), track("Order Completed", "n"))
    counts = [harness.counts(source_id).accepted for source_id in ("web", "audit", "blocked")]
    assert counts == [1, 1, 1]
    assert len(harness.queue.stored) == 3


async def test_a_disabled_source_gets_no_reports(make: Make) -> None:
    """Reports to a disabled source are counted as discarded."""
    harness = make(unplanned_event="block", report_to="off")
    await harness.send(track("x"))
    assert harness.queue.stored == []
    assert harness.counts("off").discarded == Counter(source_disabled=1)


def test_reports_to_a_source_that_there_is_not(make: Make) -> None:
    """Reports to an unknown source stop the start, and the error names both."""
    with pytest.raises(ConfigError, match=r"^transforms\.shop: there is no source 'nobody'$"):
        make(report_to="nobody")


async def test_without_dedup_everything_that_is_made_is_stored(make: Make) -> None:
    """Without de-duplication, events that transforms make are stored every time."""
    harness = make(**BLOCK)
    harness.intake._recent_ids = None
    await asyncio.gather(harness.send(track("x")), harness.send(track("x")))
    assert len(harness.stored("audit")) == len(harness.stored("blocked")) == 2


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
    """The plan is found beside the config file, and its reports go through the real queue."""
    async with running(tmp_path, CONFIG) as gateway:
        receipt = await gateway.intake.accept(Arrival("web", gateway.clock(), [track("x")]))
        assert receipt.discarded == {"filtered:shop": 1}
        assert gateway.ledger.source("audit").accepted == 1
        assert gateway.queue.end == 1


async def test_a_report_to_nobody_stops_the_start(tmp_path: Path) -> None:
    """A misspelt source for reports stops the start."""
    with pytest.raises(ConfigError, match=r"transforms\.shop: there is no source 'audits'"):
        async with running(tmp_path, CONFIG.replace('"audit"', '"audits"')):
            pass
