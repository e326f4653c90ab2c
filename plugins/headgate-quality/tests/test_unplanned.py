"""Unplanned properties: which ones a rule does not name, and copies without them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_quality.omit import without
from headgate_quality.tracking_plan import Rule
from headgate_quality.violations import field_of

BodyRule = Callable[[Any], Rule]


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
def test_what_is_unplanned(body_rule: BodyRule, schema: Any, value: Any, fields: list[str]) -> None:
    """A key is unplanned if no part of the schema names it and its object lists its keys."""
    assert [field_of(path) for path in body_rule(schema).unplanned(value)] == fields


# -- taking out ------------------------------------------------------------------------------------


def test_taking_out() -> None:
    """Keys and elements are removed from a copy, and missing paths do not matter."""
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
def test_what_is_left_is_planned(body_rule: BodyRule, body: dict[str, Any]) -> None:
    """Without the unplanned values nothing is unplanned, and planned ones are still there."""
    inner = {"properties": {"b": {"items": {"properties": {"c": {}}}}}}
    rule = body_rule({"properties": {"a": inner, "b": {"items": inner}}})
    paths = rule.unplanned(body)
    left = without({"properties": body}, paths)["properties"]
    assert rule.unplanned(left) == []
    assert left.keys() == body.keys() & {"a", "b"}
