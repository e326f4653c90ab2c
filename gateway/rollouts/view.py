"""The state of a rollout for people: stage, conditions of the next stage, figures of both arms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gateway.config.groups import GroupConfig
from gateway.events.timestamps import format_ms
from gateway.rollouts.guardrails import Finding
from gateway.rollouts.machine import GATEWAY, Decision, Rollout, next_stage
from gateway.rollouts.store import Snapshot

__all__ = [
    "Report",
    "View",
    "allowed",
    "format_value",
    "limit_texts",
    "report_of",
    "view_of",
    "waits_for",
]

_MS = 1000


class View(Struct, frozen=True):
    """The current state of a rollout.

    Attributes:
        stages: percentages of the ramp.
        next: percentage of the next stage; None at the end.
        since: time at which the stage began.
        changed_at, by, reason: of the last decision.
        waits: unmet conditions of the next stage, in words.
        users: number of users seen in this stage, in the test arm and in the control arm.
        findings: one for each guardrail, as of `measured_at`.
    """

    group: str
    status: str
    percent: float
    stages: list[float]
    next: float | None
    since: str
    changed_at: str
    by: str
    reason: str
    waits: list[str]
    users: tuple[int, int]
    findings: list[Finding]
    measured_at: str

    @property
    def needs_somebody(self) -> bool:
        """True if a guardrail stopped it and no person has decided since."""
        return self.by == GATEWAY and self.status in ("held", "rolled_back")


class Report(Struct, frozen=True):
    """A rollout with its history and snapshots."""

    view: View
    decisions: list[Decision]
    snapshots: list[Snapshot]


def view_of(config: GroupConfig, rollout: Rollout, snapshot: Snapshot | None, now_ms: int) -> View:
    """Makes the view of a rollout.

    Args:
        snapshot: the newest one. A snapshot of an earlier test is not shown, except if the rollout
            has ended and nothing is measured any more.
    """
    ended = rollout.status in ("rolled_back", "done")
    if snapshot is not None and snapshot.series != rollout.series and not ended:
        snapshot = None
    rolled_back = rollout.status == "rolled_back"
    return View(
        group=rollout.group,
        status=rollout.status,
        percent=rollout.percent,
        stages=list(config.stages),
        next=None if rolled_back else next_stage(rollout.percent, config.stages),
        since=format_ms(rollout.stage_ms),
        changed_at=format_ms(rollout.changed_ms),
        by=rollout.by,
        reason=rollout.reason,
        waits=waits_for(config, rollout, snapshot, now_ms),
        users=(0, 0) if snapshot is None else snapshot.users,
        findings=[] if snapshot is None else snapshot.findings,
        measured_at="" if snapshot is None else format_ms(snapshot.at_ms),
    )


def report_of(
    config: GroupConfig,
    rollout: Rollout,
    decisions: list[Decision],
    snapshots: list[Snapshot],
    now_ms: int,
) -> Report:
    """Makes the report of a rollout; `snapshots` are oldest first."""
    newest = snapshots[-1] if snapshots else None
    return Report(view_of(config, rollout, newest, now_ms), decisions, snapshots)


def waits_for(
    config: GroupConfig, rollout: Rollout, snapshot: Snapshot | None, now_ms: int
) -> list[str]:
    """Returns the unmet conditions of the next stage, in words; empty if there are none."""
    if rollout.status == "held":
        return ["held: `gateway rollout resume` goes on"]
    if rollout.status == "rolled_back":
        return ["rolled back: `gateway rollout resume` begins the ramp again"]
    if rollout.status == "done":
        return []
    found = []
    left = (rollout.stage_ms - now_ms) / _MS + config.hold_minutes * 60
    if left > 0:
        minutes, seconds = divmod(round(left), 60)
        found.append(f"the hold, for another {minutes} min {seconds} s")
    users = (0, 0) if snapshot is None else snapshot.users
    for arm, number in zip(("test", "control"), users, strict=True):
        if number < config.min_samples:
            found.append(f"users in {arm}: {number:,} of {config.min_samples:,}")
    if not found and snapshot is not None:
        found += [
            f"{one.metric}: users with an outcome, {one.test.clusters:,} in test and "
            f"{one.control.clusters:,} in control, of {config.min_samples:,}"
            for one in snapshot.findings
            if not one.enough and one.metric != "latency_p95"
        ]
    return found


def limit_texts(findings: Iterable[Finding]) -> Iterator[str]:
    """Yields a sentence for each limit that an arm seems to be beyond."""
    for one in findings:
        if one.limit is not None and any(one.limit_evidence):
            test, control = (f"{min(evidence, 9.99):.2f}" for evidence in one.limit_evidence)
            yield (
                f"{one.metric}: {allowed(one.metric, one.limit)} in each arm; evidence that an arm "
                f"is beyond it: {test} for test, {control} for control"
            )


def allowed(metric: str, bound: float) -> str:
    """Says what a bound allows."""
    side = "least" if metric == "events_per_user" else "most"
    return f"at {side} {format_value(metric, bound)} is allowed"


def format_value(metric: str, value: float) -> str:
    """Formats the value of a metric with its unit."""
    if metric == "latency_p95":
        return f"{value:,.1f} ms"
    if metric == "events_per_user":
        return f"{value:,.2f}"
    return f"{100 * value:.2f} %"
