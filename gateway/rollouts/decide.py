"""Decides the next action of a rollout from the figures of its arms. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.components.ports import Arm
from gateway.config.groups import GroupConfig
from gateway.rollouts.figures import ArmFigures
from gateway.rollouts.guardrails import Finding, judge, level_of
from gateway.rollouts.machine import Action, Rollout, due
from gateway.rollouts.store import Snapshot
from gateway.rollouts.view import allowed, format_value, waits_for

__all__ = ["decide", "measure"]


def measure(
    config: GroupConfig, arms: Mapping[Arm, ArmFigures], rollout: Rollout, now_ms: int
) -> Snapshot:
    """Judges every guardrail on the current figures of both arms."""
    test, control = arms["test"], arms["control"]
    findings = [
        judge(
            guardrail,
            test,
            control,
            level_of(guardrail, config.guardrails, config.alpha),
            rollout.series,
            config.min_samples,
        )
        for guardrail in config.guardrails
    ]
    users = (test.users, control.users)
    return Snapshot(now_ms, rollout.percent, rollout.series, users, findings)


def decide(
    config: GroupConfig, rollout: Rollout, snapshot: Snapshot, now_ms: int
) -> tuple[Action | None, str]:
    """Returns the action that is due and its reason; None if none is due.

    A test arm that does worse than control comes first, since a rollback ends its harm.
    """
    broken = [
        (guardrail.action, finding)
        for guardrail, finding in zip(config.guardrails, snapshot.findings, strict=True)
        if finding.broken
    ]
    for action, finding in broken:
        if action == "rollback":
            return "rollback", _reason(finding)
    if rollout.status == "ramping" and broken:
        return "hold", _reason(broken[0][1])
    is_due = due(rollout, now_ms, config.hold_minutes)
    if rollout.status == "ramping":
        for finding in snapshot.findings:
            # Events per user grow during a stage, so their least number counts at its end. Until
            # both arms are judged, a rollback may still be right, and no stage begins.
            judged = finding.enough and finding.metric != "events_per_user"
            if finding.beyond_limit and (judged or is_due):
                return "hold", _limit_reason(finding)
    if is_due and not waits_for(config, rollout, snapshot, now_ms):
        test, control = snapshot.users
        return "promote", f"held, and {test:,} users in test and {control:,} in control seen"
    return None, ""


def _reason(finding: Finding) -> str:
    return f"{_values(finding)}; {allowed(finding.metric, finding.bound)}"


def _limit_reason(finding: Finding) -> str:
    assert finding.limit is not None
    arms = finding.beyond_limit
    where = f"the {arms[0]} arm is" if len(arms) == 1 else "both arms are"
    return (
        f"{_values(finding)}; {where} beyond the limit: "
        f"{allowed(finding.metric, finding.limit)} in each arm"
    )


def _values(finding: Finding) -> str:
    test, control = finding.test, finding.control
    what = "sends" if finding.metric == "latency_p95" else "users"
    return (
        f"{finding.metric} is {format_value(finding.metric, test.value)} in test "
        f"({test.clusters:,} {what}) and {format_value(finding.metric, control.value)} in control "
        f"({control.clusters:,})"
    )
