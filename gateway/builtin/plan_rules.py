"""A tracking plan, read and compiled: which events there may be, and what may be in them.

The file is the list of rules that Segment's API gives for a plan,
https://docs.segmentapis.com/tag/Tracking-Plans: an object with `rules`, or the whole answer with
that object under `data`. Each rule is ``{"type", "key", "version", "jsonSchema"}``; its JSON Schema
(draft-07) is for ``{"properties": {...}}``, for ``{"traits": {...}}`` with identify and group, and
for the whole event with the type ``common``. Schemas are compiled once, and fetch nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Struct

from gateway.errors import ConfigError
from gateway.events.conditions.path import Path

if TYPE_CHECKING:
    from jsonschema_rs import Draft7Validator, ValidationError

__all__ = [
    "BODIES",
    "MAX_BACKTRACKS",
    "MAX_ERRORS",
    "MAX_TEXT",
    "TOO_MANY",
    "UNPLANNED_EVENT",
    "Rule",
    "Steps",
    "TrackingPlan",
    "Violation",
    "read_plan",
    "without",
]

MAX_TEXT = 200
"""Characters of a name from an event that are repeated in what is said about it."""

MAX_BACKTRACKS = 100_000
"""Steps back that a schema's pattern may take in one text; one that takes more does not match."""

MAX_ERRORS = 1000
"""Errors of one event that are looked at one by one; one with more is wrong as a whole."""

BODIES = {
    "track": "properties",
    "page": "properties",
    "screen": "properties",
    "identify": "traits",
    "group": "traits",
}
"""Types of events that have rules of their own, to the body that these are about."""

_TYPES = (*BODIES, "common")
_NAMED = frozenset({"track", "page", "screen"})

Steps: TypeAlias = tuple[str | int, ...]
"""Where a value is: keys of objects and indexes of lists, from the top of the event."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is not as the plan has it, in words that quote no value.

    Attributes:
        kind: ``Unplanned Event``, ``Unplanned Property``, ``Required``, ``Invalid Type``,
            ``Invalid Value`` (enum, const, pattern, format) or ``Schema`` (any other keyword).
        path: of the value, or of the one that is missing; empty if it is the event as a whole.
        complaint: what is wrong with it, as the end of a sentence.
        present: whether there is a value at `path` that could be taken out.
    """

    kind: str
    path: Steps
    complaint: str
    present: bool = True

    @property
    def field(self) -> str:
        """The path as text, such as ``properties.products[0].sku``."""
        return field_of(self.path)

    @property
    def description(self) -> str:
        """A sentence."""
        # Not before it is asked for: an event can have thousands, of which a few are told.
        return f"{self.field or 'the event'} {self.complaint}"


UNPLANNED_EVENT = Violation("Unplanned Event", (), "is not in the plan", present=False)
TOO_MANY = Violation("Schema", (), f"has more than {MAX_ERRORS} violations", present=False)


def field_of(path: Steps) -> str:
    """A path as text, of bounded length."""
    return str(Path(str(path[0]), path[1:]))[:MAX_TEXT] if path else ""


def unplanned_property(path: Steps) -> Violation:
    """For a property or trait that the plan does not name."""
    return Violation("Unplanned Property", path, "is not in the plan")


@dataclass(slots=True)
class _Shape:
    """What a schema names: keys of an object, and what is in the elements of a list."""

    closed: bool
    known: dict[str, _Shape | None]
    items: _Shape | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule, compiled.

    Attributes:
        body: ``properties`` or ``traits``; empty for the common rule.
    """

    body: str
    _validator: Draft7Validator
    _shape: _Shape | None

    def unplanned(self, body: Mapping[str, Any]) -> list[Steps]:
        """Paths of what the rule does not name, from outside in."""
        found: list[Steps] = []
        if self._shape is not None:
            _find_unplanned(self._shape, body, (self.body,), found)
        return found

    def violations(self, instance: Mapping[str, Any]) -> list[Violation]:
        """How an instance, ``{body: {...}}`` or a whole event, fails to meet the schema.

        Where that is in more ways than `MAX_ERRORS`, the answer is `TOO_MANY` alone.
        """
        if self._validator.is_valid(instance):
            return []
        # Counting them takes a tenth of the time that making them takes, which is all or none.
        if len(self._validator.evaluate(instance).errors()) > MAX_ERRORS:
            return [TOO_MANY]
        errors = self._validator.iter_errors(instance)
        return [violation for error in errors for violation in _read(error, instance)]


@dataclass(slots=True)
class TrackingPlan:
    """All rules.

    Attributes:
        id, name: of the plan, if its file says so.
    """

    id: str = ""
    name: str = ""
    _rules: dict[tuple[str, str], dict[int, Rule]] = field(default_factory=dict)

    def rule(self, type_: str, key: str, version: object) -> Rule | None:
        """The rule for a type and exactly this name, in the version that an event asks for.

        Args:
            version: `context.protocols.event_version`; anything but the number of a version that
                there is stands for the oldest.
        """
        versions = self._rules.get((type_, key))
        if versions is None:
            return None
        if type(version) is int and version in versions:  # True is an int, and 1.0 equals 1
            return versions[version]
        return versions[min(versions)]

    def add(self, type_: str, key: str, version: int, schema: Any) -> None:
        """Compile a rule and take it up.

        Raises:
            ValueError: it cannot be used; the text says why.
        """
        kind = type_.lower()
        if kind not in _TYPES:
            raise ValueError(f"type: {type_!r} is none of {', '.join(_TYPES)}")
        versions = self._rules.setdefault((kind, key if kind in _NAMED else ""), {})
        if version in versions:
            raise ValueError(f"version {version} of {kind} {key!r} is there twice")
        body = BODIES.get(kind, "")
        versions[version] = Rule(body, _compile(schema), _body_shape(schema, body))


class _RawRule(Struct):
    type: str
    json_schema: Any = msgspec.field(name="jsonSchema")
    key: str | None = None
    version: int = 1


class _RawPlan(Struct):
    rules: list[_RawRule]
    id: str = ""
    name: str = ""


class _Answer(Struct):
    data: _RawPlan


def read_plan(path: FilePath) -> TrackingPlan:
    """Read and compile the plan in a file.

    Raises:
        ConfigError: it cannot be read, or is no plan.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        tree = msgspec.json.decode(data)
        if isinstance(tree, dict) and "data" in tree:
            raw = msgspec.convert(tree, _Answer).data
        else:
            raw = msgspec.convert(tree, _RawPlan)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a tracking plan: {error}") from error
    if not raw.rules:
        raise ConfigError(f"{path} is not a tracking plan: it has no rules")
    plan = TrackingPlan(raw.id, raw.name)
    for index, rule in enumerate(raw.rules):
        try:
            plan.add(rule.type, rule.key or "", rule.version, rule.json_schema)
        except ValueError as error:
            raise ConfigError(f"{path}: rules[{index}]: {error}") from error
    return plan


def _compile(schema: Any) -> Draft7Validator:
    # Here, for it takes as long to load as the rest of a command that needs no plan.
    from jsonschema_rs import Draft7Validator, FancyRegexOptions

    try:
        return Draft7Validator(
            schema,
            validate_formats=True,
            offline=True,
            pattern_options=FancyRegexOptions(backtrack_limit=MAX_BACKTRACKS),
        )
    except ValueError as error:
        raise ValueError(f"jsonSchema: {str(error).splitlines()[0]}") from None


def _body_shape(schema: Any, body: str) -> _Shape | None:
    if not body or not isinstance(schema, dict) or "$ref" in schema:
        return None
    properties = schema.get("properties")
    return _shape([properties.get(body)], top=True) if isinstance(properties, dict) else None


_ALTERNATIVES = ("allOf", "anyOf", "oneOf")
_CONDITIONALS = ("if", "then", "else")


def _shape(schemas: Sequence[Any], *, top: bool = False) -> _Shape | None:
    """What several schemas for the same value name together; None if that cannot be said.

    An object is closed if its keys are listed, or others are forbidden, and nothing says that there
    may be others. One whose list is empty is closed only at the top: below, that says no more than
    that it is an object.
    """
    known: dict[str, list[Any]] = {}
    items: list[Any] = []
    listed = any(isinstance(s, dict) and s.get("additionalProperties") is False for s in schemas)
    is_open = False
    waiting = list(schemas)
    for schema in waiting:  # which grows: what applies to the same value is looked at too
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
    return _Shape(closed, {name: _shape(below) for name, below in known.items()}, _shape(items))


def _find_unplanned(shape: _Shape, value: Any, path: Steps, found: list[Steps]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in shape.known:
                if shape.closed:
                    found.append((*path, key))
            elif (below := shape.known[key]) is not None:
                _find_unplanned(below, inner, (*path, key), found)
    elif isinstance(value, list) and shape.items is not None:
        for index, inner in enumerate(value):
            _find_unplanned(shape.items, inner, (*path, index), found)


_INVALID_VALUE = {
    "enum": "is none of the permitted values",
    "const": "is not the permitted value",
    "pattern": "does not have the permitted form",
}


def _read(error: ValidationError, instance: Any) -> Iterator[Violation]:
    """The violations in an error, whose own text quotes the event and is not used."""
    keyword, details = error.kind.name, error.kind.as_dict()
    path: Steps = tuple(error.instance_path)
    if error.schema_path[-1] == "additionalProperties":
        if keyword != "additionalProperties":  # all are forbidden, and the error does not list them
            for step in path:
                instance = instance[step]
            details["unexpected"] = list(instance)
        for key in details["unexpected"]:
            yield unplanned_property((*path, key))
    elif keyword == "required":
        missing = (*path, details["property"])
        yield Violation("Required", missing, "is required", present=False)
    elif keyword == "type":
        types = " or ".join(details["types"])
        yield Violation("Invalid Type", path, f"is not of type {types}")
    elif keyword == "format":
        yield Violation("Invalid Value", path, f"is not a valid {details['format']}")
    elif keyword in _INVALID_VALUE:
        yield Violation("Invalid Value", path, _INVALID_VALUE[keyword])
    elif keyword == "falseSchema":
        yield Violation("Schema", path, "is not permitted")
    else:
        yield Violation("Schema", path, f"does not meet the plan's {keyword}")


_Tree: TypeAlias = dict[str | int, "_Tree | None"]


def without(instance: Mapping[str, Any], paths: Sequence[Steps]) -> dict[str, Any]:
    """An object without what is at these paths, which need not exist; the object is not changed."""
    tree: _Tree = {}
    for path in paths:
        node = tree
        for step in path[:-1]:
            below = node.setdefault(step, {})
            if below is None:
                break  # all of it goes
            node = below
        else:
            node[path[-1]] = None
    pruned: dict[str, Any] = _prune(instance, tree)
    return pruned


def _prune(value: Any, tree: _Tree) -> Any:
    if isinstance(value, Mapping):
        return {
            key: inner if key not in tree else _prune(inner, below)
            for key, inner in value.items()
            if (below := tree.get(key, {})) is not None
        }
    if isinstance(value, list):
        return [
            inner if index not in tree else _prune(inner, below)
            for index, inner in enumerate(value)
            if (below := tree.get(index, {})) is not None
        ]
    return value
