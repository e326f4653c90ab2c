"""Tracking plans: which rule is taken, and what it finds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.builtin.plan_rules import (
    MAX_ERRORS,
    MAX_TEXT,
    TOO_MANY,
    Rule,
    TrackingPlan,
    Violation,
    read_plan,
    without,
)
from gateway.errors import ConfigError


def body_rule(body_schema: Any, type_: str = "track") -> Rule:
    """A rule whose schema for the body is this one."""
    plan = TrackingPlan()
    name = "traits" if type_ in ("identify", "group") else "properties"
    plan.add(type_, "e", 1, {"type": "object", "properties": {name: body_schema}})
    rule = plan.rule(type_, "e" if name == "properties" else "", None)
    assert rule is not None
    return rule


def found(body_schema: Any, properties: Any) -> list[tuple[str, str]]:
    """Kind and field of each violation."""
    violations = body_rule(body_schema).violations({"properties": properties})
    return [(violation.kind, violation.field) for violation in violations]


def unplanned(body_schema: Any, properties: Any) -> list[str]:
    """Fields that the schema does not name."""
    paths = body_rule(body_schema).unplanned(properties)
    return [Violation("", path, "").field for path in paths]


def write(folder: Path, tree: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


# -- which rule ------------------------------------------------------------------------------------


def versions(*numbers: int) -> TrackingPlan:
    """A plan whose versions of one rule require a property named for the version."""
    plan = TrackingPlan()
    for number in numbers:
        schema = {"properties": {"properties": {"required": [f"v{number}"]}}}
        plan.add("track", "Order Completed", number, schema)
    return plan


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (3, "v3"),
        (2, "v2"),
        (None, "v2"),
        (3.2, "v2"),
        (3.0, "v2"),
        ("3", "v2"),
        ("x", "v2"),
        (True, "v2"),
        (7, "v2"),
        ([3], "v2"),
        ({}, "v2"),
    ],
)
def test_the_version_is_asked_for_or_the_oldest(asked: object, taken: str) -> None:
    """Only the whole number of a version that there is picks it; all else gets the oldest."""
    rule = versions(10, 3, 2).rule("track", "Order Completed", asked)
    assert rule is not None
    (violation,) = rule.violations({"properties": {}})
    assert violation.field == f"properties.{taken}"


def test_true_is_not_version_one() -> None:
    """JSON's true is no number, though Python's is."""
    rule = versions(0, 1).rule("track", "Order Completed", True)
    assert rule is not None
    assert rule.violations({"properties": {}})[0].field == "properties.v0"


@pytest.mark.parametrize("name", ["order completed", "Order Completed ", "Order  Completed", ""])
def test_names_match_exactly(name: str) -> None:
    """Case and spaces count."""
    assert versions(1).rule("track", name, None) is None


def test_rules_of_persons_and_groups_have_no_name() -> None:
    """Whatever key the rule has in the file, all identify events are held against it."""
    plan = TrackingPlan()
    plan.add("IDENTIFY", "anything", 1, {})
    assert plan.rule("identify", "", None) is not None
    assert plan.rule("group", "", None) is None


# -- the file --------------------------------------------------------------------------------------

RULE = {"type": "TRACK", "key": "A", "version": 1, "jsonSchema": {}, "deprecatedAt": "0001-01-01"}


@pytest.mark.parametrize(
    "tree",
    [
        {"rules": [RULE]},
        {"data": {"rules": [RULE], "pagination": {"current": "MA=="}}},
        {"rules": [{"type": "track", "key": "A", "jsonSchema": {}}]},
        {"id": "rs_1", "name": "Shop", "rules": [RULE, {"type": "COMMON", "jsonSchema": {}}]},
    ],
)
def test_plans_that_can_be_read(tree: Any, tmp_path: Path) -> None:
    """A list of rules, or the answer of Segment's API that holds it, whatever else is in there."""
    plan = read_plan(write(tmp_path, tree))
    assert plan.rule("track", "A", None) is not None
    assert plan.name == tree.get("name", "")
    assert (plan.rule("common", "", None) is not None) == ("id" in tree)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "Expected `object`"),
        ({}, "missing required field `rules`"),
        ({"rules": []}, "it has no rules"),
        ({"data": {"rules": []}}, "it has no rules"),
        (
            {"rules": [{"type": "track"}]},
            r"missing required field `jsonSchema` - at `\$.rules\[0\]",
        ),
        ({"rules": [RULE, {**RULE, "type": "alias"}]}, r"rules\[1\]: type: 'alias' is none of"),
        ({"rules": [RULE, RULE]}, r"rules\[1\]: version 1 of track 'A' is there twice"),
        ({"rules": [{**RULE, "version": "1"}]}, "Expected `int`"),
        ({"rules": [{**RULE, "jsonSchema": 5}]}, r"rules\[0\]: jsonSchema: 5 is not of type"),
        ({"rules": [{**RULE, "jsonSchema": {"type": "txt"}}]}, r"rules\[0\]: jsonSchema: \"txt\""),
        ({"rules": [{**RULE, "jsonSchema": {"pattern": "("}}]}, 'is not a "regex"'),
        ({"rules": [{**RULE, "jsonSchema": {"$ref": "#/nowhere"}}]}, "'/nowhere' does not exist"),
    ],
)
def test_plans_that_cannot_be_read(tree: Any, message: str, tmp_path: Path) -> None:
    """The error names the file, the rule and what is wrong with it."""
    with pytest.raises(ConfigError, match=message) as caught:
        read_plan(write(tmp_path, tree))
    assert "plan.json" in str(caught.value)


@pytest.mark.parametrize("ref", ["http://127.0.0.1:9/a.json", "file:///etc/hosts"])
def test_a_schema_fetches_nothing(ref: str, tmp_path: Path) -> None:
    """What is not in the plan itself cannot be referred to, over the network or on disk."""
    tree = {"rules": [{**RULE, "jsonSchema": {"$ref": ref}}]}
    with pytest.raises(ConfigError, match="Retrieval is disabled"):
        read_plan(write(tmp_path, tree))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Says so, with its path."""
    with pytest.raises(ConfigError, match=r"plan\.json cannot be read: No such file"):
        read_plan(tmp_path / "plan.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rules", "data", "type", "key", "version", "jsonSchema", "properties"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.binary(max_size=30) | json_values.map(lambda tree: json.dumps(tree).encode()))
def test_any_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever is in a file, it is a plan or a `ConfigError`."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    try:
        plan = read_plan(path)
    except ConfigError:
        return
    assert isinstance(plan, TrackingPlan)


@given(json_values)
def test_any_schema(schema: Any) -> None:
    """Whatever stands for a schema is refused as one or can be used."""
    plan = TrackingPlan()
    try:
        plan.add("track", "e", 1, {"properties": {"properties": schema}})
    except ValueError:
        return
    rule = plan.rule("track", "e", 1)
    assert rule is not None
    rule.violations({"properties": {"a": [1]}})
    rule.unplanned({"a": [1]})


# -- violations ------------------------------------------------------------------------------------

FIELDS = {"a": {"type": ["string", "null"]}, "list": {"items": {"required": ["sku"]}}}


@pytest.mark.parametrize(
    ("schema", "value", "kind", "field", "description"),
    [
        ({"required": ["p"]}, {}, "Required", "properties.p", "properties.p is required"),
        (
            {"properties": FIELDS},
            {"list": [{"sku": 1}, {}]},
            "Required",
            "properties.list[1].sku",
            "properties.list[1].sku is required",
        ),
        (
            {"properties": FIELDS},
            {"a": 1},
            "Invalid Type",
            "properties.a",
            "properties.a is not of type null or string",
        ),
        (
            {"properties": {"a": {"enum": ["x"]}}},
            {"a": "s3cret"},
            "Invalid Value",
            "properties.a",
            "properties.a is none of the permitted values",
        ),
        (
            {"properties": {"a": {"const": 1}}},
            {"a": "s3cret"},
            "Invalid Value",
            "properties.a",
            "properties.a is not the permitted value",
        ),
        (
            {"properties": {"a": {"pattern": "^x"}}},
            {"a": "s3cret"},
            "Invalid Value",
            "properties.a",
            "properties.a does not have the permitted form",
        ),
        (
            {"properties": {"a": {"format": "email"}}},
            {"a": "s3cret"},
            "Invalid Value",
            "properties.a",
            "properties.a is not a valid email",
        ),
        (
            {"additionalProperties": False},
            {"my key": "s3cret"},
            "Unplanned Property",
            'properties["my key"]',
            'properties["my key"] is not in the plan',
        ),
        (
            {"properties": {"a": False}},
            {"a": "s3cret"},
            "Schema",
            "properties.a",
            "properties.a is not permitted",
        ),
        (
            {"properties": {"b": {}}, "additionalProperties": False},
            {"c": "s3cret"},
            "Unplanned Property",
            "properties.c",
            "properties.c is not in the plan",
        ),
        (
            {"anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
            {"z": "s3cret"},
            "Schema",
            "properties",
            "properties does not meet the plan's anyOf",
        ),
        (
            {"if": {"required": ["a"]}, "then": {"minProperties": 3}},
            {"a": "s3cret"},
            "Schema",
            "properties",
            "properties does not meet the plan's minProperties",
        ),
        (
            {"propertyNames": {"maxLength": 1}},
            {"ab": "s3cret"},
            "Schema",
            "properties",
            "properties does not meet the plan's propertyNames",
        ),
    ],
)
def test_each_kind_of_violation(
    schema: Any, value: Any, kind: str, field: str, description: str
) -> None:
    """What is wrong is said by the names of fields and types; no value is repeated."""
    (violation,) = body_rule(schema).violations({"properties": value})
    assert (violation.kind, violation.field, violation.description) == (kind, field, description)
    assert violation.present == (kind != "Required")


def test_all_violations_are_found() -> None:
    """Each of them, not the first only; each additional property by itself."""
    schema = {"properties": FIELDS, "required": ["b", "c"], "additionalProperties": False}
    assert sorted(found(schema, {"a": 1, "x": 1, "y": 1, "list": [{}, {}]})) == [
        ("Invalid Type", "properties.a"),
        ("Required", "properties.b"),
        ("Required", "properties.c"),
        ("Required", "properties.list[0].sku"),
        ("Required", "properties.list[1].sku"),
        ("Unplanned Property", "properties.x"),
        ("Unplanned Property", "properties.y"),
    ]


def test_violations_are_not_looked_at_one_by_one_without_end() -> None:
    """An event that is wrong in more ways than anybody reads gets one violation, and soon."""
    rule = body_rule({"properties": {"l": {"items": {"type": "string"}}}})
    assert len(rule.violations({"properties": {"l": [1] * MAX_ERRORS}})) == MAX_ERRORS
    assert rule.violations({"properties": {"l": [1] * (MAX_ERRORS + 1)}}) == [TOO_MANY]
    assert TOO_MANY.description == f"the event has more than {MAX_ERRORS} violations"


def test_all_forbidden_properties_are_found() -> None:
    """Where none is permitted, each is a violation of its own, also within others."""
    nothing = {"additionalProperties": False}
    fields = [("Unplanned Property", f"properties.{key}") for key in ("a", "b")]
    assert found(nothing, {"a": 1, "b": 2}) == fields
    assert found({"properties": {"o": {"items": nothing}}}, {"o": [{}, {"c": 1}]}) == [
        ("Unplanned Property", "properties.o[1].c")
    ]


def test_a_long_name_is_cut() -> None:
    """What a client calls a property does not decide how long what is said of it becomes."""
    (violation,) = body_rule({"additionalProperties": False}).violations(
        {"properties": {"x" * 9999: 1}}
    )
    assert len(violation.field) == MAX_TEXT
    assert len(violation.description) < MAX_TEXT + 50


def test_a_pattern_cannot_be_made_to_take_forever() -> None:
    """A text for which it would take more steps than permitted does not match."""
    schema = {"properties": {"a": {"pattern": "^(a|a)*(?=x)b$"}}}
    started = time.process_time()
    assert found(schema, {"a": "a" * 5000}) == [("Invalid Value", "properties.a")]
    assert time.process_time() - started < 2


def test_numbers_of_any_size() -> None:
    """A number that no machine word holds is a number."""
    assert found({"properties": {"a": {"type": "integer"}}}, {"a": 10**400}) == []


# -- what is not named -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "fields"),
    [
        ({"properties": {"a": {}}}, {"a": 1, "b": 2}, ["properties.b"]),
        ({"properties": {}}, {"b": 2}, ["properties.b"]),
        # Nothing is listed, or it is said that there may be more.
        ({}, {"b": 2}, []),
        (True, {"b": 2}, []),
        ({"properties": {"a": {}}, "additionalProperties": True}, {"b": 2}, []),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"b": 2}, []),
        ({"properties": {"a": {}}, "patternProperties": {"^b": {}}}, {"b": 2}, []),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b": 2}, ["properties.b"]),
        ({"additionalProperties": False}, {"b": 2}, ["properties.b"]),
        ({"if": {"additionalProperties": False}}, {"b": 2}, []),
        # Below the top, an object is closed if something is listed.
        ({"properties": {"o": {"properties": {"a": {}}}}}, {"o": {"b": 1}}, ["properties.o.b"]),
        ({"properties": {"o": {"properties": {}}}}, {"o": {"b": 1}}, []),
        ({"properties": {"o": {"type": "object"}}}, {"o": {"b": 1}}, []),
        ({"properties": {"o": {"properties": {"a": {}}}}}, {"o": [{"b": 1}]}, []),
        (
            {"properties": {"l": {"items": {"properties": {"a": {}}}}}},
            {"l": [{"a": 1}, {"b": 1}, 5, {"c": 1}]},
            ["properties.l[1].b", "properties.l[3].c"],
        ),
        # What applies to the same object together names its keys.
        ({"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]}, {"b": 1}, []),
        (
            {"properties": {"a": {}}, "if": {}, "then": {"properties": {"b": {}}}},
            {"a": 1, "b": 1, "c": 1},
            ["properties.c"],
        ),
        (
            {
                "properties": {"o": {"properties": {"a": {}}}},
                "oneOf": [{"properties": {"o": {"properties": {"b": {}}}}}],
            },
            {"o": {"a": 1, "b": 1, "c": 1}},
            ["properties.o.c"],
        ),
        ({"properties": {"a": {}}, "dependencies": {"a": ["b"]}}, {"c": 1}, ["properties.c"]),
        (
            {"properties": {"a": {}}, "dependencies": {"a": {"properties": {"b": {}}}}},
            {"b": 1},
            [],
        ),
        # A reference may name anything.
        ({"properties": {"a": {}}, "allOf": [{"$ref": "#"}]}, {"b": 1}, []),
    ],
)
def test_what_is_unplanned(schema: Any, value: Any, fields: list[str]) -> None:
    """A key that no part of the schema names, in an object whose keys are listed."""
    assert unplanned(schema, value) == fields


# -- taking out ------------------------------------------------------------------------------------


def test_taking_out() -> None:
    """Keys and elements go, the original stays, and what is not there does not matter."""
    value = {"p": {"a": 1, "l": [1, {"b": 2, "c": 3}, 3], "o": {"x": {"y": 1}}}}
    before = json.dumps(value)
    paths = [
        ("p", "l", 0),
        ("p", "l", 1, "b"),
        ("p", "l", 2),
        ("p", "o", "x", "y"),
        ("p", "o", "x"),
        ("p", "nowhere", "x"),
        ("p", "a", "b"),
    ]
    assert without(value, paths) == {"p": {"a": 1, "l": [{"c": 3}], "o": {}}}
    assert without(value, paths[::-1]) == without(value, paths)
    assert without(value, []) == value
    assert json.dumps(value) == before


names = st.sampled_from("abcd")
bodies = st.recursive(
    st.integers(0, 1),
    lambda inner: st.dictionaries(names, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, bodies, max_size=4))
def test_what_is_left_is_planned(body: dict[str, Any]) -> None:
    """Once what is unplanned has been taken out, nothing is; what was planned is still there."""
    inner = {"properties": {"b": {"items": {"properties": {"c": {}}}}}}
    rule = body_rule({"properties": {"a": inner, "b": {"items": inner}}})
    paths = rule.unplanned(body)
    left = without({"properties": body}, paths)["properties"]
    assert rule.unplanned(left) == []
    assert left.keys() == body.keys() & {"a", "b"}
