"""Violations: how each is described, and how many there can be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from headgate_quality.tracking_plan import Rule
from headgate_quality.violations import MAX_ERRORS, MAX_TEXT, TOO_MANY

BodyRule = Callable[[Any], Rule]


def found(rule: Rule, properties: Any) -> list[tuple[str, str]]:
    """Returns kind and field of each violation."""
    violations = rule.violations({"properties": properties})
    return [(violation.kind, violation.field) for violation in violations]


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
    body_rule: BodyRule, schema: Any, value: Any, kind: str, field: str, description: str
) -> None:
    """Descriptions name fields and types, and repeat no value."""
    (violation,) = body_rule(schema).violations({"properties": value})
    assert (violation.kind, violation.field, violation.description) == (kind, field, description)
    assert violation.present == (kind != "Required")


def test_all_violations_are_found(body_rule: BodyRule) -> None:
    """All violations are found, with one for each additional property."""
    schema = {"properties": FIELDS, "required": ["b", "c"], "additionalProperties": False}
    assert sorted(found(body_rule(schema), {"a": 1, "x": 1, "y": 1, "list": [{}, {}]})) == [
        ("Invalid Type", "properties.a"),
        ("Required", "properties.b"),
        ("Required", "properties.c"),
        ("Required", "properties.list[0].sku"),
        ("Required", "properties.list[1].sku"),
        ("Unplanned Property", "properties.x"),
        ("Unplanned Property", "properties.y"),
    ]


def test_violations_are_not_looked_at_one_by_one_without_end(body_rule: BodyRule) -> None:
    """An event with too many errors quickly gets one violation."""
    rule = body_rule({"properties": {"l": {"items": {"type": "string"}}}})
    assert len(rule.violations({"properties": {"l": [1] * MAX_ERRORS}})) == MAX_ERRORS
    assert rule.violations({"properties": {"l": [1] * (MAX_ERRORS + 1)}}) == [TOO_MANY]
    assert TOO_MANY.description == f"the event has more than {MAX_ERRORS} violations"


def test_all_forbidden_properties_are_found(body_rule: BodyRule) -> None:
    """If none is permitted, each is a violation, also in nested objects."""
    nothing = {"additionalProperties": False}
    fields = [("Unplanned Property", f"properties.{key}") for key in ("a", "b")]
    assert found(body_rule(nothing), {"a": 1, "b": 2}) == fields
    assert found(body_rule({"properties": {"o": {"items": nothing}}}), {"o": [{}, {"c": 1}]}) == [
        ("Unplanned Property", "properties.o[1].c")
    ]


def test_a_long_name_is_cut(body_rule: BodyRule) -> None:
    """The length of a description does not depend on a client's names."""
    (violation,) = body_rule({"additionalProperties": False}).violations(
        {"properties": {"x" * 9999: 1}}
    )
    assert len(violation.field) == MAX_TEXT
    assert len(violation.description) < MAX_TEXT + 50


def test_a_pattern_cannot_be_made_to_take_forever(body_rule: BodyRule) -> None:
    """A text that needs more steps than permitted does not match."""
    schema = {"properties": {"a": {"pattern": "^(a|a)*(?=x)b$"}}}
    started = time.process_time()
    assert found(body_rule(schema), {"a": "a" * 5000}) == [("Invalid Value", "properties.a")]
    assert time.process_time() - started < 2


def test_numbers_of_any_size(body_rule: BodyRule) -> None:
    """A number larger than a machine word is a number."""
    assert found(body_rule({"properties": {"a": {"type": "integer"}}}), {"a": 10**400}) == []
