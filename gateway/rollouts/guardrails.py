"""Tests whether the test arm breaks a guardrail, and whether an arm is beyond its limit. Pure.

For each guardrail, the *excess* of the test arm over its bound is estimated with its variance, and
`gateway.rollouts.sequential` turns both into evidence. One independent observation is:

* **Rates, shares, events per user: a user.** The rate is the sum over users of ``x`` over the sum
  of ``n``, and its variance is that of such a ratio by the delta method (A. Deng, U. Knoblich, J.
  Lu: Applying the delta method in metric analytics, KDD 2018). A user is one observation, however
  many events it has and however alike they are.
* **latency_p95: a send.** All events of a batch take equally long. Only a send with events of a
  single arm counts, as one with both says nothing about their difference. 5 % of the sends of
  control are slower than its 95th percentile; the test arm passes if no more of its own sends are
  (H. C. Mathisen: A method of testing the hypothesis that two samples are from the same population,
  Annals of Mathematical Statistics 14, 1943). Consecutive sends depend on each other while a vendor
  is slow; if both arms send to that vendor, it is slow for both.

Failures are rare, and the observed variance of a few failures is often too small. So the larger of
two variances counts: that of separate arms, and that of both arms as one. Shares get two more
users: all events of one failed, none of the other.

A **limit** holds for each arm by itself. Its evidence is that of one arm against a fixed value.
Each arm has half of the guardrail's level for it, in addition to the level of the bound.

Within a stage users return and their counts grow. The sequence of estimates then differs slightly
from the theory, in which each observation is made once; `tests/system/test_rollout_simulated.py`
has returning users who differ from each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct, structs

from gateway.components.ports import Arm
from gateway.config.groups import Guardrail
from gateway.rollouts.figures import ArmFigures, Moments, bucket_of, edge_of, quantile
from gateway.rollouts.sequential import half_width, log_evidence, spent

__all__ = ["MIN_SENDS", "ArmValue", "Finding", "judge", "level_of"]

MIN_SENDS = 200
"""Least number of sends of each arm to judge `latency_p95`; `min_samples` counts users."""

_HIGH = 0.95


class ArmValue(Struct, frozen=True):
    """A metric in one arm.

    Attributes:
        low, high: the interval that holds the true value at all times, except with a probability
            of the guardrail's level; `high` is None as long as there is no upper bound.
        clusters: number of users or sends behind the value.
    """

    value: float
    low: float
    high: float | None
    clusters: int


class Finding(Struct, frozen=True, omit_defaults=True):
    """The current result of a guardrail.

    Attributes:
        bound: the limit for `test`.
        excess: the amount by which `test` is beyond the bound; below it for `events_per_user`; in
            share of slow sends for `latency_p95`.
        evidence: evidence against the test arm, from 0; the bound counts as broken from 1 on.
        enough: whether both arms have enough clusters to judge.
        limit: the limit for each arm, if there is one.
        limit_evidence: evidence that the test arm, and that the control arm, is beyond the limit;
            1 is enough. An arm with too few clusters has 0.
    """

    metric: str
    test: ArmValue
    control: ArmValue
    bound: float
    excess: float
    evidence: float
    enough: bool
    limit: float | None = None
    limit_evidence: tuple[float, float] = (0.0, 0.0)

    @property
    def broken(self) -> bool:
        """True if the action of the guardrail is due."""
        return self.enough and self.evidence >= 1

    @property
    def beyond_limit(self) -> tuple[Arm, ...]:
        """The arms that are beyond the limit."""
        arms: tuple[Arm, ...] = ("test", "control")
        both = zip(arms, self.limit_evidence, strict=True)
        return tuple(arm for arm, evidence in both if evidence >= 1)


def level_of(guardrail: Guardrail, guardrails: Sequence[Guardrail], alpha: float) -> float:
    """Returns the level of a guardrail: its own, or an even share of the rest of `alpha`."""
    if guardrail.alpha is not None:
        return guardrail.alpha
    own = [one.alpha for one in guardrails if one.alpha is not None]
    return max(alpha - sum(own), alpha / 100) / (len(guardrails) - len(own))


def judge(
    guardrail: Guardrail,
    test: ArmFigures,
    control: ArmFigures,
    level: float,
    series: int,
    min_samples: int,
) -> Finding:
    """Judges a guardrail on the figures of both arms.

    Args:
        level: of the guardrail, from `level_of`.
        series: number of the test, from 1; see `gateway.rollouts.sequential.spent`.
    """
    alpha = spent(level, series)
    if guardrail.metric == "latency_p95":
        found = _latency(guardrail, test, control, alpha)
    else:
        found = _compared(guardrail, test, control, alpha, min_samples)
    limit = guardrail.limit_in_force
    if limit is None:
        return found
    beyond = (
        _beyond(guardrail, limit, test, alpha / 2, min_samples),
        _beyond(guardrail, limit, control, alpha / 2, min_samples),
    )
    return structs.replace(found, limit=limit, limit_evidence=beyond)


def _compared(
    guardrail: Guardrail, test: ArmFigures, control: ArmFigures, alpha: float, min_samples: int
) -> Finding:
    ratio, more = guardrail.max_ratio, guardrail.max_difference
    if guardrail.metric == "events_per_user":
        ours, theirs = test.events_per_user(), control.events_per_user()
        bound = theirs.ratio / ratio - more
        excess, weights = bound - ours.ratio, (1.0, 1 / ratio)
    else:
        ours, theirs = test.share(guardrail.metric), control.share(guardrail.metric)
        bound = ratio * theirs.ratio + more
        excess, weights = ours.ratio - bound, (1.0, ratio)
    is_share = guardrail.metric != "events_per_user"
    enough = min(ours.clusters, theirs.clusters) >= min_samples
    return Finding(
        guardrail.metric,
        _value(ours, alpha, min_samples, share=is_share),
        _value(theirs, alpha, min_samples, share=is_share),
        bound,
        excess,
        _evidence(excess, ours, theirs, weights, alpha, min_samples, share=is_share),
        enough,
    )


def _latency(guardrail: Guardrail, test: ArmFigures, control: ArmFigures, alpha: float) -> Finding:
    if not (test.times and control.times):
        nothing = ArmValue(0.0, 0.0, 0.0, 0)
        return Finding(guardrail.metric, nothing, nothing, 0.0, 0.0, 0.0, enough=False)
    high = quantile(control.times, _HIGH)
    bound = guardrail.max_ratio * edge_of(high) + guardrail.max_difference
    ours, theirs = test.slower_than(bucket_of(bound * (1 - 1e-9))), control.slower_than(high)
    excess = ours.ratio - theirs.ratio
    return Finding(
        guardrail.metric,
        _percentile(test, alpha),
        _percentile(control, alpha),
        bound,
        excess,
        _evidence(excess, ours, theirs, (1.0, 1.0), alpha, MIN_SENDS, share=True),
        enough=min(ours.clusters, theirs.clusters) >= MIN_SENDS,
    )


def _beyond(
    guardrail: Guardrail, limit: float, arm: ArmFigures, alpha: float, min_samples: int
) -> float:
    """Returns the evidence that an arm is beyond a limit; 0 as long as it has too few clusters."""
    if guardrail.metric == "latency_p95":
        min_samples = MIN_SENDS
        figures = arm.slower_than(bucket_of(limit * (1 - 1e-9)))
        excess = figures.ratio - (1 - _HIGH)
    elif guardrail.metric == "events_per_user":
        figures = arm.events_per_user()
        excess = limit - figures.ratio
    else:
        figures = arm.share(guardrail.metric)
        excess = figures.ratio - limit
    if figures.clusters < max(2, min_samples) or not figures.n:
        return 0.0
    if guardrail.metric == "events_per_user":  # a user with none, and one with twice the limit
        padded = figures + Moments(2, 2 * limit, 2, 4 * limit * limit, 2 * limit, 2)
    else:
        padded = _padded(figures, share=True)
    error = math.sqrt(padded.spread / figures.clusters)
    if error <= 0:
        return 0.0
    return _scaled(excess / error, figures.clusters, alpha, min_samples)


def _percentile(arm: ArmFigures, alpha: float) -> ArmValue:
    sends = arm.times.total()
    half = half_width(sends, alpha, MIN_SENDS) * math.sqrt(_HIGH * (1 - _HIGH) / sends)
    low, middle, high = (
        edge_of(quantile(arm.times, min(1.0, max(0.0, share))))
        for share in (_HIGH - half, _HIGH, _HIGH + half)
    )
    return ArmValue(middle, low, high, sends)


def _evidence(
    excess: float,
    test: Moments,
    control: Moments,
    weights: tuple[float, float],
    alpha: float,
    tuned_for: float,
    *,
    share: bool,
) -> float:
    """Returns the evidence that the excess is above 0; 1 is enough.

    Args:
        weights: of the test and control arm in the excess.
        tuned_for: number of clusters of each arm at which the test is sharpest.
    """
    if min(test.clusters, control.clusters) < 2 or not (test.n and control.n):
        return 0.0
    mine, its = (weight * weight for weight in weights)
    parts = [_padded(one, share=share) for one in (test, control, test + control)]
    apart = mine * parts[0].spread / test.clusters + its * parts[1].spread / control.clusters
    as_one = parts[2].spread * (mine / test.clusters + its / control.clusters)
    variance = max(apart, as_one)
    if variance <= 0:
        return 0.0
    t = 1 / (1 / test.clusters + its / control.clusters)
    return _scaled(excess / math.sqrt(variance), t, alpha, tuned_for / 2)


def _scaled(z: float, t: float, alpha: float, tuned_for: float) -> float:
    """Returns evidence on a scale from 0, on which 1 is enough."""
    return max(0.0, log_evidence(z, t, alpha, tuned_for) / -math.log(alpha))


def _padded(moments: Moments, *, share: bool) -> Moments:
    """Adds one cluster with all and one with nothing, of the average size, to a share."""
    if not share:
        return moments
    size = moments.n / moments.clusters
    return moments + Moments(2, size, 2 * size, size * size, size * size, 2 * size * size)


def _value(moments: Moments, alpha: float, tuned_for: int, *, share: bool) -> ArmValue:
    if moments.clusters < 2 or not moments.n:
        return ArmValue(moments.ratio, 0.0, 1.0 if share else None, moments.clusters)
    error = math.sqrt(_padded(moments, share=share).spread / moments.clusters)
    half = half_width(moments.clusters, alpha, tuned_for) * error
    high = moments.ratio + half
    return ArmValue(
        moments.ratio,
        max(0.0, moments.ratio - half),
        min(1.0, high) if share else high,
        moments.clusters,
    )
