"""How a group is grown step by step, as config says it: stages, and what would stop it.

The rules are carried out by `gateway.rollout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from gateway.events.conditions.bucketing import check_percent

__all__ = ["DEFAULT_GUARDRAILS", "Action", "Guardrail", "Metric", "percent_of", "stages_of"]

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


class Guardrail(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry of `guardrails`: how much worse the test arm may be.

    The bound is ``max_ratio`` times what the control arm has, plus `max_difference`. Only
    `events_per_user` is worse when it is lower: its bound is what the control arm has, divided by
    `max_ratio`, less `max_difference`.

    Attributes:
        max_difference: in the unit of the metric: a share from 0 to 1, milliseconds for
            `latency_p95`, events for `events_per_user`.
        alpha: the chance to be wrong about a test arm that keeps the bound; the group's, shared out
            evenly among its guardrails, unless set.
        action: what is done once the bound is broken.
    """

    metric: Metric
    max_difference: Annotated[float, Meta(ge=0)] = 0.0
    max_ratio: Annotated[float, Meta(ge=1)] = 1.0
    alpha: Annotated[float, Meta(gt=0, lt=1)] | None = None
    action: Action = "rollback"


DEFAULT_GUARDRAILS = (
    Guardrail(metric="rejection_rate", max_difference=0.01),
    Guardrail(metric="error_rate", max_difference=0.02),
)
"""Of a ramp whose `guardrails` are not set."""


def percent_of(stage: str | float) -> float:
    """The percentage of a stage, ``"5%"`` or 5.

    Raises:
        ValueError: it is none, or has more than three decimals.
    """
    try:
        percent = float(stage.strip().removesuffix("%")) if isinstance(stage, str) else float(stage)
    except ValueError:
        raise ValueError(f'ramp: {stage!r} is no percentage; write "5%"') from None
    if not 0 < percent <= _ALL:
        raise ValueError(f"ramp: {stage!r} is not above 0 % and up to 100 %")
    check_percent(percent, "ramp")
    return percent


def stages_of(ramp: Sequence[str | float]) -> tuple[float, ...]:
    """The percentages of a ramp.

    Raises:
        ValueError: one is none, or does not raise the one before it.
    """
    stages = tuple(map(percent_of, ramp))
    for before, after in pairwise(stages):
        if after <= before:
            raise ValueError(f"ramp: {after:g}% comes after {before:g}%, and is not above it")
    return stages
