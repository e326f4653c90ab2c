"""Differences between two JSON values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.json_diff import Change, changes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("changed", "a")]),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, [("added", "a.c")]),
        ({"a": [1, {"b": 2}]}, {"a": [1]}, [("removed", "a[1]")]),
        ({"a": [{"b": 2}]}, {"a": [{"b": 3}]}, [("changed", "a[0].b")]),
        ({"my key": 1, "$id": 1}, {}, [("removed", '["my key"]'), ("removed", "$id")]),
        ({"a": {"x.y": 1}}, {"a": {"x.y": 2}}, [("changed", 'a["x.y"]')]),
        ({"a": 1}, {"a": True}, [("changed", "a")]),
        ({"a": None}, {}, [("removed", "a")]),
        ({"a": {}}, {"a": []}, [("changed", "a")]),
        ("x", "y", [("changed", "")]),
    ],
)
def test_each_path_is_named(was: Any, now: Any, found: list[tuple[str, str]]) -> None:
    """Each difference has its kind, and its path in the form of conditions."""
    assert [(change.kind, change.path) for change in changes(was, now)] == found


@given(JSON, JSON)
def test_there_are_changes_where_values_differ(was: Any, now: Any) -> None:
    """Equal values have no differences; others have at least one, in both directions."""
    same = msgspec.json.encode(was, order="sorted") == msgspec.json.encode(now, order="sorted")
    assert bool(changes(was, now)) is not same
    assert bool(changes(now, was)) is not same


def test_what_was_not_there_is_not_null() -> None:
    """In JSON an added value has no `was`."""
    assert msgspec.json.encode(changes({}, {"a": None})) == b'[{"path":"a","now":null}]'
    assert changes({"a": 1}, {"a": 2}) == [Change("a", 1, 2)]
