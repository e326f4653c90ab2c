"""Events that a plan makes: reports of violations, and copies of blocked events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway import Event
from gateway.testing import make_event
from headgate_quality.config import MAX_REPORTS, MAX_VIOLATIONS
from headgate_quality.violations import MAX_TEXT

Build = Callable[..., Any]


def order(**properties: Any) -> Event:
    return make_event(properties={"order_id": "o-1", **properties}, version=2)


def test_a_report_has_the_form_that_segment_gives_it(build: Build) -> None:
    """Each violation is one event of the other source, without values of the event."""
    event = make_event(
        message_id="m-1",
        properties={"total": "s3cret"},
        context={
            "app": {"name": "Shop", "version": "7.1", "secret": "s3cret"},
            "library": {"name": "analytics.js", "version": "2"},
            "ip": "192.0.2.1",
        },
        version=2,
    )
    outcome = build(report_to="audit").run(event)
    assert len(outcome.kept) == 1
    reports = sorted(
        (each.to_dict() for each in outcome.made), key=lambda e: e["properties"]["violationType"]
    )
    assert [each["properties"]["violationType"] for each in reports] == ["Invalid Type", "Required"]
    ids = {each.pop("messageId") for each in reports}
    assert len(ids) == 2
    assert all(id_.startswith("sch-") and len(id_) == 36 for id_ in ids)
    assert "s3cret" not in json.dumps(reports)
    assert reports[1] == {
        "type": "track",
        "event": "Violation Generated",
        "userId": "schema-violations",
        "timestamp": event.received_at,
        "originalTimestamp": event.received_at,
        "sentAt": event.received_at,
        "receivedAt": event.received_at,
        "sourceId": "audit",
        "version": 2,
        "integrations": {},
        "context": {
            "app": {"name": "Shop", "version": "7.1"},
            "library": {"name": "analytics.js", "version": "2"},
        },
        "forwardedFromProject": "web",
        "properties": {
            "appVersion": "7.1",
            "eventMessageID": "m-1",
            "eventName": "Order Completed",
            "eventSentAt": event.sent_at,
            "eventTimestamp": event.timestamp,
            "eventType": "track",
            "sourceID": "web",
            "sourceName": "web",
            "sourceSlug": "web",
            "trackingPlanID": "rs_1",
            "trackingPlanName": "Shop",
            "violationDescription": "properties.order_id is required",
            "violationField": "properties.order_id",
            "violationType": "Required",
        },
    }


def test_a_report_has_the_same_id_each_time(build: Build) -> None:
    """Only the source, the event's id and the violation determine it."""
    chain = build(report_to="audit")

    def ids(**fields: Any) -> set[str]:
        added = chain.run(make_event(**{"message_id": "m", "event": "x", **fields})).made
        return {event.message_id for event in added}

    assert len(ids()) == 1
    assert ids() == ids(received_at="2026-12-24T00:00:00.000Z")
    assert ids().isdisjoint(ids(message_id="n") | ids(source_id="app"))


def test_what_a_report_repeats_is_short(build: Build) -> None:
    """A report stays short for client texts of any length."""
    long = "x" * 30_000
    context = {"app": {"version": long, "name": [long]}, "library": long}
    (made,) = build(report_to="audit").run(make_event(event=long, context=context)).made
    assert made.context == {"app": {"version": "x" * MAX_TEXT}, "library": None}
    assert made.size < 2000


@pytest.mark.parametrize(("options", "number"), [({}, MAX_VIOLATIONS), ({"max_violations": 2}, 2)])
def test_the_violations_of_an_event_are_bounded(
    build: Build, options: dict[str, int], number: int
) -> None:
    """The bound limits records and reports, not omissions."""
    event = order(**{f"p{i}": 1 for i in range(30)}, products=[{"sku": 1}] * 30)
    chain = build(report_to="audit", unplanned_properties="omit", violations="omit", **options)
    outcome = chain.run(event)
    assert len(outcome.made) == number
    assert {len(each) for each in outcome.protocols.values()} == {number}
    assert outcome.kept[0].properties == {"order_id": "o-1", "products": [{}] * 30}


@pytest.mark.parametrize(("options", "number"), [({}, MAX_REPORTS), ({"max_reports": 7}, 7)])
def test_the_reports_of_a_request_are_bounded(
    build: Build, options: dict[str, int], number: int
) -> None:
    """All events are checked and recorded, and the next request has its own bound."""
    chain = build(report_to="audit", **options)
    for _ in range(2):
        outcome = chain.run(*(make_event(event="x") for _ in range(MAX_REPORTS + 10)))
        assert len(outcome.made) == number
        assert all("protocols" in event.context for event in outcome.kept)


def test_a_blocked_event_is_forwarded_as_it_was_sent(build: Build) -> None:
    """The copy belongs to the other source, with its origin and the violations."""
    event = order(total="1", color="red")
    event.context = {"locale": "de"}
    event.extra = {"tenant": "t"}
    sent = event.to_dict()
    outcome = build(violations="block", forward_blocked_to="blocked").run(event)
    assert outcome.kept == []
    (copy,) = outcome.made
    found = copy.to_dict()
    assert found["context"].pop("protocols") == {
        "sourceId": "web",
        "violations": [
            {"type": kind, "field": field, "description": f"{field} is not {what}"}
            for kind, field, what in (
                ("Invalid Type", "properties.total", "of type number"),
                ("Unplanned Property", "properties.color", "in the plan"),
            )
        ],
    }
    assert found == sent | {"sourceId": "blocked", "forwardedFromProject": "web"}


def test_an_event_with_omissions_is_not_forwarded(build: Build) -> None:
    """Only events that are still as sent are forwarded."""
    chain = build(
        unplanned_properties="omit", violations="block", forward_blocked_to="b", report_to="r"
    )
    outcome = chain.run(order(total="1", color="red"))
    assert (outcome.kept, [event.source_id for event in outcome.made]) == ([], ["r", "r"])


def test_an_event_that_is_not_blocked_is_not_forwarded(build: Build) -> None:
    """Forwarding is for blocked events only."""
    assert build(forward_blocked_to="b").run(make_event(event="x")).made == []


def test_the_sources_that_it_adds_to(build: Build) -> None:
    """The gateway checks at the start that they exist."""
    assert build().plan.adds_to == ()
    assert build(report_to="a", forward_blocked_to="a").plan.adds_to == ("a",)
    assert build(report_to="a", forward_blocked_to="b").plan.adds_to == ("a", "b")
