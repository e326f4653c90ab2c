"""Limits of guardrails, which hold for each arm by itself."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from structlog.testing import capture_logs

from gateway.cli.views.rollout import shown_report
from gateway.cli.views.rollout_html import page
from gateway.config.groups import DEFAULT_GUARDRAILS, GroupConfig, Guardrail
from gateway.rollouts.decide import decide, measure
from gateway.rollouts.figures import FINISHED, REJECTED, SEEN, ArmFigures, bucket_of
from gateway.rollouts.guardrails import Finding, judge
from gateway.rollouts.machine import act, begin
from tests.support.rollout_harness import CONFIG, RolloutHarness

ALPHA = 0.05
REJECTIONS = Guardrail(metric="rejection_rate")
ALERTS = '[alerts]\nurl = "http://127.0.0.1:9/"\n'


def rejecting(rate: float, users: int = 500, seed: int = 1) -> ArmFigures:
    rng = random.Random(seed)
    arm = ArmFigures(10_000)
    for user in range(users):
        arm.add(user, SEEN)
        arm.add(user, FINISHED)
        if rng.random() < rate:
            arm.add(user, REJECTED)
    return arm


def judged(
    guardrail: Guardrail, test: ArmFigures, control: ArmFigures, least: int = 100
) -> Finding:
    return judge(guardrail, test, control, ALPHA, 1, least)


@pytest.mark.parametrize(
    ("test", "control", "arms"),
    [
        (1.0, 1.0, ("test", "control")),
        (0.7, 0.7, ("test", "control")),
        (0.01, 0.9, ("control",)),
        (0.9, 0.01, ("test",)),
        (0.4, 0.4, ()),
        (0.0, 0.0, ()),
    ],
)
def test_each_arm_is_judged_by_itself(test: float, control: float, arms: tuple[str, ...]) -> None:
    """By default an arm is beyond the limit if it rejects more than half of its events."""
    assert judged(REJECTIONS, rejecting(test), rejecting(control)).beyond_limit == arms


def test_few_users_are_no_proof() -> None:
    """An arm is not beyond its limit below `min_samples` users, nor with a rate just above it."""
    all_fail = rejecting(1.0, users=99)
    assert judged(REJECTIONS, all_fail, all_fail).beyond_limit == ()
    assert judged(REJECTIONS, rejecting(1.0, users=100), all_fail).beyond_limit == ("test",)
    two_fail = rejecting(1.0, users=2)
    assert judged(REJECTIONS, two_fail, two_fail, least=2).beyond_limit == ()
    above = rejecting(0.53)
    assert above.share("rejection_rate").ratio > 0.5
    assert judged(REJECTIONS, above, above).beyond_limit == ()


def test_an_arm_at_its_limit_is_rarely_held_however_often_it_is_judged() -> None:
    """Of pairs of arms that fail just as often as allowed, at most 5 % are ever held."""
    held = 0
    for seed in range(60):
        rng = random.Random(seed)
        arms = ArmFigures(10_000), ArmFigures(10_000)
        for user in range(1_500):
            for arm in arms:
                arm.add(user, FINISHED)
                if rng.random() < 0.5:
                    arm.add(user, REJECTED)
            if user % 20 == 0 and judged(REJECTIONS, *arms, least=50).beyond_limit:
                held += 1
                break
    assert held <= 60 * ALPHA


def test_a_limit_of_one_switches_it_off() -> None:
    """A limit of 1 allows an arm to fail completely, and a lower one is kept to."""
    fails, works = rejecting(1.0), rejecting(0.1)
    off, strict = (Guardrail(metric="rejection_rate", limit=limit) for limit in (1.0, 0.02))
    assert judged(off, fails, fails).beyond_limit == ()
    assert judged(strict, works, works).beyond_limit == ("test", "control")


def test_a_percentage_is_refused_as_a_share() -> None:
    """A limit above 1 is refused for a share, and is milliseconds for a latency."""
    with pytest.raises(ValueError, match=r"limit: 50 is no share; write 0\.5 for 50 %"):
        Guardrail(metric="error_rate", limit=50)
    assert Guardrail(metric="latency_p95", limit=50).limit_in_force == 50
    assert Guardrail(metric="latency_p95").limit_in_force is None


def test_slow_arms_are_beyond_the_limit_of_a_latency() -> None:
    """The limit of `latency_p95` is in milliseconds, and needs 200 sends."""
    rng = random.Random(3)
    slow, few = ArmFigures(100), ArmFigures(100)
    for number in range(1_000):
        bucket = bucket_of(rng.uniform(100, 300))
        slow.times[bucket] += 1
        few.times[bucket] += number < 199
    guardrail = Guardrail(metric="latency_p95", limit=250, max_ratio=9)
    assert judged(guardrail, slow, few).beyond_limit == ("test",)
    assert judged(msgspec.structs.replace(guardrail, limit=310), slow, slow).beyond_limit == ()


def test_the_least_number_of_events_per_user_counts_when_the_hold_is_over() -> None:
    """Events per user grow during a stage, so a stage is held for them only at its end."""
    guardrail = Guardrail(metric="events_per_user", limit=2)
    config = GroupConfig(ramp=("5%", "50%"), guardrails=(guardrail,), min_samples=100)
    rollout, _ = begin("g", config.stages, 0)
    arm = ArmFigures(1_000)
    for user in range(300):
        arm.add(user, SEEN)
    arms: Any = {"test": arm, "control": arm}
    hour_ms = 3_600_000
    for now_ms, expected in ((hour_ms - 1, None), (hour_ms, "hold")):
        snapshot = measure(config, arms, rollout, now_ms)
        action, reason = decide(config, rollout, snapshot, now_ms)
        assert action == expected
    assert reason == (
        "events_per_user is 1.00 in test (300 users) and 1.00 in control (300); "
        "both arms are beyond the limit: at least 2.00 is allowed in each arm"
    )
    for user in range(300):
        arm.add(user, SEEN, 2)
    assert decide(config, rollout, measure(config, arms, rollout, hour_ms), hour_ms)[0] == "promote"


@pytest.mark.parametrize("fails", ["test", "control"])
def test_a_hold_waits_until_both_arms_are_judged_or_the_stage_is_due(fails: str) -> None:
    """A failing arm beside one with few users holds the stage only at its end."""
    config = GroupConfig(ramp=("5%", "50%"), min_samples=100)
    rollout, _ = begin("g", config.stages, 0)
    arms: Any = {"test": rejecting(0.0, users=99), "control": rejecting(0.0, users=99)}
    arms[fails] = rejecting(0.99)
    hour_ms = 3_600_000
    for now_ms, expected in ((hour_ms - 1, None), (hour_ms, "hold")):
        snapshot = measure(config, arms, rollout, now_ms)
        action, reason = decide(config, rollout, snapshot, now_ms)
        assert action == expected
    assert f"the {fails} arm is beyond the limit" in reason


def test_a_test_arm_that_is_worse_goes_first() -> None:
    """A broken bound rolls back also if an arm is beyond its limit, and from a hold as well."""
    config = GroupConfig(ramp=("5%", "50%"), min_samples=100, guardrails=DEFAULT_GUARDRAILS)
    rollout, _ = begin("g", config.stages, 0)
    held, _ = act(rollout, "hold", config.stages, 1, "gateway", "")
    for control, when_ramping, when_held in ((0.6, "rollback", "rollback"), (0.99, "hold", None)):
        arms: Any = {"test": rejecting(0.99), "control": rejecting(control)}
        for state, expected in ((rollout, when_ramping), (held, when_held)):
            assert decide(config, state, measure(config, arms, state, 1), 1)[0] == expected


async def test_a_rollout_whose_arms_both_fail_is_held(tmp_path: Path) -> None:
    """Both arms fail: it holds and says why everywhere; after `resume` it goes on by itself."""
    harness = RolloutHarness(tmp_path, CONFIG + ALERTS)
    await harness.start()
    await harness.rollouts.act("checkout_canary", "promote", "ann", "")
    with capture_logs() as logs:
        await harness.minutes(20, 900, test=0.95, control=0.95)
    assert harness.state == ("held", 5)
    (view,) = harness.rollouts.views()
    assert view.needs_somebody
    assert view.reason.startswith("rejection_rate is 9")
    assert view.reason.endswith(
        "both arms are beyond the limit: at most 50.00 % is allowed in each arm"
    )
    said = [(e["event"], e["reason"]) for e in logs if e["event"].startswith("rollout")]
    assert said == [("rollout: hold", view.reason)]
    alerts = [json.loads(one.body) for one in harness.rollouts._store.pending()]
    assert [(one["action"], one["reason"]) for one in alerts] == [("hold", view.reason)]
    report = await harness.rollouts.report("checkout_canary")
    text = io.StringIO()
    Console(file=text, width=400).print(shown_report(report))
    for shown in (text.getvalue(), page(report)):
        assert view.reason in shown
        assert "rejection_rate: at most 50.00 % is allowed in each arm; evidence" in shown

    await harness.minutes(70, 90, test=0.95, control=0.95)
    assert harness.state == ("held", 5)
    await harness.rollouts.act("checkout_canary", "resume", "ann", "the vendor is back")
    await harness.minutes(61, 900, test=0.01, control=0.01)
    assert harness.state == ("ramping", 25)
    await harness.rollouts.stop()


async def test_a_rollout_whose_test_arm_alone_fails_is_rolled_back(tmp_path: Path) -> None:
    """Only the test arm fails: it is rolled back, by the comparison with control."""
    harness = RolloutHarness(tmp_path)
    await harness.start()
    await harness.rollouts.act("checkout_canary", "promote", "ann", "")
    await harness.minutes(20, 900, test=0.95, control=0.01)
    report = await harness.rollouts.report("checkout_canary")
    assert harness.state == ("rolled_back", 0)
    assert [one.action for one in report.decisions] == ["start", "promote", "rollback"]
    await harness.rollouts.stop()


def test_a_finding_of_an_earlier_release_is_read() -> None:
    """Stored findings without a limit are read, are beyond none, and are shown as they were."""
    found = judged(REJECTIONS, rejecting(1.0), rejecting(1.0))
    stored = msgspec.to_builtins(found)
    del stored["limit"], stored["limit_evidence"]
    old = msgspec.json.decode(msgspec.json.encode(stored), type=Finding)
    assert (old.limit, old.beyond_limit) == (None, ())
    assert msgspec.to_builtins(old) == stored
