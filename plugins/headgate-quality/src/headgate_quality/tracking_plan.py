"""A tracking plan, read from its file and compiled: the events of an app and their content.

The file is the list of rules that Segment's API returns for a plan,
https://docs.segmentapis.com/tag/Tracking-Plans: an object with `rules`, or the whole answer with
that object under `data`. Each rule is ``{"type", "key", "version", "jsonSchema"}``. Its JSON Schema
(draft-07) applies to ``{"properties": {...}}``, with identify and group to ``{"traits": {...}}``,
and with the type ``common`` to the whole event. Schemas are compiled once, and fetch nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway import ConfigError
from headgate_quality.shapes import Shape, shape_of_body, unplanned_in
from headgate_quality.violations import MAX_ERRORS, TOO_MANY, Steps, Violation, violations_of

if TYPE_CHECKING:
    from jsonschema_rs import Draft7Validator

__all__ = ["BODIES", "MAX_BACKTRACKS", "Rule", "TrackingPlan", "read_plan"]

MAX_BACKTRACKS = 100_000
"""Most steps back that a schema's pattern may take in one text; with more it does not match."""

BODIES = {
    "track": "properties",
    "page": "properties",
    "screen": "properties",
    "identify": "traits",
    "group": "traits",
}
"""Types of events that have rules of their own, each with the body that the rules apply to."""

_TYPES = (*BODIES, "common")
_NAMED = frozenset({"track", "page", "screen"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule, compiled.

    Attributes:
        body: ``properties`` or ``traits``; empty for the common rule.
    """

    body: str
    _validator: Draft7Validator
    _shape: Shape | None

    def unplanned(self, body: Mapping[str, Any]) -> list[Steps]:
        """Returns the paths of the values that the rule does not name, outer ones first."""
        return [] if self._shape is None else unplanned_in(self._shape, body, (self.body,))

    def violations(self, instance: Mapping[str, Any]) -> list[Violation]:
        """Returns all violations of an instance, or `TOO_MANY` alone if they exceed `MAX_ERRORS`.

        Args:
            instance: ``{body: {...}}``, or a whole event for the common rule.
        """
        if self._validator.is_valid(instance):
            return []
        # Counting the errors takes a tenth of the time of building them, and all are built at once.
        if len(self._validator.evaluate(instance).errors()) > MAX_ERRORS:
            return [TOO_MANY]
        errors = self._validator.iter_errors(instance)
        return [violation for error in errors for violation in violations_of(error, instance)]


@dataclass(slots=True)
class TrackingPlan:
    """All rules of a plan.

    Attributes:
        id, name: of the plan, if its file has them.
    """

    id: str = ""
    name: str = ""
    _rules: dict[tuple[str, str], dict[int, Rule]] = field(default_factory=dict)

    def rule(self, type_: str, key: str, version: object) -> Rule | None:
        """Returns the rule for a type and exactly this name, in the version that the event wants.

        Args:
            version: `context.protocols.event_version`. Anything but the number of an existing
                version stands for the oldest.
        """
        versions = self._rules.get((type_, key))
        if versions is None:
            return None
        if type(version) is int and version in versions:  # True is an int, and 1.0 equals 1
            return versions[version]
        return versions[min(versions)]

    def add(self, type_: str, key: str, version: int, schema: Any) -> None:
        """Compiles a rule and adds it.

        Raises:
            ValueError: the rule cannot be used; the text says why.
        """
        kind = type_.lower()
        if kind not in _TYPES:
            raise ValueError(f"type: {type_!r} is none of {', '.join(_TYPES)}")
        versions = self._rules.setdefault((kind, key if kind in _NAMED else ""), {})
        if version in versions:
            raise ValueError(f"version {version} of {kind} {key!r} is there twice")
        body = BODIES.get(kind, "")
        versions[version] = Rule(body, _compile(schema), shape_of_body(schema, body))


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


def read_plan(path: Path) -> TrackingPlan:
    """Reads and compiles the plan in a file.

    Raises:
        ConfigError: the file cannot be read, or is not a tracking plan.
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
    # Imported here: loading it takes as long as the rest of a command that needs no plan.
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
