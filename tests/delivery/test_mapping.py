"""Rules of a mapping, from config to the changed event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.components.destination import Batch, Destination, Erasure
from gateway.config.decode import decode_table
from gateway.delivery.mapping import EventMapping, MappedDestination, Rule, compile_mapping
from gateway.errors import BatchError, ConfigError, Permanent, Retryable
from gateway.events.event import Event, decode_events, encode_events
from gateway.testing import make_event
from tests.support.in_process import make_gateway
from tests.support.scripted_vendor import ADA, ScriptedVendor
from tests.support.values import json_objects, json_values


def mapping(*rules: dict[str, Any]) -> EventMapping:
    decoded = [decode_table(rule, Rule, f"d.mapping[{n}]") for n, rule in enumerate(rules)]
    return compile_mapping(decoded, "d.mapping")


def mapped(event: Event, *rules: dict[str, Any]) -> dict[str, Any]:
    return mapping(*rules)(event).to_dict()


def order(**properties: Any) -> Event:
    return make_event(event="Order Completed", user_id="u", properties=properties)


def test_each_action_does_what_its_name_says() -> None:
    """Rename, copy, set, compute and drop change their paths and nothing else."""
    event = order(total=10, plan="PRO", coupon="X", kept=[1, {"a": None}])
    before = event.to_dict()
    after = mapped(
        event,
        {
            "rename_events": {"Order Completed": "purchase"},
            "rename": {"properties.total": "properties.revenue"},
            "copy": {"userId": "traits.id"},
            "set": {"properties.currency": "EUR", "context.app.name": "shop"},
            "compute": {"properties.plan": "lowercase(properties.plan)"},
            "drop": ["properties.coupon", "properties.absent.deeper"],
        },
    )
    assert after == before | {
        "event": "purchase",
        "traits": {"id": "u"},
        "context": before.get("context", {}) | {"app": {"name": "shop"}},
        "properties": {"plan": "pro", "kept": [1, {"a": None}], "revenue": 10, "currency": "EUR"},
    }


def test_a_rule_is_for_the_events_of_its_condition_only() -> None:
    """An event that no rule applies to passes as the same object."""
    rules = mapping({"if": "properties.n > 1", "set": {"properties.big": True}})
    small = order(n=1)
    assert rules(small) is small
    assert rules(order(n=2)).properties == {"n": 2, "big": True}


def test_rules_see_what_the_rules_before_have_made() -> None:
    """Rules and their conditions see the changes of the rules before them."""
    event = make_event(event="E")
    after = mapping(
        {"set": {"traits.plan": {"name": "pro"}}},
        {"if": 'traits.plan.name = "pro"', "compute": {"event": 'concat(event, " ", "Pro")'}},
        {"copy": {"traits": "properties.traits"}},
    )(event)
    assert after.event == "E Pro"
    assert after.properties == {"traits": {"plan": {"name": "pro"}}}


def test_lists_are_changed_in_each_element() -> None:
    """With [] a rename, a constant, a drop and an expression apply to each element."""
    event = order(products=[{"sku": "a", "price": "2.5", "quantity": 2, "cost": 1}, 7, {"sku": 3}])
    after = mapped(
        event,
        {
            "if": "length(properties.products) = 3",
            "rename": {"properties.products[].sku": "properties.products[].item.id"},
            "drop": ["properties.products[].cost", "properties.products[1]"],
        },
        {
            "set": {"properties.products[].seen": True},
            "compute": {
                "properties.products[].total": (
                    "number(properties.products[].price) * properties.products[].quantity"
                ),
                "properties.ids": 'join(properties.products[].item.id, "+")',
            },
        },
    )
    assert after["properties"] == {
        "products": [
            {"price": "2.5", "quantity": 2, "item": {"id": "a"}, "seen": True, "total": 5},
            {"item": {"id": 3}, "seen": True},
        ],
        "ids": "a+3",
    }


def test_null_is_nothing_to_rename_copy_or_compute_from() -> None:
    """Null is not renamed, copied or stored, and existing values stay."""
    after = mapped(
        order(a=None, kept=1),
        {
            "rename": {"properties.a": "properties.kept", "properties.b": "properties.kept"},
            "copy": {"groupId": "properties.kept"},
            "compute": {"properties.kept": "properties.x * 2"},
        },
    )
    assert after["properties"] == {"a": None, "kept": 1}


def test_the_event_that_was_given_never_changes() -> None:
    """The original event and its decoded bodies stay as they were."""
    event = order(a={"b": [1]}, c=1)
    assert event.properties["c"] == 1  # now decoded, and shared by copies
    before = event.to_json()
    copied = {"properties.a": "traits.a"}
    after = mapping({"copy": copied}, {"set": {"traits.a.b[0]": 2, "userId": "v"}})(event)
    assert after.traits == {"a": {"b": [2]}}
    assert (event.to_json(), event.properties["a"]) == (before, {"b": [1]})


def test_constants_are_not_shared_by_events() -> None:
    """A change to a constant in one event does not reach other events."""
    rules = mapping({"set": {"traits.tags": {}}}, {"copy": {"properties.tag": "traits.tags.first"}})
    assert rules(order(tag="a")).traits == {"tags": {"first": "a"}}
    assert rules(order()).traits == {"tags": {}}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (
            {"set": {"properties.n.deeper": 1}},
            r'mapping\[0\]\.set\."properties.n.deeper": there is',
        ),
        ({"set": {"properties.list[3]": 1}}, "no element"),
        ({"compute": {"properties.x": "properties.n / 0"}}, "a division by zero"),
        ({"compute": {"properties.x": "number(properties.secret)"}}, "number.*not a number"),
        ({"compute": {"type": "properties.secret"}}, "none of the types"),
        ({"copy": {"properties.secret": "timestamp"}}, "not a time"),
        ({"copy": {"properties.list": "userId"}}, "a list is not a text"),
        ({"compute": {"properties.x": "properties.secret + 1"}}, "this text is not a number"),
    ],
)
def test_what_cannot_be_mapped_says_where_and_quotes_no_value(
    rule: dict[str, Any], reason: str
) -> None:
    """The reason names rule and key and quotes no value."""
    with pytest.raises(Permanent, match=reason) as raised:
        mapping(rule)(order(n=1, list=[1], secret="hunter2"))
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"if": "type == 1", "drop": ["event"]}, r"d\.mapping\[0\]\.if: there is no '=='"),
        ({"sett": {}}, r"d\.mapping\[0\]: there is no key 'sett' here; did you mean 'set'\?"),
        ({}, "does nothing"),
        ({"drop": ["event", "user_id"]}, r"mapping\[0\]\.drop\[1\]: .*did you mean 'userId'"),
        ({"drop": ["messageId"]}, "'messageId' stays as it is"),
        ({"drop": ["type"]}, "cannot be without 'type'"),
        ({"rename": {"type": "event"}}, "cannot be without 'type'"),
        ({"set": {"properties": 1}}, r"properties\.plan"),
        ({"set": {"properties[0]": 1}}, "has keys and not elements"),
        ({"set": {"properties.a[]": 1}}, "name a key of the elements"),
        ({"set": {"type": "click"}}, "none of the types"),
        ({"rename": {"properties.a": "properties.a.b"}}, "leads into itself"),
        ({"rename": {"properties.a[].x": "properties.b[].x"}}, "the same list"),
        ({"compute": {"event": "lowr(event)"}}, "did you mean 'lowercase'"),
        ({"rename_events": {"A": " "}}, 'rename_events."A": the new name is empty'),
    ],
)
def test_errors_in_config_name_their_path(rule: dict[str, Any], error: str) -> None:
    """An error in config names the path of the mistake."""
    with pytest.raises(ConfigError, match=error):
        mapping(rule)


_KEYS = st.sampled_from(["a", "b", "c"])
_STEPS = st.lists(_KEYS.map(".{}".format) | st.sampled_from(["[0]", "[1]", "[]"]), max_size=3)
_PATHS = st.builds(lambda key, steps: f"properties.{key}{''.join(steps)}", _KEYS, _STEPS)
_BODIES = st.dictionaries(_KEYS, json_values | st.dictionaries(_KEYS, json_values), max_size=3)
_RULES = (
    st.builds(lambda a, b: {"rename": {a: b}}, _PATHS, _PATHS)
    | st.builds(lambda a, b: {"copy": {a: b}}, _PATHS, _PATHS)
    | st.builds(lambda a, v: {"set": {a: v}}, _PATHS, st.integers(0, 9) | st.just({"a": [1]}))
    | st.builds(lambda a, b: {"compute": {a: f"coalesce({b}, {a})"}}, _PATHS, _PATHS)
    | st.builds(lambda a, b: {"compute": {a: f"{a} * {b}"}}, _PATHS, _PATHS)
    | _PATHS.map(lambda a: {"drop": [a]})
)


@given(_BODIES, st.lists(_RULES, min_size=1, max_size=4))
def test_any_rules_on_any_event(body: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    """Any rules map any event to one that can be stored and sent, or refuse it."""
    try:
        rules_of = mapping(*rules)
    except ConfigError:
        return
    event = make_event(event="E", properties=body)
    before = event.to_json()
    try:
        after = rules_of(event)
    except Permanent:
        after = event
    assert event.to_json() == before
    (stored,) = decode_events(encode_events([after]))
    assert stored.to_dict() == msgspec.json.decode(msgspec.json.encode(after.to_dict()))
    assert dict(stored.properties) == dict(after.properties)


@given(json_objects)
def test_setting_and_dropping_leaves_nothing_behind(body: dict[str, Any]) -> None:
    """A key that is set and then dropped leaves the event as it was."""
    body.pop("a new key", None)
    path = 'properties["a new key"]'
    rules = mapping({"set": {path: 1}}, {"drop": [path]})
    event = make_event(event="E", properties=body)
    assert rules(event).to_dict() == event.to_dict()


class Receiver(Destination):
    """Keeps the events that it gets, and raises the error that the test sets."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.batch = Batch((), ())

    async def send(self, batch: Batch) -> None:
        self.batch = batch
        if self.error is not None:
            raise self.error


HALVES = mapping({"compute": {"properties.half": "properties.n / properties.by"}})
EVENTS = [order(n=4, by=2), order(n=1, by=0), order(n=9, by=3)]


async def sent(error: Exception | None) -> tuple[Receiver, BaseException | None]:
    receiver = Receiver(error)
    try:
        await MappedDestination(receiver, HALVES).send(Batch(EVENTS, [5, 6, 8], 2, "q"))
    except Exception as raised:  # noqa: BLE001 - it is what the test looks at
        return receiver, raised
    return receiver, None


async def test_an_event_that_cannot_be_mapped_costs_the_others_nothing() -> None:
    """Only an event that cannot be mapped is refused; the others keep their offsets."""
    receiver, raised = await sent(None)
    assert [event.properties["half"] for event in receiver.batch] == [2, 3]
    assert (list(receiver.batch.offsets), receiver.batch.attempt) == ([5, 8], 2)
    assert receiver.batch.queue_id == "q"
    assert isinstance(raised, BatchError)
    assert {i: type(e) for i, e in raised.failed.items()} == {1: Permanent}


async def test_what_the_destination_says_is_said_of_the_right_events() -> None:
    """Items that the destination names are matched to the events of the original batch."""
    late = Retryable("later")
    _, raised = await sent(BatchError({1: late}))
    assert isinstance(raised, BatchError)
    assert raised.failed[2] is late
    assert set(raised.failed) == {1, 2}
    never = Permanent("never")
    _, raised = await sent(never)
    assert isinstance(raised, BatchError)
    assert (raised.failed[0], raised.failed[2]) == (never, never)
    assert "division" in str(raised.failed[1])
    down = Retryable("down")
    assert (await sent(down))[1] is down


async def test_a_mapped_destination_erases_as_without_the_mapping() -> None:
    """A mapping passes erasure on, with the state of its job and its mode for shards."""
    vendor = ScriptedVendor(Erasure("RUNNING", job="7"))
    vendor.stores_by_shard = True
    destination = MappedDestination(vendor, HALVES)
    assert destination.stores_by_shard
    assert await destination.erase(ADA, "6") == Erasure("RUNNING", job="7")
    assert vendor.asked == [(ADA, "6")]


def test_a_destination_of_config_gets_its_events_mapped(tmp_path: Path) -> None:
    """One table in config counts as one rule, and errors name file and path."""
    text = '[destinations.d]\ntype = "null"\n[destinations.d.mapping]\ndrop = ["{}"]\n'
    (built,) = make_gateway(tmp_path, text.format("userId")).destinations
    assert isinstance(built.destination, MappedDestination)
    with pytest.raises(ConfigError, match=r"destinations\.d\.mapping\[0\]\.drop\[0\]: 'user'"):
        make_gateway(tmp_path, text.format("user"))
