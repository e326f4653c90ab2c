"""The transform ``plan``: blocks, mends or reports events that do not match a tracking plan.

The standard controls check an event first: whether it has a rule, whether the rule names all its
properties, and whether the rest matches the rule's schema. The common rule then checks the event
as the standard controls have left it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from gateway import ConfigError, Context, Event, Transform
from headgate_quality.config import CALLS, PlanConfig
from headgate_quality.omit import without
from headgate_quality.reports import described, forwarded, report, with_protocols
from headgate_quality.tracking_plan import BODIES, Rule, TrackingPlan, read_plan
from headgate_quality.violations import (
    TOO_MANY,
    UNPLANNED_EVENT,
    Steps,
    Violation,
    field_of,
    unplanned_property,
)

__all__ = ["Plan", "build_plan"]


@dataclass(slots=True)
class _Findings:
    """The violations of one event, and what the plan did about them."""

    blocked: bool = False
    violations: list[Violation] = field(default_factory=list)
    omitted: list[Steps] = field(default_factory=list)
    omitted_on_violation: list[Steps] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.violations or self.omitted)


class Plan(Transform):
    """Checks events against a tracking plan.

    Args:
        id_: the transform's id in config.toml.
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
        words = common if isinstance(common, dict) else dict.fromkeys(CALLS, common)
        self._common_blocks = frozenset(call for call, word in words.items() if word == "block")

    def apply(self, events: list[Event]) -> list[Event]:
        """Returns the events that are not blocked, without the values that the plan omits."""
        self._made = []
        self._reports = 0
        return [event for event in events if self._passes(event)]

    def produced(self) -> list[Event]:
        """Returns the reports and the copies of blocked events that the last `apply` made."""
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
        """Applies the standard controls."""
        kind = event.type
        body = BODIES.get(kind)
        if body is None:
            return
        name = event.event if kind == "track" else event.name if body == "properties" else None
        rule = self._plan.rule(kind, name or "", version)
        if rule is not None:
            self._check_body(event, body, rule, found)
        elif kind == "track":
            found.violations.append(UNPLANNED_EVENT)
            found.blocked = self._config.unplanned_event == "block"

    def _check_body(self, event: Event, body: str, rule: Rule, found: _Findings) -> None:
        """Checks the properties or traits of an event, and omits what the config says."""
        config = self._config
        if body == "properties":
            values = event.properties
            unplanned, invalid = config.unplanned_properties, config.violations
        else:
            values = event.traits
            unplanned, invalid = config.unplanned_traits, config.trait_violations
        instance: Mapping[str, Any] = {body: values}
        unnamed = rule.unplanned(values)
        if unnamed and unplanned == "omit":
            found.omitted = unnamed
            instance = without(instance, unnamed)
        violations = rule.violations(instance)
        reported = {violation.path for violation in violations if violation.present}
        others = (path for path in unnamed if path not in reported)
        # The reason for blocking comes first, as only the first violations are reported.
        found.violations += violations
        found.violations += map(unplanned_property, islice(others, config.max_violations))
        if invalid == "block" or (invalid == "omit" and TOO_MANY in violations):
            found.blocked = bool(violations)
        elif invalid == "omit":
            # The body itself stays: where it is wrong as a whole, no single value is at fault.
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
        """Makes the reports, and records the violations on the event or forwards a copy of it."""
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
            # As with Segment, only events are forwarded that are still as the client sent them.
            self._made.append(forwarded(event, config.forward_blocked_to, violations))


def build_plan(config: PlanConfig, context: Context) -> Plan:
    """Builds the transform.

    Raises:
        ConfigError: the plan's file cannot be read, or is not a tracking plan.
    """
    try:
        plan = read_plan(context.path(config.file))
    except ConfigError as error:
        raise ConfigError(f"transforms.{context.id}.file: {error}") from error
    return Plan(config, plan, context.id)
