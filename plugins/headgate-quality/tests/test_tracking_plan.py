"""Tracking plans: their files, and the rule that an event gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigError
from headgate_quality.tracking_plan import TrackingPlan, read_plan


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
    """Only the whole number of an existing version picks it; all else gets the oldest."""
    rule = versions(10, 3, 2).rule("track", "Order Completed", asked)
    assert rule is not None
    (violation,) = rule.violations({"properties": {}})
    assert violation.field == f"properties.{taken}"


def test_true_is_not_version_one() -> None:
    """JSON's true is not a number, unlike Python's."""
    rule = versions(0, 1).rule("track", "Order Completed", True)
    assert rule is not None
    assert rule.violations({"properties": {}})[0].field == "properties.v0"


@pytest.mark.parametrize("name", ["order completed", "Order Completed ", "Order  Completed", ""])
def test_names_match_exactly(name: str) -> None:
    """Case and spaces count."""
    assert versions(1).rule("track", name, None) is None


def test_rules_of_persons_and_groups_have_no_name() -> None:
    """Such rules apply to all events of the type, whatever their key."""
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
    """A list of rules, and the answer of Segment's API with it, can be read with any other keys."""
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
    """A schema cannot refer to anything outside the plan, over the network or on disk."""
    tree = {"rules": [{**RULE, "jsonSchema": {"$ref": ref}}]}
    with pytest.raises(ConfigError, match="Retrieval is disabled"):
        read_plan(write(tmp_path, tree))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The error has the path."""
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
    """Any file is a plan or a `ConfigError`."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    try:
        plan = read_plan(path)
    except ConfigError:
        return
    assert isinstance(plan, TrackingPlan)


@given(json_values)
def test_any_schema(schema: Any) -> None:
    """Any value for a schema is refused, or can be used."""
    plan = TrackingPlan()
    try:
        plan.add("track", "e", 1, {"properties": {"properties": schema}})
    except ValueError:
        return
    rule = plan.rule("track", "e", 1)
    assert rule is not None
    rule.violations({"properties": {"a": [1]}})
    rule.unplanned({"a": [1]})
