"""The rules of the mask: paths, names, actions, exemptions, and wrong rules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.builtin.transforms.mask.rules import DEFAULT_SKIP_NUMBERS, MAX_RULES, MIN_SECRET_LENGTH
from gateway.errors import ConfigError
from gateway.testing import discover_plugins, make_context, make_event
from tests.support.masking import CARD, EMAIL, IP, SECRET, config, hashed, masked


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("properties.note", {"a": {"note": "n", "b": 1}, "list": [{"note": "n"}]}),
        ("properties.a.note", {"note": "n", "a": {"note": "***", "b": 1}, "list": [{"note": "n"}]}),
        (
            "properties.list[].note",
            {"note": "n", "a": {"note": "n", "b": 1}, "list": [{"note": "***"}]},
        ),
        (
            "properties.list.note",
            {"note": "n", "a": {"note": "n", "b": 1}, "list": [{"note": "***"}]},
        ),
        ("note", {"note": "***", "a": {"note": "***", "b": 1}, "list": [{"note": "***"}]}),
        ("N-o_T e", {"note": "***", "a": {"note": "***", "b": 1}, "list": [{"note": "***"}]}),
        ("properties.a", {"note": "n", "a": {"note": "***", "b": "***"}, "list": [{"note": "n"}]}),
        ("properties.list", {"note": "n", "a": {"note": "n", "b": 1}, "list": [{"note": "***"}]}),
        ("properties.Note", {"note": "n", "a": {"note": "n", "b": 1}, "list": [{"note": "n"}]}),
    ],
)
def test_fields_by_path_and_by_name(rule: str, expected: dict[str, Any]) -> None:
    """A path matches one place, also in lists; a name matches every place, in any spelling."""
    properties = {"note": "n", "a": {"note": "n", "b": 1}, "list": [{"note": "n"}]}
    expected = {"note": "***", **expected} if rule == "properties.note" else expected

    assert masked(make_event(properties=properties), fields=[rule]).properties == expected
    assert (
        masked(make_event(properties=properties), fields=[rule], detect=[]).properties == expected
    )


@pytest.mark.parametrize(
    "key", ["first_name", "firstName", "FirstName", "first-name", "FIRST NAME"]
)
@pytest.mark.parametrize("body", ["properties", "traits", "context", "extra"])
def test_a_name_is_known_in_every_spelling(key: str, body: str) -> None:
    """Capitals, underscores, hyphens and spaces do not count, in keys and in rules."""
    event = make_event(**{body: {key: "Jane", "first": "x", "names": "y"}})

    for rule in ("first_name", "firstName"):
        seen = getattr(masked(event, fields=[rule], detect=[]), body)
        assert seen == {key: "***", "first": "x", "names": "y"}


@pytest.mark.parametrize("key", ["größe", 'a"b', "a\\b", "a/b", "ключ", "x\ty"])
def test_any_key_can_be_named(key: str) -> None:
    """A key is found in every way that JSON can write it."""
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    for written in (json.dumps(key), json.dumps(key, ensure_ascii=False)):
        for data in (f'{{{written}:"v"}}', f'{{{written} : "v"}}'.replace("/", "\\/")):
            for rule in ({"name": key}, {"path": f'traits["{quoted}"]'}):
                event = masked(make_event(raw_traits=data.encode()), fields=[rule], detect=[])
                assert event.traits == {key: "***"}


def test_names_do_not_reach_into_integrations() -> None:
    """Keys of `integrations` name destinations; they stay, since removing one undoes an opt-out."""
    integrations = {"Email": False, "x": {"email": EMAIL}}
    rule = {"name": "email", "action": "drop"}
    event = make_event(integrations=integrations, properties={"email": "x"})

    seen = masked(event, fields=[rule])
    by_path = masked(event, fields=["integrations.x.email"], detect=[])

    assert seen.properties == {}
    assert seen.integrations == {"Email": False, "x": {"email": "j***@example.com"}}
    assert by_path.integrations == {"Email": False, "x": {"email": "j***@example.com"}}


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (
            "mask",
            {
                "text": "***",
                "empty": "",
                "null": None,
                "yes": "***",
                "n": "***",
                "mail": "j***@example.com",
                "spaced": "***1111",
                "ip": "203.0.113.0",
                "deep": {"a": ["***", {}]},
            },
        ),
        (
            "hash",
            {
                "text": hashed("Jane Doe"),
                "empty": "",
                "null": None,
                "yes": hashed("true"),
                "n": hashed("12.5"),
                "mail": hashed(EMAIL),
                "spaced": hashed(CARD),
                "ip": hashed(IP),
                "deep": {"a": [hashed("7"), {}]},
            },
        ),
        ("drop", None),
    ],
)
def test_actions_on_named_fields(action: str, expected: Any) -> None:
    """A value that a rule names is masked whatever it is, in the form of its kind if known."""
    value = {
        "text": "Jane Doe",
        "empty": "",
        "null": None,
        "yes": True,
        "n": 12.5,
        "mail": "JANE@example.com" if action == "hash" else EMAIL,
        "spaced": " 4111-1111-1111-1111 ",
        "ip": IP,
        "deep": {"a": [7, {}]},
    }
    rule = {"path": "properties.secret", "action": action}
    event = make_event(properties={"secret": value, "other": EMAIL})

    seen = masked(event, detect=[], fields=[rule], secret=SECRET).properties

    assert seen == ({"other": EMAIL} if expected is None else {"secret": expected, "other": EMAIL})


def test_a_rule_has_an_action_of_its_own() -> None:
    """The mask's action applies to detected data, and to rules without an action."""
    fields = [
        "properties.b",
        {"path": "properties.c", "action": "drop"},
        {"name": "d", "action": "hash"},
    ]
    event = make_event(properties={"a": EMAIL, "b": EMAIL, "c": EMAIL, "d": EMAIL})

    assert masked(event, fields=fields, secret=SECRET).properties == {
        "a": "j***@example.com",
        "b": "j***@example.com",
        "d": hashed(EMAIL),
    }


def test_a_path_wins_over_a_name_and_both_over_skip() -> None:
    """The more exact rule counts; skip exempts from detection only."""
    fields = [{"path": "traits.email", "action": "drop"}, {"name": "email", "action": "mask"}]
    event = make_event(traits={"email": EMAIL, "x": {"email": EMAIL, "other": EMAIL}})

    assert masked(event, fields=fields, skip=["traits.x", "email"]).traits == {
        "x": {"email": "j***@example.com", "other": EMAIL}
    }


def test_skip_exempts_from_detection() -> None:
    """Nothing, or no number, is detected at a path or below a key, in any spelling."""
    event = make_event(
        properties={"order_id": CARD, "orderId": int(CARD), "note": CARD, "list": [{"sku": CARD}]},
        context={"library": {"name": EMAIL}, "app": {"version": IP}, "userAgent": f"A {IP}"},
    )

    seen = masked(event)
    strict = masked(event, skip_numbers=[])
    listed = masked(event, skip=["properties.list[].sku", "context.library"], skip_numbers=[])

    assert seen.properties == {**event.properties, "note": "***1111"}
    assert seen.context == {**event.context, "library": {"name": "j***@example.com"}}
    assert strict.properties["order_id"] == strict.properties["list"][0]["sku"] == "***1111"
    assert strict.context["app"] == {"version": "203.0.113.0"}
    assert listed.properties["list"] == [{"sku": CARD}]
    assert listed.context["library"] == {"name": EMAIL}
    assert listed.properties["order_id"] == "***1111"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"detect": []}, "transforms.t: there is nothing to mask"),
        ({"detect": ["emial"]}, "transforms.t.detect[0]: Invalid enum value 'emial'"),
        ({"action": "hide"}, "transforms.t.action: Invalid enum value 'hide'"),
        ({"action": "hash", "secret": "x" * (MIN_SECRET_LENGTH - 1)}, "secret: needs at least"),
        ({"fields": ["properties."]}, "fields[0]: expected a key after '.'"),
        ({"fields": ["x", "propertis.a"]}, "fields[1]: an event has no field 'propertis'"),
        ({"fields": ["properties.a[0]"]}, "fields[0]: write [] for all elements"),
        ({"fields": ["_metadata.a"]}, "fields[0]: '_metadata' cannot be masked"),
        ({"fields": ["a", "A"]}, "fields[1]: 'A' is there twice"),
        ({"fields": ["traits.a", "traits.a[]"]}, "fields[1]: 'traits.a[]' is there twice"),
        ({"fields": ["_ -"]}, "fields[0]: a name has at least one letter"),
        ({"fields": [{}]}, "transforms.t.fields[0]: write either path or name"),
        ({"fields": [{"path": "a.b", "name": "b"}]}, "write either path or name"),
        ({"fields": [{"nam": "b"}]}, "transforms.t.fields[0]"),
        ({"fields": ["userId"]}, "'userId' says whose event it is, so it can only be hashed"),
        ({"fields": [{"path": "timestamp"}]}, "'timestamp' is needed as it is"),
        ({"fields": [{"path": "event", "action": "drop"}]}, "'event' is needed as it is"),
        ({"skip": ["userId"]}, "skip[0]: nothing can be skipped in 'userId'"),
        ({"skip": ["a"] * MAX_RULES, "fields": ["b"]}, f"at most {MAX_RULES} entries"),
        ({"secrets": "x"}, "did you mean 'secret'?"),
        ({"detect": ["ip"], "actions": {"email": "hash"}}, "actions.email: 'email' is not in"),
        ({"allow": ["propertis.a"]}, "allow[0]: an event has no field 'propertis'"),
        ({"allow": ["userId"]}, "allow[0]: 'userId' is none of properties"),
        ({"allow": ["properties.a[1]"]}, "allow[0]: write [] for all"),
        ({"epoch": "a b"}, "transforms.t.epoch"),
        ({"replacement": "x" * 101}, "transforms.t.replacement"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(table: dict[str, Any], message: str) -> None:
    """An error stops the start and names the path of the key."""
    with pytest.raises(ConfigError) as caught:
        config(**table)

    assert message in str(caught.value)


def test_bounds_are_reached() -> None:
    """The shortest allowed secret and the largest allowed number of rules are accepted."""
    config(action="hash", secret="x" * MIN_SECRET_LENGTH)
    config(fields=[f"name{n}" for n in range(MAX_RULES - len(DEFAULT_SKIP_NUMBERS))])


def test_top_level_texts_can_be_named() -> None:
    """A table names the attributes `name`, `category` and `channel`; a word names keys."""
    event = make_event(type="page", name="Jane", category="c", properties={"name": "Jane"})
    fields = [{"path": "name"}, {"path": "category", "action": "drop"}]

    seen = masked(event, fields=fields)
    by_name = masked(event, fields=["name"])

    assert (seen.name, seen.category, seen.properties) == ("***", None, {"name": "Jane"})
    assert (by_name.name, by_name.properties) == ("Jane", {"name": "***"})


def test_the_secret_shows_itself_to_nobody() -> None:
    """The secret is in the text of neither the config nor an error."""
    assert SECRET not in repr(config(action="hash", secret=SECRET))
    with pytest.raises(ConfigError) as caught:
        config(action="hash", secret="short")
    assert "short" not in str(caught.value)


def test_workers_hash_alike_without_a_secret(tmp_path: Path) -> None:
    """Without a secret all workers use the one random key of the data directory."""
    table = {"fields": [{"path": "traits.email", "action": "hash"}]}
    hashed = set()
    for shard in (0, 1):
        context = replace(
            make_context(tmp_path), shard=shard, data_dir=tmp_path / "data" / f"worker-{shard}"
        )
        spec = discover_plugins().types["transform", "mask"].spec
        (event,) = spec.build(config(**table), context).apply(
            [make_event(type="identify", traits={"email": EMAIL})]
        )
        hashed.add(event.traits["email"])
    assert len(hashed) == 1
    assert len(hashed.pop()) == 64
