"""`[groups.ID]` and `[layers.ID]`: groups of users, their stages and their guardrails.

`gateway.rollouts` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from gateway.components.ports import Arm
from gateway.events.conditions.bucketing import check_percent
from gateway.events.conditions.condition import compile_condition
from gateway.events.conditions.unit import unit_reader
from gateway.events.values import parse_number

__all__ = [
    "DEFAULT_GUARDRAILS",
    "DEFAULT_LIMITS",
    "Action",
    "GroupConfig",
    "Guardrail",
    "LayerConfig",
    "Metric",
    "Only",
    "percent_of",
    "stages_of",
]

Metric: TypeAlias = Literal[
    "error_rate",
    "rejection_rate",
    "violation_rate",
    "dropped_share",
    "latency_p95",
    "events_per_user",
]

Action: TypeAlias = Literal["rollback", "hold"]

_ALL = 100.0
_SHARES: tuple[Metric, ...] = ("error_rate", "rejection_rate", "violation_rate", "dropped_share")

DEFAULT_LIMITS: Mapping[Metric, float] = {"error_rate": 0.5, "rejection_rate": 0.5}
"""The limits of guardrails that set none; the other metrics have no limit by default."""


class Guardrail(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry of `guardrails`: a bound on how much worse the test arm may be, and a limit.

    The bound is `max_ratio` times the control arm's value, plus `max_difference`. Only
    `events_per_user` is worse when it is lower: its bound is the control arm's value divided by
    `max_ratio`, minus `max_difference`.

    The limit does not depend on control. A rollout with an arm beyond its limit is held and not
    rolled back, since control may fail as well.

    Attributes:
        max_difference: in the unit of the metric: a share from 0 to 1, milliseconds for
            `latency_p95`, events for `events_per_user`.
        alpha: the chance of acting on a test arm that keeps the bound; by default the group's,
            divided evenly among its guardrails.
        action: what happens once the bound is broken.
        limit: the most that either arm may have, in the unit of the metric; the least for
            `events_per_user`. By default that of `DEFAULT_LIMITS`; 1 is no limit for a share.
    """

    metric: Metric
    max_difference: Annotated[float, Meta(ge=0)] = 0.0
    max_ratio: Annotated[float, Meta(ge=1)] = 1.0
    alpha: Annotated[float, Meta(gt=0, lt=1)] | None = None
    action: Action = "rollback"
    limit: Annotated[float, Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        """Refuses a percentage in place of a share."""
        if self.limit is not None and self.limit > 1 and self.metric in _SHARES:
            raise ValueError(f"limit: {self.limit:g} is no share; write 0.5 for 50 %")

    @property
    def limit_in_force(self) -> float | None:
        """The limit, or the default one of the metric; None if there is none."""
        return DEFAULT_LIMITS.get(self.metric) if self.limit is None else self.limit


DEFAULT_GUARDRAILS = (
    Guardrail(metric="rejection_rate", max_difference=0.01),
    Guardrail(metric="error_rate", max_difference=0.02),
)
"""The guardrails of a ramp that sets none."""


def percent_of(stage: str | float) -> float:
    """Returns the percentage of a stage, ``"5%"`` or 5.

    Raises:
        ValueError: it is none, or has more than three decimals.
    """
    percent = parse_number(stage.strip().removesuffix("%")) if isinstance(stage, str) else stage
    if percent is None:
        raise ValueError(f'ramp: {stage!r} is no percentage; write "5%"')
    if not 0 < percent <= _ALL:
        raise ValueError(f"ramp: {stage!r} is not above 0 % and up to 100 %")
    check_percent(percent, "ramp")
    return float(percent)


def stages_of(ramp: Sequence[str | float]) -> tuple[float, ...]:
    """Returns the percentages of a ramp.

    Raises:
        ValueError: one is none, or not above the one before it.
    """
    stages = tuple(map(percent_of, ramp))
    for before, after in pairwise(stages):
        if after <= before:
            raise ValueError(f"ramp: {after:g}% comes after {before:g}%, and is not above it")
    return stages


Percent: TypeAlias = Annotated[float, Meta(ge=0, le=100)]


class GroupConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[groups.ID]`.

    Attributes:
        percent: the share of the slot that is in the test arm; at most three decimals.
        by: the id that decides: ``user`` (the visitor: `anonymousId`, else the one that the
            `userId` is linked to, else `userId`, so that users stay in their arm when they log in),
            ``anonymous``, ``group``, ``event`` or a path.
        salt: groups with the same salt and no layer choose the same ids; by default the group's id.
        layer: groups of one layer have no member in common.
        slot: the group's range in its layer, in percent.
        eligible: a condition on events; events that do not meet it are in no arm.
        stamp: write arm and weight into delivered events as ``context.groups.ID``.
        ramp: percentages that the group grows to one after the other, such as ``"5%"``, in place of
            `percent`.
        hold_minutes: the least duration of a stage.
        min_samples: users of each arm that a stage must see before it is judged.
        alpha: the chance that guardrails stop a rollout whose test arm keeps their bounds.
        guardrails: bounds that stop the ramp; `gateway.config.groups.DEFAULT_GUARDRAILS` by
            default.
        measure: destinations whose outcomes count; by default those that differ between the arms,
            or all.
        max_users: users of each arm whose figures are kept; beyond this, a sample of them.
    """

    percent: Percent = 0.0
    by: str = "user"
    salt: str | None = None
    layer: str = ""
    slot: tuple[Percent, Percent] = (0.0, 100.0)
    eligible: str = ""
    stamp: bool = False
    ramp: tuple[str | float, ...] = ()
    hold_minutes: Annotated[float, Meta(ge=0)] = 60.0
    min_samples: Annotated[int, Meta(ge=2)] = 500
    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    guardrails: tuple[Guardrail, ...] = DEFAULT_GUARDRAILS
    measure: tuple[str, ...] = ()
    max_users: Annotated[int, Meta(ge=100)] = 50_000

    def __post_init__(self) -> None:
        """Refuses settings that contradict each other."""
        check_percent(self.percent)
        for bound in self.slot:
            check_percent(bound, "slot")
        if self.slot[0] >= self.slot[1]:
            raise ValueError("slot: begins where it ends, or after")
        if self.slot != (0.0, 100.0) and not self.layer:
            raise ValueError("slot: is a part of a layer; name the layer")
        if self.by != "user":
            unit_reader(self.by)
        if self.eligible:
            compile_condition(self.eligible)
        if self.ramp and self.percent:
            raise ValueError("percent: is what ramp decides; leave it out")
        metrics = [guardrail.metric for guardrail in self.guardrails]
        if len(set(metrics)) < len(metrics):
            raise ValueError("guardrails: two are about the same metric")
        if self.max_users < self.min_samples:
            raise ValueError("max_users: is less than min_samples, which could never be reached")
        stages_of(self.ramp)

    @property
    def stages(self) -> tuple[float, ...]:
        """The percentages of the ramp; none where there is no ramp."""
        return stages_of(self.ramp)


class LayerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[layers.ID]`.

    Attributes:
        salt: by default the layer's id.
    """

    salt: str | None = None


class Only(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`only` of a transform or a destination: the arm whose events it gets."""

    group: str
    arm: Arm = "test"
