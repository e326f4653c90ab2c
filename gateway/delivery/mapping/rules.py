"""Reads the rules of a mapping from config.toml, checks them, and compiles them to steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import msgspec

from gateway.components.settings import Settings
from gateway.delivery.mapping.draft import TARGETS, Draft, field_value, own, put, take
from gateway.delivery.mapping.expression import Expression, ExpressionError, compile_expression
from gateway.delivery.mapping.functions import Unfit
from gateway.errors import ConfigError, Permanent
from gateway.events.conditions.condition import Condition, ConditionError, compile_condition
from gateway.events.conditions.path import EVERY, FIELDS, Path, PathError, parse_path
from gateway.events.event import Event

__all__ = ["EventMapping", "Rule", "compile_mapping"]


class Rule(Settings, frozen=True):
    """A table of `mapping`. Its actions are done in the order of these attributes.

    Attributes:
        condition: ``if``: a condition on the events that it applies to; if empty, all events.
        rename_events: old to new names of track events.
        rename: old to new paths; a path without a value is skipped.
        copy: paths to copy from, and to copy to.
        constants: ``set``: paths and the values to store there.
        compute: paths and expressions; null is not stored.
        drop: paths to remove.
    """

    condition: str = msgspec.field(default="", name="if")
    rename_events: dict[str, str] = msgspec.field(default_factory=dict)
    rename: dict[str, str] = msgspec.field(default_factory=dict)
    copy: dict[str, str] = msgspec.field(default_factory=dict)
    constants: dict[str, Any] = msgspec.field(default_factory=dict, name="set")
    compute: dict[str, str] = msgspec.field(default_factory=dict)
    drop: tuple[str, ...] = ()


_Step: TypeAlias = Callable[[Draft], None]


@dataclass(frozen=True, slots=True)
class _Compiled:
    condition: Condition | None
    steps: tuple[tuple[str, _Step], ...]  # each with its place in config, for dead letters


class EventMapping:
    """Maps events by rules; see `compile_mapping`."""

    def __init__(self, rules: Sequence[_Compiled]) -> None:
        self._rules = tuple(rules)

    def __call__(self, event: Event) -> Event:
        """Returns a mapped copy of the event, or the event itself if no rule applies to it.

        Raises:
            Permanent: it cannot be mapped. The message names the place in config and quotes no
                value.
        """
        draft: Draft | None = None
        for rule in self._rules:
            if rule.condition is not None and not rule.condition(event):
                continue
            if draft is None:
                draft = Draft(event)
                event = draft.event
            for place, step in rule.steps:
                try:
                    step(draft)
                except Unfit as error:
                    raise Permanent(f"{place}: {error}") from None
        return event if draft is None else draft.finish()


def compile_mapping(rules: Sequence[Rule], path: str) -> EventMapping:
    """Compiles rules to a mapping.

    Args:
        path: path of the list of rules in config.toml, such as ``destinations.crm.mapping``.

    Raises:
        ConfigError: a rule is wrong. The message starts with the path of the mistake.
    """
    compiled = [
        _RuleCompiler(rule, f"{path}[{number}]", f"mapping[{number}]").read()
        for number, rule in enumerate(rules)
    ]
    return EventMapping(compiled)


class _RuleCompiler:
    """Compiles one rule.

    Args:
        path: path of the rule in config.toml, for errors.
        place: place of the rule within its destination, for dead letters.
    """

    def __init__(self, rule: Rule, path: str, place: str) -> None:
        self._rule = rule
        self._path = path
        self._place = place

    def read(self) -> _Compiled:
        rule = self._rule
        condition = None
        if rule.condition:
            try:
                condition = compile_condition(rule.condition)
            except ConditionError as error:
                raise self._wrong("if", error) from None
        steps = tuple(self._steps())
        if not steps:
            raise ConfigError(
                f"{self._path}: does nothing; there are rename_events, rename, copy, set, "
                "compute and drop"
            )
        return _Compiled(condition, steps)

    def _steps(self) -> Iterator[tuple[str, _Step]]:
        rule = self._rule
        if rule.rename_events:
            for old, new in rule.rename_events.items():
                if not new.strip():
                    raise self._wrong(_key("rename_events", old), "the new name is empty")
            yield f"{self._place}.rename_events", partial(_rename_event, dict(rule.rename_events))
        for action, pairs in (("rename", rule.rename), ("copy", rule.copy)):
            for source, target in pairs.items():
                key = _key(action, source)
                yield f"{self._place}.{key}", self._transfer(key, source, target, action)
        for target, value in rule.constants.items():
            key = _key("set", target)
            yield f"{self._place}.{key}", self._constant(key, target, value)
        for target, text in rule.compute.items():
            key = _key("compute", target)
            path = self._target(key, target)
            yield f"{self._place}.{key}", self._computed(key, path, text)
        for number, text in enumerate(rule.drop):
            key = f"drop[{number}]"
            yield f"{self._place}.{key}", self._dropped(key, text)

    def _transfer(self, key: str, source: str, target: str, action: str) -> _Step:
        origin = self._parsed(key, source)
        goal = self._target(key, target)
        scope, from_scope = _scope_of(goal), _scope_of(origin)
        if scope != from_scope:
            raise self._wrong(key, "with [] both paths lead into the same list, up to the last []")
        if goal.root == origin.root and goal.steps[: len(origin.steps)] == origin.steps:
            raise self._wrong(key, "leads into itself")
        if action == "copy":
            return self._computed(key, goal, str(origin))
        self._check_removable(key, origin)
        read = compile_expression(str(origin), scope)
        return _moving(origin, goal, scope, read)

    def _constant(self, key: str, target: str, value: Any) -> _Step:
        path = self._target(key, target)
        # TOML has dates and NaN, which JSON does not have.
        value = msgspec.json.decode(msgspec.json.encode(value))
        if path.root in FIELDS:
            try:
                field_value(path.root, value)
            except Unfit as error:
                raise self._wrong(key, error) from None
        return _storing(path, lambda _, __: value)

    def _computed(self, key: str, path: Path, text: str) -> _Step:
        try:
            return _storing(path, compile_expression(text, _scope_of(path)))
        except ExpressionError as error:
            raise self._wrong(key, error) from None

    def _dropped(self, key: str, text: str) -> _Step:
        path = self._parsed(key, text)
        self._check_removable(key, path)
        return lambda draft: draft.remove(path)

    def _target(self, key: str, text: str) -> Path:
        path = self._parsed(key, text)
        self._check_root(key, path)
        if path.root not in FIELDS and not path.steps:
            raise self._wrong(key, f"name a key in it, such as {path.root}.plan")
        if path.steps and path.steps[-1] is EVERY:
            raise self._wrong(key, "name a key of the elements, such as [].sku")
        return path

    def _check_removable(self, key: str, path: Path) -> None:
        self._check_root(key, path)
        if path.root == "type":
            raise self._wrong(key, "an event cannot be without 'type'")

    def _check_root(self, key: str, path: Path) -> None:
        if path.root not in TARGETS:
            raise self._wrong(key, f"{path.root!r} stays as it is; there are: {', '.join(TARGETS)}")
        if path.steps and not isinstance(path.steps[0], str):
            raise self._wrong(key, f"{path.root} is an object, and has keys and not elements")

    def _parsed(self, key: str, text: str) -> Path:
        try:
            return parse_path(text)
        except PathError as error:
            raise self._wrong(key, f"{text!r}: {error}") from None

    def _wrong(self, key: str, problem: object) -> ConfigError:
        return ConfigError(f"{self._path}.{key}: {problem}")


def _key(action: str, name: str) -> str:
    return f'{action}."{name}"'


def _scope_of(path: Path) -> Path | None:
    """Returns the path of the innermost list whose elements a path visits, or None."""
    if EVERY not in path.steps:
        return None
    last = len(path.steps) - 1 - path.steps[::-1].index(EVERY)
    return Path(path.root, path.steps[: last + 1])


def _rename_event(names: Mapping[str, str], draft: Draft) -> None:
    new = names.get(draft.event.event or "")
    if new is not None:
        draft.event.event = new


def _storing(path: Path, expression: Expression) -> _Step:
    """Returns a step that stores the value of an expression at a path or in each list element."""
    scope = _scope_of(path)
    if scope is None:

        def store(draft: Draft) -> None:
            value = expression(draft.event, None)
            if value is not None:
                draft.store(path, own(value))

        return store
    rest = path.steps[len(scope.steps) :]

    def store_in_each(draft: Draft) -> None:
        for element in draft.elements(scope):
            value = expression(draft.event, element)
            if value is not None:
                put(element, rest, own(value))

    return store_in_each


def _moving(origin: Path, goal: Path, scope: Path | None, read: Expression) -> _Step:
    """Returns a step that moves a value from one path to another, or within each list element."""
    if scope is None:

        def move(draft: Draft) -> None:
            value = read(draft.event, None)
            if value is not None:
                value = own(value)
                draft.remove(origin)
                draft.store(goal, value)

        return move
    source, target = (path.steps[len(scope.steps) :] for path in (origin, goal))

    def move_in_each(draft: Draft) -> None:
        for element in draft.elements(scope):
            value = read(draft.event, element)
            if value is not None:
                take(element, source)
                put(element, target, value)

    return move_in_each
