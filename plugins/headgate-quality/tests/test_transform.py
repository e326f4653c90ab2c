"""The transform ``plan``: which events it blocks, and what it omits and records."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway import ConfigError, Event
from gateway.testing import make_event
from headgate_quality import Plan, PlanConfig
from headgate_quality.config import MAX_REPORTS, MAX_VIOLATIONS
from headgate_quality.violations import MAX_ERRORS

COMMON = {
    "type": "COMMON",
    "jsonSchema": {"required": ["userId"], "properties": {"context": {"required": ["locale"]}}},
}
Build = Callable[..., Any]


def order(**properties: Any) -> Event:
    return make_event(properties={"order_id": "o-1", **properties}, version=2)


def test_an_event_as_planned_is_left_alone(build: Build) -> None:
    """An event that follows the plan is not changed, recorded or copied."""
    events = [order(total=1.5, products=[{"sku": "a"}]), make_event(type="alias", previous_id="x")]
    before = [event.to_json() for event in events]
    outcome = build(
        unplanned_event="block", unplanned_properties="omit", violations="block", report_to="audit"
    ).run(*events)
    assert [event.to_json() for event in outcome.kept] == before
    assert outcome.made == []


def test_everything_is_allowed_by_default(build: Build) -> None:
    """Violations are recorded in `context.protocols`, beside the client's own keys."""
    event = order(total="1", color="red")
    event.context = {"locale": "de", "protocols": {"event_version": 1}}
    outcome = build().run(event)
    assert outcome.made == []
    assert outcome.kept[0].properties == {"order_id": "o-1", "total": "1", "color": "red"}
    assert outcome.kept[0].context["locale"] == "de"
    assert outcome.protocols == {
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


@pytest.mark.parametrize(("action", "kept"), [("allow", 1), ("block", 0)])
def test_unplanned_events(build: Build, action: str, kept: int) -> None:
    """A track event without a rule is let through or dropped."""
    outcome = build(unplanned_event=action).run(make_event(event="order completed"))
    assert len(outcome.kept) == kept
    if kept:
        (violation,) = outcome.protocols["violations"]
        assert violation["type"] == "Unplanned Event"


def test_only_track_events_are_unplanned(build: Build) -> None:
    """A page without a rule is not changed."""
    outcome = build(unplanned_event="block").run(make_event(type="page", event=None, name="x"))
    assert outcome.protocols is None


@pytest.mark.parametrize("kind", ["track", "page"])
def test_unplanned_properties_are_left_out(build: Build, kind: str) -> None:
    """Properties that the rule does not name are removed at any depth, and listed."""
    event = order(color="red", products=[{"sku": "a", "note": "x"}, {"sku": "b"}])
    event.type = kind
    event.name = "Home"
    outcome = build(unplanned_properties="omit", violations="block").run(event)
    assert outcome.kept[0].to_dict()["properties"] == {
        "order_id": "o-1",
        "products": [{"sku": "a"}, {"sku": "b"}],
    }
    assert outcome.protocols["omitted"] == ["properties.color", "properties.products[0].note"]
    assert "omitted_on_violation" not in outcome.protocols


def test_invalid_properties_are_left_out(build: Build) -> None:
    """Wrong values are removed; missing ones stay missing."""
    event = make_event(properties={"total": "s3cret", "products": [{"sku": 1}, {"sku": "b"}]})
    outcome = build(violations="omit").run(event)
    assert outcome.kept[0].to_dict()["properties"] == {"products": [{}, {"sku": "b"}]}
    found = outcome.protocols
    assert sorted(found["omitted_on_violation"]) == [
        "properties.products[0].sku",
        "properties.total",
    ]
    assert [v["type"] for v in found["violations"]].count("Required") == 1
    assert "s3cret" not in json.dumps(found)


def test_the_body_as_a_whole_is_not_left_out(build: Build) -> None:
    """If no single property is at fault, none is removed."""
    schema = {"properties": {"properties": {"minProperties": 3}}}
    rule = {"type": "TRACK", "key": "Few", "version": 1, "jsonSchema": schema}
    outcome = build(rule, violations="omit").run(make_event(event="Few", properties={"a": 1}))
    assert outcome.kept[0].properties == {"a": 1}
    assert list(outcome.protocols) == ["violations"]


@pytest.mark.parametrize(("action", "kept"), [("allow", 1), ("omit", 0), ("block", 0)])
def test_too_much_to_leave_out(build: Build, action: str, kept: int) -> None:
    """If too much would have to be removed, the event is blocked."""
    event = order(products=[{"sku": 1}] * (MAX_ERRORS + 1))
    outcome = build(violations=action, report_to="audit").run(event)
    assert (len(outcome.kept), len(outcome.made)) == (kept, 1)


@pytest.mark.parametrize(
    "options", [{"violations": "block"}, {"common_violations": "block"}, {"violations": "allow"}]
)
def test_what_blocked_an_event_is_told_first(build: Build, options: dict[str, str]) -> None:
    """Unplanned properties come last, however many there are."""
    event = make_event(properties={f"p{i}": 1 for i in range(30)}, context={"ip": "::1"})
    outcome = build(COMMON, report_to="audit", max_violations=1, **options).run(event)
    (report,) = outcome.made
    assert report.properties["violationType"] == "Required"
    assert (outcome.kept == []) == ("block" in options.values())


@pytest.mark.parametrize("kind", ["identify", "group"])
def test_traits_have_settings_of_their_own(build: Build, kind: str) -> None:
    """The settings for properties do not apply to traits."""

    def person() -> Event:
        return make_event(type=kind, event=None, group_id="g", traits={"plan": "x", "age": 7})

    for_properties = {"unplanned_properties": "omit", "violations": "block"}
    assert build(**for_properties).run(person()).kept[0].traits == {"plan": "x", "age": 7}
    assert build(unplanned_traits="omit").run(person()).kept[0].traits == {"plan": "x"}
    assert build(trait_violations="omit").run(person()).kept[0].traits == {"age": 7}
    assert build(trait_violations="block").run(person()).kept == []


@pytest.mark.parametrize(
    ("setting", "kept"),
    [("allow", 2), ("block", 0), ({"track": "block"}, 1), ({"alias": "block"}, 1), ({}, 2)],
)
def test_the_common_rule(build: Build, setting: Any, kept: int) -> None:
    """The common rule applies to whole events of all types, and blocks the named types."""
    events = [order(), make_event(type="alias", event=None, previous_id="x", context={"ip": "::1"})]
    for event in events:
        event.context = {"ip": "192.0.2.1"}
    outcome = build(COMMON, common_violations=setting).run(*events)
    assert len(outcome.kept) == kept
    for event in outcome.kept:
        (violation,) = event.context["protocols"]["violations"]
        assert (violation["type"], violation["field"]) == ("Required", "context.locale")


def test_the_common_rule_comes_last(build: Build) -> None:
    """The common rule checks the event after the standard controls have changed it."""
    schema = {"properties": {"properties": {"properties": {"color": False}}}}
    common = {"type": "COMMON", "jsonSchema": schema}
    chain = build(common, common_violations="block", unplanned_properties="omit")
    assert len(chain.run(order(color="red")).kept) == 1
    assert build(common, common_violations="block").run(order(color="red")).kept == []


def test_only_events_of_named_sources_are_checked(build: Build) -> None:
    """A plan applies to the sources that it names, or to all."""
    events = [make_event(event="x", source_id=source) for source in ("web", "app")]
    outcome = build(unplanned_event="block", sources=["app"]).run(*events)
    assert [event.source_id for event in outcome.kept] == ["web"]


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
    """By default violations and reports are bounded, and no other source gets events."""
    config = PlanConfig(file="plan.json")
    assert (config.max_violations, config.max_reports) == (MAX_VIOLATIONS, MAX_REPORTS) == (10, 500)
    assert config.report_to == config.forward_blocked_to == ""
    assert Plan.mutates
