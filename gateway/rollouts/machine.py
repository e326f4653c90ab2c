"""The states of a rollout, as pure functions of actions and times.

::

    ramping ── promote (by hand, or hold over and enough seen) ──> ramping, at the next stage
       │                                                             or done, at the last
       ├── hold (by hand, or a guardrail) ──> held ── resume ──> ramping, the stage begins anew
       └── rollback (by hand, or a guardrail) ──> rolled_back, at 0 % ── resume ──> ramping, stage 1

``rollback`` is possible from every state, ``hold`` from every other than rolled_back. The
percentage
counts, not the number of the stage, so that the ramp may be edited meanwhile: the next stage is the
first one of the config's ramp above the percentage. A last stage at 100 % leaves no control arm to
compare with, so the rollout is done at once. A last stage below 100 % is held like the others
before the rollout is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct, structs

from gateway.config.alerts import Alert
from gateway.errors import ConfigError
from gateway.rollouts.groups import MOST_EARLIER

__all__ = [
    "GATEWAY",
    "STATUSES",
    "Action",
    "Decision",
    "Rollout",
    "Status",
    "act",
    "begin",
    "due",
    "next_stage",
    "restarted",
    "returned",
]

GATEWAY = "gateway"
"""The `Decision.by` of decisions of the gateway itself."""

Action: TypeAlias = Literal["promote", "hold", "resume", "rollback"]
"""The actions of a person or a guardrail."""

Status: TypeAlias = Literal["ramping", "held", "rolled_back", "done"]
STATUSES: tuple[Status, ...] = get_args(Status)

_ALL = 100.0


class Rollout(Struct, frozen=True):
    """The state of a rollout.

    Attributes:
        percent: share of the group's ids in the test arm.
        stage_ms: time at which the stage began or was resumed.
        series: number of tests begun so far; each spends its own part of `alpha`.
        changed_ms, by, reason: of the last decision.
        earlier: pairs of a time and the percentage of events received before it, oldest first; the
            last `MOST_EARLIER` of them.
    """

    group: str
    status: Status
    percent: float
    stage_ms: int
    series: int
    changed_ms: int
    by: str
    reason: str
    earlier: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        """Drops the oldest of too many earlier percentages."""
        if len(self.earlier) > MOST_EARLIER:
            msgspec.structs.force_setattr(self, "earlier", self.earlier[-MOST_EARLIER:])


class Decision(Struct, frozen=True):
    """An entry of a rollout's history.

    Attributes:
        by: the name of an admin token, ``cli:`` and the user name on the machine, or `GATEWAY`.
    """

    at_ms: int
    by: str
    action: Alert
    percent_before: float
    percent: float
    reason: str


def next_stage(percent: float, stages: Sequence[float]) -> float | None:
    """Returns the percentage of the next stage; None at the end of the ramp."""
    return next((stage for stage in stages if stage > percent), None)


def begin(
    group: str,
    stages: Sequence[float],
    now_ms: int,
    percent: float = 0.0,
    earlier: tuple[tuple[int, float], ...] = (),
) -> tuple[Rollout, Decision]:
    """Begins a rollout at its first stage.

    Args:
        percent: of the test arm until now.
        earlier: percentages before that, as in `Rollout`.
    """
    unstarted = Rollout(group, "ramping", percent, now_ms, 0, now_ms, GATEWAY, "", earlier)
    return _at(unstarted, "start", stages[0], stages, now_ms, GATEWAY, "the ramp begins")


def restarted(rollout: Rollout) -> Rollout:
    """Begins another test at the same stage, because the measurements are gone."""
    return structs.replace(rollout, series=rollout.series + 1)


def returned(
    rollout: Rollout, now_ms: int, percent: float, earlier: tuple[tuple[int, float], ...]
) -> Rollout:
    """Resumes a rollout whose ramp was missing from the config for a while.

    Args:
        percent, earlier: as in `begin`; an empty `earlier` keeps those of the rollout.
    """
    known = earlier or rollout.earlier
    return structs.replace(restarted(rollout), earlier=(*known, (now_ms + 1, percent)))


def due(rollout: Rollout, now_ms: int, hold_minutes: float) -> bool:
    """Tells whether the stage has lasted long enough."""
    return rollout.status == "ramping" and now_ms >= rollout.stage_ms + hold_minutes * 60_000


def act(
    rollout: Rollout, action: Action, stages: Sequence[float], now_ms: int, by: str, reason: str
) -> tuple[Rollout, Decision]:
    """Applies an action to a rollout.

    Raises:
        ConfigError: the action is not possible now; the message says which are.
    """
    status, percent, name = rollout.status, rollout.percent, rollout.group
    if action == "rollback":
        return _at(rollout, action, 0.0, stages, now_ms, by, reason)
    if action == "hold":
        if status == "rolled_back":
            raise ConfigError(f"{name} is rolled back; `resume` begins the ramp again")
        return _stays(rollout, action, "held", now_ms, by, reason)
    if action == "resume":
        if status == "rolled_back":
            return _at(rollout, action, stages[0], stages, now_ms, by, reason)
        if status != "held":
            raise ConfigError(f"{name} is {status}, not held: there is nothing to resume")
        following = next_stage(percent, stages)
        status = "done" if following is None and percent >= _ALL else "ramping"
        return _stays(rollout, action, status, now_ms, by, reason)
    if status == "rolled_back":
        raise ConfigError(f"{name} is rolled back; `resume` begins the ramp again")
    following = next_stage(percent, stages)
    if following is None:
        if status == "done":
            raise ConfigError(f"{name} is done, at {percent:g} %: there is no stage after it")
        return _stays(rollout, "done", "done", now_ms, by, reason)
    return _at(rollout, action, following, stages, now_ms, by, reason)


def _at(
    rollout: Rollout,
    action: Alert,
    percent: float,
    stages: Sequence[float],
    now_ms: int,
    by: str,
    reason: str,
) -> tuple[Rollout, Decision]:
    """Moves a rollout to another percentage, where a new stage begins."""
    status: Status = "ramping"
    if action == "rollback":
        status = "rolled_back"
    elif percent >= _ALL:
        status = "done"
        action = "done"
    return (
        structs.replace(
            rollout,
            status=status,
            percent=percent,
            stage_ms=now_ms,
            series=rollout.series + 1,
            changed_ms=now_ms,
            by=by,
            reason=reason,
            # Events received within this millisecond may already have been assigned to an arm.
            earlier=(*rollout.earlier, (now_ms + 1, rollout.percent)),
        ),
        Decision(now_ms, by, action, rollout.percent, percent, reason),
    )


def _stays(
    rollout: Rollout, action: Alert, status: Status, now_ms: int, by: str, reason: str
) -> tuple[Rollout, Decision]:
    """Keeps the percentage; a resumed stage begins anew, with a new test."""
    resumed = action == "resume"
    return (
        structs.replace(
            rollout,
            status=status,
            stage_ms=now_ms if resumed else rollout.stage_ms,
            series=rollout.series + resumed,
            changed_ms=now_ms,
            by=by,
            reason=reason,
        ),
        Decision(now_ms, by, action, rollout.percent, rollout.percent, reason),
    )
