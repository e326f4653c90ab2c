"""Simulated rollouts are rarely stopped if harmless, and soon if harmful.

Visitors return with very different frequencies; some have a broken app and fail far more often.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate

import pytest

from gateway.config.groups import DEFAULT_GUARDRAILS, Guardrail
from gateway.rollouts.figures import (
    ATTEMPTS,
    DROPPED,
    FAILED,
    FINISHED,
    REJECTED,
    SEEN,
    ArmFigures,
    bucket_of,
)
from gateway.rollouts.guardrails import judge, level_of
from tests.support.sizes import sizes

ALPHA = 0.05
STRICT = (
    Guardrail(metric="rejection_rate"),
    Guardrail(metric="error_rate", max_ratio=1.0),
    Guardrail(metric="dropped_share"),
    Guardrail(metric="events_per_user"),
    Guardrail(metric="latency_p95"),
)
"""The strictest guardrails: no difference is tolerated, so each random one counts."""


class Shop:
    """Random visitors.

    Args:
        rate: mean share of their events that fails.
        most: bound on the activity of a visitor, relative to the least active one. Without it a
            single visitor may send a large part of all events.
    """

    def __init__(self, seed: int, rate: float, users: int, most: float = math.inf) -> None:
        self.rng = rng = random.Random(seed)
        self.users = range(users)
        self.place = [100 * rng.random() for _ in self.users]
        self.fails = [rng.betavariate(2 * rate, 2 - 2 * rate) for _ in self.users]
        weights = [min(most, rng.paretovariate(1.5)) for _ in self.users]
        self.visits = list(accumulate(weights))

    def stage(
        self,
        percent: float,
        series: int,
        guardrails: Sequence[Guardrail],
        min_samples: int,
        events: int,
        harm: float = 0.0,
    ) -> tuple[int, str, bool]:
        """Plays a stage and judges it after each 100 events.

        Returns:
            The number of events until it was stopped, or 0, with the guardrail; and whether an
            ordinary test, valid for one look, would have stopped it at any of these looks.
        """
        rng = self.rng
        test, control = ArmFigures(50_000), ArmFigures(50_000)
        once = False
        for number, user in enumerate(
            rng.choices(self.users, cum_weights=self.visits, k=events), 1
        ):
            arm = test if self.place[user] < percent else control
            arm.add(user, SEEN)
            arm.times[bucket_of(rng.lognormvariate(3, 0.5))] += 1
            if rng.random() < 0.05:
                arm.add(user, DROPPED)
            else:
                arm.add(user, ATTEMPTS)
                arm.add(user, FINISHED)
                if rng.random() < self.fails[user] + (harm if arm is test else 0.0):
                    arm.add(user, FAILED)
                    arm.add(user, REJECTED)
            if number % 100 == 0:
                for guardrail in guardrails:
                    level = level_of(guardrail, guardrails, ALPHA)
                    found = judge(guardrail, test, control, level, series, min_samples)
                    if found.broken:
                        return number, found.metric, once
                once = once or _would_stop(test, control, min_samples)
        return 0, "", once


def _would_stop(test: ArmFigures, control: ArmFigures, min_samples: int) -> bool:
    ours, theirs = test.share("rejection_rate"), control.share("rejection_rate")
    if min(ours.clusters, theirs.clusters) < min_samples:
        return False
    error = math.sqrt(ours.spread / ours.clusters + theirs.spread / theirs.clusters)
    return error > 0 and (ours.ratio - theirs.ratio) / error > 1.645


@pytest.mark.parametrize(("rate", "min_samples"), [(0.01, 30), (0.2, 60)])
@sizes("number", small=40, full=400)
def test_harmless_rollouts_are_stopped_no_more_often_than_asked_for(
    rate: float, min_samples: int, number: int
) -> None:
    """Of rollouts with equal arms, at most 5 % are ever stopped, by any guardrail.

    An ordinary test, looked at as often, would stop far more.
    """
    stopped, peeked = 0, 0
    for seed in range(number):
        shop = Shop(seed, rate, users=600)
        once = False
        for series, percent in enumerate((10, 50, 90), 1):
            after, _, looked = shop.stage(percent, series, STRICT, min_samples, events=1_500)
            once = once or looked
            if after:
                stopped += 1
                break
        peeked += once
    assert stopped <= number * ALPHA
    assert peeked > 2 * number * ALPHA


@pytest.mark.parametrize(("harm", "within", "found"), [(0.05, 20_000, 19), (0.2, 3_000, 20)])
def test_harm_is_found_soon(harm: float, within: int, found: int) -> None:
    """With 5 % more rejections in test, 19 of 20 rollouts end within 20,000 events.

    5,000 of these are of the test arm. With 20 % more rejections, all end within 3,000 events. All
    have the usual guardrails and are at the third stage.
    """
    ends = [
        Shop(seed, 0.01, users=4_000, most=50).stage(25, 3, DEFAULT_GUARDRAILS, 100, within, harm)[
            :2
        ]
        for seed in range(20)
    ]
    assert sum(number > 0 for number, _ in ends) >= found
    assert {metric for number, metric in ends if number} <= {"rejection_rate", "error_rate"}


def test_a_slow_test_arm_is_found() -> None:
    """With a bound of 1.5 times control, twice as slow is found and equally slow is not."""
    guardrail = Guardrail(metric="latency_p95", max_ratio=1.5)
    rng = random.Random(4)
    found = {}
    for factor in (1.0, 1.4, 2.2):
        test, control = ArmFigures(100), ArmFigures(100)
        for _ in range(3_000):
            control.times[bucket_of(rng.lognormvariate(3, 0.4))] += 1
            test.times[bucket_of(factor * rng.lognormvariate(3, 0.4))] += 1
        found[factor] = judge(guardrail, test, control, ALPHA, 1, 100)
    assert [one.broken for one in found.values()] == [False, False, True]
    assert found[2.2].bound == pytest.approx(1.5 * found[2.2].control.value)
    assert found[2.2].control.low < found[2.2].control.value < found[2.2].control.high


def test_lost_visits_are_found() -> None:
    """Fewer events per user are found."""
    guardrail = Guardrail(metric="events_per_user", max_ratio=1.1)
    rng = random.Random(4)
    test, control = ArmFigures(10_000), ArmFigures(10_000)
    for user in range(2_000):
        control.add(user, SEEN, 1 + rng.randrange(9))
        test.add(user, SEEN, 1 + rng.randrange(6))
    assert judge(guardrail, test, control, ALPHA, 1, 100).broken
    assert not judge(guardrail, control, test, ALPHA, 1, 100).broken
