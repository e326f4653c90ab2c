"""The transform ``plan``: what is blocked, left out, recorded, reported and forwarded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.builtin import plan as module
from gateway.builtin.plan import MAX_REPORTS, MAX_VIOLATIONS, Plan, PlanConfig
from gateway.builtin.plan_rules import MAX_ERRORS, MAX_TEXT
from gateway.components.chain import Chain, Outcome
from gateway.components.transform import TransformSpec
from gateway.config.decode import Table
from gateway.errors import ConfigError
from gateway.events.event import Event
from gateway.testing import make_context, make_event

PRODUCTS = {"type": "array", "items": {"properties": {"sku": {"type": "string"}}}}
ORDER = {
    "properties": {
        "properties": {
            "type": "object",
            "required": ["order_id"],
            "properties": {
                "order_id": {"type": "string"},
                "total": {"type": "number"},
                "products": PRODUCTS,
            },
        }
    }
}
PERSON = {"properties": {"traits": {"properties": {"plan": {"enum": ["free", "paid"]}}}}}
RULES = [
    {"type": "TRACK", "key": "Order Completed", "version": 1, "jsonSchema": ORDER},
    {"type": "PAGE", "key": "Home", "version": 1, "jsonSchema": ORDER},
    {"type": "IDENTIFY", "version": 1, "jsonSchema": PERSON},
    {"type": "GROUP", "version": 1, "jsonSchema": PERSON},
]
COMMON = {
    "type": "COMMON",
    "jsonSchema": {"required": ["userId"], "properties": {"context": {"required": ["locale"]}}},
}

Build = Callable[..., Chain]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Makes a chain of one plan with these settings, built as the gateway builds it."""
    specs: list[TransformSpec[Any]] = []
    module.register_transforms(specs.append)

    def built(*more_rules: Any, **options: Any) -> Chain:
        tree = {"id": "rs_1", "name": "Shop", "rules": [*RULES, *more_rules]}
        (tmp_path / "plan.json").write_text(json.dumps(tree))
        config = Table("transforms.shop", {"file": "plan.json", **options}).decode(specs[0].config)
        return Chain([("shop", specs[0].build(config, make_context(tmp_path, "shop")))])

    return built


def order(**properties: Any) -> Event:
    return make_event(properties={"order_id": "o-1", **properties}, version=2)


def protocols(outcome: Outcome) -> Any:
    (event,) = outcome.kept
    return event.to_dict().get("context", {}).get("protocols")


def test_an_event_as_planned_is_left_alone(build: Build) -> None:
    """Nothing is recorded, made or changed."""
    events = [order(total=1.5, products=[{"sku": "a"}]), make_event(type="alias", previous_id="x")]
    before = [event.to_json() for event in events]
    outcome = build(
        unplanned_event="block", unplanned_properties="omit", violations="block", report_to="audit"
    ).run(events)
    assert [event.to_json() for event in outcome.kept] == before
    assert outcome.added == []


def test_everything_is_allowed_by_default(build: Build) -> None:
    """Violations are recorded in `context.protocols`, beside what the client has there."""
    event = order(total="1", color="red")
    event.context = {"locale": "de", "protocols": {"event_version": 1}}
    outcome = build().run([event])
    assert outcome.added == []
    assert outcome.kept[0].properties == {"order_id": "o-1", "total": "1", "color": "red"}
    assert outcome.kept[0].context["locale"] == "de"
    assert protocols(outcome) == {
        "event_version": 1,
        "violations": [
            {
                "type": "Invalid Type",
                "field": "properties.total",
                "description": "properties.total is not of type number",
            },
            {
                "type": "Unplanned Property",
                "field": "properties.color",
                "description": "properties.color is not in the plan",
            },
        ],
    }


@pytest.mark.parametrize(
    ("action", "kept", "filtered"), [("allow", 1, {}), ("block", 0, {"shop": 1})]
)
def test_unplanned_events(build: Build, action: str, kept: int, filtered: dict[str, int]) -> None:
    """A track event without a rule is let through or dropped, and counted under the plan's id."""
    outcome = build(unplanned_event=action).run([make_event(event="order completed")])
    dropped = {id_: len(events) for id_, events in outcome.filtered.items()}
    assert (len(outcome.kept), dropped) == (kept, filtered)
    if kept:
        (violation,) = protocols(outcome)["violations"]
        assert violation["type"] == "Unplanned Event"


def test_only_track_events_are_unplanned(build: Build) -> None:
    """A page without a rule goes on as it is."""
    outcome = build(unplanned_event="block").run([make_event(type="page", event=None, name="x")])
    assert protocols(outcome) is None


@pytest.mark.parametrize("kind", ["track", "page"])
def test_unplanned_properties_are_left_out(build: Build, kind: str) -> None:
    """What the rule does not name goes, at any depth; what was left out is listed."""
    event = order(color="red", products=[{"sku": "a", "note": "x"}, {"sku": "b"}])
    event.type = kind
    event.name = "Home"
    outcome = build(unplanned_properties="omit", violations="block").run([event])
    assert outcome.kept[0].to_dict()["properties"] == {
        "order_id": "o-1",
        "products": [{"sku": "a"}, {"sku": "b"}],
    }
    assert protocols(outcome)["omitted"] == ["properties.color", "properties.products[0].note"]
    assert "omitted_on_violation" not in protocols(outcome)


def test_invalid_properties_are_left_out(build: Build) -> None:
    """What has the wrong value goes; what is missing cannot."""
    event = make_event(properties={"total": "s3cret", "products": [{"sku": 1}, {"sku": "b"}]})
    outcome = build(violations="omit").run([event])
    assert outcome.kept[0].to_dict()["properties"] == {"products": [{}, {"sku": "b"}]}
    found = protocols(outcome)
    assert sorted(found["omitted_on_violation"]) == [
        "properties.products[0].sku",
        "properties.total",
    ]
    assert [v["type"] for v in found["violations"]].count("Required") == 1
    assert "s3cret" not in json.dumps(found)


def test_the_body_as_a_whole_is_not_left_out(build: Build) -> None:
    """Where no single property is at fault none is taken out."""
    schema = {"properties": {"properties": {"minProperties": 3}}}
    rule = {"type": "TRACK", "key": "Few", "version": 1, "jsonSchema": schema}
    outcome = build(rule, violations="omit").run([make_event(event="Few", properties={"a": 1})])
    assert outcome.kept[0].properties == {"a": 1}
    assert list(protocols(outcome)) == ["violations"]


@pytest.mark.parametrize(("action", "kept"), [("allow", 1), ("omit", 0), ("block", 0)])
def test_too_much_to_leave_out(build: Build, action: str, kept: int) -> None:
    """Where there is too much to take out one by one, nothing that is wrong goes on."""
    event = order(products=[{"sku": 1}] * (MAX_ERRORS + 1))
    outcome = build(violations=action, report_to="audit").run([event])
    assert (len(outcome.kept), len(outcome.added)) == (kept, 1)


@pytest.mark.parametrize(
    "options", [{"violations": "block"}, {"common_violations": "block"}, {"violations": "allow"}]
)
def test_what_blocked_an_event_is_told_first(build: Build, options: dict[str, str]) -> None:
    """However much else there is to tell: what is unplanned comes last."""
    event = make_event(properties={f"p{i}": 1 for i in range(30)}, context={"ip": "::1"})
    outcome = build(COMMON, report_to="audit", max_violations=1, **options).run([event])
    (report,) = outcome.added
    assert report.properties["violationType"] == "Required"
    assert (outcome.kept == []) == ("block" in options.values())


@pytest.mark.parametrize("kind", ["identify", "group"])
def test_traits_have_settings_of_their_own(build: Build, kind: str) -> None:
    """Those of properties do not hold for them."""

    def person() -> Event:
        return make_event(type=kind, event=None, group_id="g", traits={"plan": "x", "age": 7})

    for_properties = {"unplanned_properties": "omit", "violations": "block"}
    assert build(**for_properties).run([person()]).kept[0].traits == {"plan": "x", "age": 7}
    assert build(unplanned_traits="omit").run([person()]).kept[0].traits == {"plan": "x"}
    assert build(trait_violations="omit").run([person()]).kept[0].traits == {"age": 7}
    assert build(trait_violations="block").run([person()]).kept == []


@pytest.mark.parametrize(
    ("setting", "kept"),
    [("allow", 2), ("block", 0), ({"track": "block"}, 1), ({"alias": "block"}, 1), ({}, 2)],
)
def test_the_common_rule(build: Build, setting: Any, kept: int) -> None:
    """It is for the whole event, of every type, and blocks those types that are named."""
    events = [order(), make_event(type="alias", event=None, previous_id="x", context={"ip": "::1"})]
    for event in events:
        event.context = {"ip": "192.0.2.1"}
    outcome = build(COMMON, common_violations=setting).run(events)
    assert len(outcome.kept) == kept
    for event in outcome.kept:
        (violation,) = event.context["protocols"]["violations"]
        assert (violation["type"], violation["field"]) == ("Required", "context.locale")


def test_the_common_rule_comes_last(build: Build) -> None:
    """It sees the event without what the standard controls have left out of it."""
    schema = {"properties": {"properties": {"properties": {"color": False}}}}
    common = {"type": "COMMON", "jsonSchema": schema}
    chain = build(common, common_violations="block", unplanned_properties="omit")
    assert len(chain.run([order(color="red")]).kept) == 1
    assert build(common, common_violations="block").run([order(color="red")]).kept == []


def test_only_events_of_named_sources_are_checked(build: Build) -> None:
    """A plan is for the sources that it names, or for all."""
    events = [make_event(event="x", source_id=source) for source in ("web", "app")]
    outcome = build(unplanned_event="block", sources=["app"]).run(events)
    assert [event.source_id for event in outcome.kept] == ["web"]


# -- reports ---------------------------------------------------------------------------------------


def test_a_report_has_the_form_that_segment_gives_it(build: Build) -> None:
    """One event of the other source for each violation, with nothing of the event's values."""
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
    kept, made = (o := build(report_to="audit").run([event])).kept, o.added
    assert len(kept) == 1
    reports = sorted(
        (each.to_dict() for each in made), key=lambda e: e["properties"]["violationType"]
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
    """It follows from the source, the event's id and the violation, and from nothing else."""
    chain = build(report_to="audit")

    def ids(**fields: Any) -> set[str]:
        added = chain.run([make_event(**{"message_id": "m", "event": "x", **fields})]).added
        return {event.message_id for event in added}

    assert len(ids()) == 1
    assert ids() == ids(received_at="2026-12-24T00:00:00.000Z")
    assert ids().isdisjoint(ids(message_id="n") | ids(source_id="app"))


def test_what_a_report_repeats_is_short(build: Build) -> None:
    """However long a client's texts are, a report of its event is not."""
    long = "x" * 30_000
    context = {"app": {"version": long, "name": [long]}, "library": long}
    (made,) = build(report_to="audit").run([make_event(event=long, context=context)]).added
    assert made.context == {"app": {"version": "x" * MAX_TEXT}, "library": None}
    assert made.size < 2000


@pytest.mark.parametrize(("options", "number"), [({}, MAX_VIOLATIONS), ({"max_violations": 2}, 2)])
def test_the_violations_of_an_event_are_bounded(
    build: Build, options: dict[str, int], number: int
) -> None:
    """Only so many are recorded and reported; all that is to be left out is left out."""
    event = order(**{f"p{i}": 1 for i in range(30)}, products=[{"sku": 1}] * 30)
    chain = build(report_to="audit", unplanned_properties="omit", violations="omit", **options)
    outcome = chain.run([event])
    assert len(outcome.added) == number
    assert {len(each) for each in protocols(outcome).values()} == {number}
    assert outcome.kept[0].properties == {"order_id": "o-1", "products": [{}] * 30}


@pytest.mark.parametrize(("options", "number"), [({}, MAX_REPORTS), ({"max_reports": 7}, 7)])
def test_the_reports_of_a_request_are_bounded(
    build: Build, options: dict[str, int], number: int
) -> None:
    """The events are checked and recorded all the same, and the next request has its own."""
    chain = build(report_to="audit", **options)
    for _ in range(2):
        outcome = chain.run([make_event(event="x") for _ in range(MAX_REPORTS + 10)])
        assert len(outcome.added) == number
        assert all("protocols" in event.context for event in outcome.kept)


# -- blocked events --------------------------------------------------------------------------------


def test_a_blocked_event_is_forwarded_as_it_was_sent(build: Build) -> None:
    """The copy belongs to the other source and says where it came from and why."""
    event = order(total="1", color="red")
    event.context = {"locale": "de"}
    event.extra = {"tenant": "t"}
    sent = event.to_dict()
    outcome = build(violations="block", forward_blocked_to="blocked").run([event])
    assert outcome.kept == []
    (copy,) = outcome.added
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
    """What is forwarded is what was sent: there is no copy of what is left of an event."""
    chain = build(
        unplanned_properties="omit", violations="block", forward_blocked_to="b", report_to="r"
    )
    outcome = chain.run([order(total="1", color="red")])
    assert (outcome.kept, [event.source_id for event in outcome.added]) == ([], ["r", "r"])


def test_an_event_that_is_not_blocked_is_not_forwarded(build: Build) -> None:
    """Forwarding is for what goes nowhere else."""
    assert build(forward_blocked_to="b").run([make_event(event="x")]).added == []


def test_the_sources_that_it_adds_to(build: Build) -> None:
    """The gateway asks for them, to see that they exist."""
    assert build().adds_to == ()
    assert build(report_to="a", forward_blocked_to="a").adds_to == (("shop", "a"),)
    assert build(report_to="a", forward_blocked_to="b").adds_to == (("shop", "a"), ("shop", "b"))


# -- config ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unplanned_event": "omit"}, r"transforms\.shop\.unplanned_event: Invalid enum"),
        ({"common_violations": {"track": "omit"}}, r"transforms\.shop\.common_violations"),
        ({"max_violations": 0}, r"transforms\.shop\.max_violations"),
        ({"max_reports": 0}, r"transforms\.shop\.max_reports"),
        ({"file": "gone.json"}, r"transforms\.shop\.file: .*gone\.json cannot be read"),
    ],
)
def test_settings_that_are_refused(build: Build, options: dict[str, Any], message: str) -> None:
    """The error begins with the path of the key."""
    with pytest.raises(ConfigError, match=f"^{message}"):
        build(**options)


def test_the_words_are_those_of_the_field() -> None:
    """By default nothing is changed and nothing made; there are bounds."""
    config = PlanConfig(file="plan.json")
    assert (config.max_violations, config.max_reports) == (MAX_VIOLATIONS, MAX_REPORTS) == (10, 500)
    assert config.report_to == config.forward_blocked_to == ""
    assert Plan.mutates
