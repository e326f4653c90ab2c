"""``plan``: holds events against a tracking plan, and blocks, mends or reports what is not in it.

For each event the standard controls come first: is there a rule for it, are there properties that
the rule does not name, does the rest meet the rule's schema. Then comes the common rule, for the
event as it is by then. `gateway.builtin.plan_rules` has the plan, `plan_reports` what is made of
its violations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Literal, TypeAlias, get_args

from msgspec import Meta, Struct

from gateway.builtin.plan_reports import described, forwarded, report, with_protocols
from gateway.builtin.plan_rules import (
    BODIES,
    TOO_MANY,
    UNPLANNED_EVENT,
    Steps,
    TrackingPlan,
    Violation,
    field_of,
    read_plan,
    unplanned_property,
    without,
)
from gateway.components.context import Context
from gateway.components.hookspecs import hookimpl
from gateway.components.transform import Transform, TransformSpec
from gateway.errors import ConfigError
from gateway.events.event import Event

__all__ = ["MAX_REPORTS", "MAX_VIOLATIONS", "Plan", "PlanConfig", "register_transforms"]

MAX_VIOLATIONS = 10
"""Violations that are recorded and reported for one event, unless set otherwise."""

MAX_REPORTS = 500
"""Reports made for the events of one request, unless set otherwise."""

_Block: TypeAlias = Literal["allow", "block"]
_Omit: TypeAlias = Literal["allow", "omit"]
_Any: TypeAlias = Literal["allow", "omit", "block"]
_Call: TypeAlias = Literal["track", "identify", "page", "screen", "group", "alias"]
_CALLS: tuple[_Call, ...] = get_args(_Call)


class PlanConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a plan.

    Attributes:
        file: the plan, as JSON.
        sources: ids of the sources whose events are checked; empty for all.
        unplanned_event: track events that have no rule.
        unplanned_properties: properties that a rule does not name, of track, page and screen.
        violations: properties that do not meet the schema.
        unplanned_traits, trait_violations: the same for the traits of identify and group.
        common_violations: events that do not meet the common rule; one word for all types of
            events, or a table by type.
        report_to: id of the source for "Violation Generated" events; empty for none.
        forward_blocked_to: id of the source that gets copies of blocked events; empty for none.
        max_violations: recorded and reported for one event.
        max_reports: made for the events of one request.
    """

    file: str
    sources: tuple[str, ...] = ()
    unplanned_event: _Block = "allow"
    unplanned_properties: _Omit = "allow"
    violations: _Any = "allow"
    unplanned_traits: _Omit = "allow"
    trait_violations: _Any = "allow"
    common_violations: _Block | dict[_Call, _Block] = "allow"
    report_to: str = ""
    forward_blocked_to: str = ""
    max_violations: Annotated[int, Meta(ge=1, le=100)] = MAX_VIOLATIONS
    max_reports: Annotated[int, Meta(ge=1, le=10_000)] = MAX_REPORTS


@dataclass(slots=True)
class _Findings:
    """What is wrong with an event, and what was done about it."""

    blocked: bool = False
    violations: list[Violation] = field(default_factory=list)
    omitted: list[Steps] = field(default_factory=list)
    omitted_on_violation: list[Steps] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.violations or self.omitted)


class Plan(Transform):
    """The transform.

    Args:
        id_: its id in config.toml.
    """

    mutates = True

    def __init__(self, config: PlanConfig, plan: TrackingPlan, id_: str) -> None:
        self._config = config
        self._plan = plan
        self._id = id_
        self._sources = frozenset(config.sources)
        self._made: list[Event] = []
        self._reports = 0
        targets = (config.report_to, config.forward_blocked_to)
        self.adds_to = tuple(dict.fromkeys(filter(None, targets)))
        common = config.common_violations
        words = common if isinstance(common, dict) else dict.fromkeys(_CALLS, common)
        self._common_blocks = frozenset(call for call, word in words.items() if word == "block")

    def apply(self, events: list[Event]) -> list[Event]:
        """The events that are not blocked, without what is to be left out of them."""
        self._made = []
        self._reports = 0
        return [event for event in events if self._passes(event)]

    def produced(self) -> list[Event]:
        """Reports and copies of blocked events."""
        made, self._made = self._made, []
        return made

    def _passes(self, event: Event) -> bool:
        if self._sources and event.source_id not in self._sources:
            return True
        protocols = event.context.get("protocols")
        version = protocols.get("event_version") if isinstance(protocols, Mapping) else None
        found = _Findings()
        self._check(event, version, found)
        if not found.blocked:
            self._check_common(event, version, found)
        if found:
            self._follow_up(event, found)
        return not found.blocked

    def _check(self, event: Event, version: object, found: _Findings) -> None:
        """The standard controls."""
        kind = event.type
        body = BODIES.get(kind)
        if body is None:
            return
        name = event.event if kind == "track" else event.name if body == "properties" else None
        rule = self._plan.rule(kind, name or "", version)
        config = self._config
        if rule is None:
            if kind == "track":
                found.violations.append(UNPLANNED_EVENT)
                found.blocked = config.unplanned_event == "block"
            return
        if body == "properties":
            values, unplanned, invalid = (
                event.properties,
                config.unplanned_properties,
                config.violations,
            )
        else:
            values, unplanned, invalid = (
                event.traits,
                config.unplanned_traits,
                config.trait_violations,
            )
        instance: Mapping[str, Any] = {body: values}
        unnamed = rule.unplanned(values)
        if unnamed and unplanned == "omit":
            found.omitted = unnamed
            instance = without(instance, unnamed)
        violations = rule.violations(instance)
        seen = {violation.path for violation in violations if violation.present}
        untold = (path for path in unnamed if path not in seen)
        found.violations += violations  # first: where not all is told, what blocked it is
        found.violations += map(unplanned_property, islice(untold, config.max_violations))
        if invalid == "block" or (invalid == "omit" and TOO_MANY in violations):
            found.blocked = bool(violations)
        elif invalid == "omit":
            # The body itself is not left out: where it as a whole is wrong, nothing in it is.
            paths = [v.path for v in violations if v.present and len(v.path) > 1]
            found.omitted_on_violation = list(dict.fromkeys(paths))
            instance = without(instance, found.omitted_on_violation)
        if found.omitted or found.omitted_on_violation:
            setattr(event, body, instance[body])

    def _check_common(self, event: Event, version: object, found: _Findings) -> None:
        rule = self._plan.rule("common", "", version)
        if rule is None:
            return
        violations = rule.violations(event.to_dict())
        found.violations[:0] = violations
        found.blocked = bool(violations) and event.type in self._common_blocks

    def _follow_up(self, event: Event, found: _Findings) -> None:
        """Report, and record on the event or forward a copy of it."""
        config = self._config
        violations = found.violations[: config.max_violations]
        changed = found.omitted or found.omitted_on_violation
        if config.report_to:
            wanted = violations[: config.max_reports - self._reports]
            self._reports += len(wanted)
            self._made += [
                report(event, violation, self._plan, config.report_to, self._id)
                for violation in wanted
            ]
        if not found.blocked:
            limit = config.max_violations
            record = {
                "omitted": [field_of(path) for path in found.omitted[:limit]],
                "omitted_on_violation": [
                    field_of(path) for path in found.omitted_on_violation[:limit]
                ],
                "violations": described(violations),
            }
            event.context = with_protocols(
                event.context, {key: value for key, value in record.items() if value}
            )
        elif config.forward_blocked_to and not changed:
            # As Segment has it: what is forwarded is what was sent, not what is left of it.
            self._made.append(forwarded(event, config.forward_blocked_to, violations))


def _build(config: PlanConfig, context: Context) -> Plan:
    try:
        plan = read_plan(context.path(config.file))
    except ConfigError as error:
        raise ConfigError(f"transforms.{context.id}.file: {error}") from error
    return Plan(config, plan, context.id)


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Register ``plan``."""
    register(TransformSpec("plan", PlanConfig, _build))
