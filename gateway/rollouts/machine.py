"""The life of a rollout, as a pure function of what happens and when.

::

    ramping ── promote (by hand, or hold over and enough seen) ──> ramping, at the next stage
       │                                                             or done, at the last
       ├── hold (by hand, or a guardrail) ──> held ── resume ──> ramping, the stage begins anew
       └── rollback (by hand, or a guardrail) ──> rolled_back, at 0 % ── resume ──> ramping, stage 1

``hold`` and ``rollback`` are possible from everywhere. What counts is the percentage, not the
number of the stage, so that the ramp may be edited meanwhile: the next stage is the first one of
config's ramp above it. A stage that ends the ramp at 100 % has no control arm left to compare with,
so that the rollout is done with it; one that ends below is held as long as others, and then done.
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
"""Who has decided, where it was nobody."""

Action: TypeAlias = Literal["promote", "hold", "resume", "rollback"]
"""What may be asked for."""

Status: TypeAlias = Literal["ramping", "held", "rolled_back", "done"]
STATUSES: tuple[Status, ...] = get_args(Status)

_ALL = 100.0


class Rollout(Struct, frozen=True):
    """Where a rollout is.

    Attributes:
        percent: of the group's ids in the test arm.
        stage_ms: when the stage began, or began anew.
        series: tests begun so far; each spends a part of `alpha` of its own.
        changed_ms, by, reason: of the last decision.
        earlier: time and percentage of events that came in before it, the oldest first; the last
            `MOST_EARLIER` of them.
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
        """Forget what no event that is still kept has come in at."""
        if len(self.earlier) > MOST_EARLIER:
            msgspec.structs.force_setattr(self, "earlier", self.earlier[-MOST_EARLIER:])


class Decision(Struct, frozen=True):
    """An entry of a rollout's history.

    Attributes:
        by: name of an admin token, ``cli:`` and a user of the machine, or `GATEWAY`.
    """

    at_ms: int
    by: str
    action: Alert
    percent_before: float
    percent: float
    reason: str


def next_stage(percent: float, stages: Sequence[float]) -> float | None:
    """The percentage after this one; None at the end of the ramp."""
    return next((stage for stage in stages if stage > percent), None)


def begin(
    group: str,
    stages: Sequence[float],
    now_ms: int,
    percent: float = 0.0,
    earlier: tuple[tuple[int, float], ...] = (),
) -> tuple[Rollout, Decision]:
    """A rollout that nobody has seen before, at its first stage.

    Args:
        percent: how many were in the test arm until now.
        earlier: and before; as of `Rollout`.
    """
    nothing = Rollout(group, "ramping", percent, now_ms, 0, now_ms, GATEWAY, "", earlier)
    return _at(nothing, "start", stages[0], stages, now_ms, GATEWAY, "the ramp begins")


def restarted(rollout: Rollout) -> Rollout:
    """The rollout after what was measured is gone: another test begins, at the same stage."""
    return structs.replace(rollout, series=rollout.series + 1)


def returned(
    rollout: Rollout, now_ms: int, percent: float, earlier: tuple[tuple[int, float], ...]
) -> Rollout:
    """The rollout after config has had no ramp for a while.

    Args:
        percent, earlier: as of `begin`; without any, those that the rollout knows count.
    """
    known = earlier or rollout.earlier
    return structs.replace(restarted(rollout), earlier=(*known, (now_ms + 1, percent)))


def due(rollout: Rollout, now_ms: int, hold_minutes: float) -> bool:
    """Whether the stage has lasted long enough."""
    return rollout.status == "ramping" and now_ms >= rollout.stage_ms + hold_minutes * 60_000


def act(
    rollout: Rollout, action: Action, stages: Sequence[float], now_ms: int, by: str, reason: str
) -> tuple[Rollout, Decision]:
    """What becomes of a rollout.

    Raises:
        ConfigError: the action is not possible now; the text says what is.
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
    """At another percentage, which is a stage of its own."""
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
            # What comes in within this millisecond may have been looked at already.
            earlier=(*rollout.earlier, (now_ms + 1, rollout.percent)),
        ),
        Decision(now_ms, by, action, rollout.percent, percent, reason),
    )


def _stays(
    rollout: Rollout, action: Alert, status: Status, now_ms: int, by: str, reason: str
) -> tuple[Rollout, Decision]:
    """At the same percentage. A stage that is resumed begins anew, with a test of its own."""
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
