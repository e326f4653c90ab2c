"""Shapes: the keys that a JSON Schema names, to find properties that are not in the plan.

JSON Schema permits keys that a schema does not name. A tracking plan treats them as unplanned, so
they are looked for apart from validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headgate_quality.violations import Steps

__all__ = ["Shape", "shape_of_body", "unplanned_in"]

_ALTERNATIVES = ("allOf", "anyOf", "oneOf")
_CONDITIONALS = ("if", "then", "else")


@dataclass(slots=True)
class Shape:
    """The keys that a schema names in an object, and the shape of a list's elements.

    Attributes:
        closed: whether other keys are unplanned.
        known: keys of an object, each with the shape of its value.
        items: shape of a list's elements.
    """

    closed: bool
    known: dict[str, Shape | None]
    items: Shape | None


def shape_of_body(schema: Any, body: str) -> Shape | None:
    """Returns the shape of the properties or traits, or None where the schema permits any key."""
    if not body or not isinstance(schema, dict) or "$ref" in schema:
        return None
    properties = schema.get("properties")
    return _shape([properties.get(body)], top=True) if isinstance(properties, dict) else None


def unplanned_in(shape: Shape, value: Any, path: Steps) -> list[Steps]:
    """Returns the paths of the keys that a shape does not name, outer ones first.

    Args:
        path: of the value itself.
    """
    found: list[Steps] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in shape.known:
                if shape.closed:
                    found.append((*path, key))
            elif (below := shape.known[key]) is not None:
                found += unplanned_in(below, inner, (*path, key))
    elif isinstance(value, list) and shape.items is not None:
        for index, inner in enumerate(value):
            found += unplanned_in(shape.items, inner, (*path, index))
    return found


def _shape(schemas: Sequence[Any], *, top: bool = False) -> Shape | None:
    """Returns the common shape of all schemas that apply to one value; None for "any key".

    An object is closed if the schemas list its keys or forbid others, and none of them permits
    more. An empty list of keys closes an object at the top only: further down it says no more than
    that the value is an object.
    """
    known: dict[str, list[Any]] = {}
    items: list[Any] = []
    listed = any(isinstance(s, dict) and s.get("additionalProperties") is False for s in schemas)
    is_open = False
    waiting = list(schemas)
    for schema in waiting:  # the list grows: subschemas for the same value are appended to it
        if not isinstance(schema, dict):
            continue
        if "$ref" in schema:
            return None
        is_open |= "patternProperties" in schema
        is_open |= schema.get("additionalProperties", False) is not False
        names = schema.get("properties")
        if isinstance(names, dict):
            listed |= top or bool(names)
            for name, below in names.items():
                known.setdefault(name, []).append(below)
        items.append(schema.get("items"))
        waiting += [each for key in _ALTERNATIVES for each in schema.get(key, ())]
        waiting += [schema.get(key) for key in _CONDITIONALS]
        waiting += schema.get("dependencies", {}).values()
    closed = listed and not is_open
    if not closed and not known and not any(isinstance(item, dict) for item in items):
        return None
    return Shape(closed, {name: _shape(below) for name, below in known.items()}, _shape(items))
