"""Config of the transform ``plan``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

from msgspec import Meta, Struct

__all__ = ["CALLS", "MAX_REPORTS", "MAX_VIOLATIONS", "Call", "PlanConfig"]

MAX_VIOLATIONS = 10
"""Default of the violations that are recorded and reported for one event."""

MAX_REPORTS = 500
"""Default of the reports that are made for the events of one request."""

Call: TypeAlias = Literal["track", "identify", "page", "screen", "group", "alias"]
CALLS: tuple[Call, ...] = get_args(Call)
"""Types of events that the common rule can block."""

_Block: TypeAlias = Literal["allow", "block"]
_Omit: TypeAlias = Literal["allow", "omit"]
_Any: TypeAlias = Literal["allow", "omit", "block"]


class PlanConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a plan.

    Attributes:
        file: the plan, as JSON.
        sources: ids of the sources whose events are checked; empty for all.
        unplanned_event: for track events that have no rule.
        unplanned_properties: for properties of track, page and screen that the rule does not name.
        violations: for properties that do not match the schema.
        unplanned_traits, trait_violations: the same for the traits of identify and group.
        common_violations: for events that do not match the common rule; one word for all types of
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
    common_violations: _Block | dict[Call, _Block] = "allow"
    report_to: str = ""
    forward_blocked_to: str = ""
    max_violations: Annotated[int, Meta(ge=1, le=100)] = MAX_VIOLATIONS
    max_reports: Annotated[int, Meta(ge=1, le=10_000)] = MAX_REPORTS
