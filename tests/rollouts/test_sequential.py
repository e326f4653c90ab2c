"""The statistics of rollouts, compared with SciPy and with their guarantees."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from gateway.rollouts.figures import (
    ATTEMPTS,
    FAILED,
    FINISHED,
    REJECTED,
    SEEN,
    ArmFigures,
    bucket_of,
    edge_of,
    quantile,
)
from gateway.rollouts.sequential import half_width, log_evidence, spent

ALPHA, TUNED = 0.05, 200.0


def mixing(alpha: float, tuned_for: float) -> float:
    """Returns R of the module's docstring."""
    return float((-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / tuned_for)


@pytest.mark.parametrize("z", [-4.0, -1.0, 0.0, 0.5, 2.0, 3.5, 6.0])
@pytest.mark.parametrize("t", [3.0, 80.0, 2_000.0])
def test_the_evidence_is_the_mixture_of_likelihood_ratios(z: float, t: float) -> None:
    """The evidence equals SciPy's numerical integral over a half-normal prior."""
    sum_of_t = z * math.sqrt(t)  # of t normal observations with variance 1
    prior = stats.halfnorm(scale=math.sqrt(mixing(ALPHA, TUNED)))
    expected, _ = integrate.quad(
        lambda mean: math.exp(mean * sum_of_t - mean * mean * t / 2) * prior.pdf(mean),
        0,
        12 * math.sqrt(mixing(ALPHA, TUNED)),
        points=[max(0.0, z / math.sqrt(t))],
        epsabs=0,
        epsrel=1e-9,
        limit=200,
    )
    assert log_evidence(z, t, ALPHA, TUNED) == pytest.approx(math.log(expected), abs=1e-6)


def test_far_below_the_bound_it_is_no_evidence_and_no_error() -> None:
    """A tail of the normal distribution that underflows to 0 is no error."""
    assert log_evidence(-1e9, 1e9, ALPHA, TUNED) < log_evidence(-1.0, 1e9, ALPHA, TUNED) < 0


@pytest.mark.parametrize("t", [5.0, 200.0, 1e6])
def test_the_interval_ends_where_the_two_sided_mixture_is_one_over_alpha(t: float) -> None:
    """The interval agrees with Robbins' normal mixture, computed from two densities of SciPy."""
    half = half_width(t, ALPHA, TUNED)
    mixed = stats.norm(scale=math.sqrt(1 / t + mixing(ALPHA, TUNED)))
    plain = stats.norm(scale=math.sqrt(1 / t))
    edge = half / math.sqrt(t)
    assert mixed.logpdf(edge) - plain.logpdf(edge) == pytest.approx(-math.log(ALPHA))


def test_it_is_wider_than_what_may_be_looked_at_once() -> None:
    """The interval is always wider than the usual 1.96 standard errors."""
    once = stats.norm.ppf(1 - ALPHA / 2)
    assert all(half_width(t, ALPHA, TUNED) > once for t in np.geomspace(1, 1e9, 50))


def test_what_all_tests_may_spend_adds_up() -> None:
    """The levels of all stages and restarts add up to the configured one."""
    total = sum(spent(ALPHA, series) for series in range(1, 100_000))
    assert total == pytest.approx(ALPHA, rel=1e-4)
    assert total < ALPHA


def test_looking_at_every_moment_errs_no_more_often_than_asked_for() -> None:
    """2,000 random walks, each tested 2,000 times, err within the level; z = 1.64 does not."""
    rng = np.random.default_rng(5)
    walks = np.cumsum(rng.standard_normal((2_000, 2_000)), axis=1)
    t = np.arange(1, 2_001)
    z = walks / np.sqrt(t)
    limit = [_least_z(n) for n in t]
    ever = (z >= limit).any(axis=1).mean()
    assert 0.01 < ever <= ALPHA
    assert (z >= stats.norm.ppf(1 - ALPHA)).any(axis=1).mean() > 5 * ALPHA


def _least_z(t: float) -> float:
    """Returns the least z with enough evidence, by bisection."""
    low, high = 0.0, 20.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        enough = log_evidence(middle, t, ALPHA, TUNED) >= -math.log(ALPHA)
        low, high = (low, middle) if enough else (middle, high)
    return high


def test_the_spread_of_a_ratio_is_that_of_the_jackknife() -> None:
    """The delta method agrees with the jackknife over users."""
    rng = np.random.default_rng(3)
    n = rng.geometric(0.1, 3_000)
    x = rng.binomial(n, rng.beta(0.5, 9.5, 3_000))
    arm = ArmFigures(10_000)
    for user, (some, of) in enumerate(zip(x.tolist(), n.tolist(), strict=True)):
        arm.add(user, FINISHED, of)
        if some:
            arm.add(user, REJECTED, some)
    moments = arm.share("rejection_rate")
    assert moments.ratio == pytest.approx(x.sum() / n.sum())
    left_out = (x.sum() - x) / (n.sum() - n)
    jackknife = (len(n) - 1) / len(n) * ((left_out - left_out.mean()) ** 2).sum()
    assert moments.spread / moments.clusters == pytest.approx(jackknife, rel=0.01)
    by_event = moments.ratio * (1 - moments.ratio) / n.sum()
    assert moments.spread / moments.clusters > 1.5 * by_event  # which the count of events hides


Steps = st.lists(
    st.tuples(
        st.integers(0, 40).map(lambda n: n * 2**58 + 17),
        st.sampled_from([SEEN, ATTEMPTS, FAILED, FINISHED, REJECTED]),
        st.integers(1, 5),
    ),
    max_size=200,
)


@given(Steps, st.integers(3, 100))
def test_sums_are_those_of_the_rows_that_are_kept(
    steps: list[tuple[int, int, int]], most: int
) -> None:
    """The sums match the kept rows after any input, also after users were removed."""
    arm = ArmFigures(most)
    rows: dict[int, dict[int, int]] = {}
    for user, count, number in steps:
        arm.add(user, count, number)
        row = rows.setdefault(user, {})
        row[count] = row.get(count, 0) + number
    kept = {user: rows[user] for user in arm._rows}
    assert len(kept) <= most
    assert sorted(kept) == sorted(rows)[: len(kept)]  # a sample by hash, and of each user all
    moments = arm.share("error_rate")
    pairs = [(row.get(FAILED, 0), row.get(ATTEMPTS, 0)) for row in kept.values()]
    assert (moments.x, moments.n) == (sum(x for x, _ in pairs), sum(n for _, n in pairs))
    assert moments.xx == sum(x * x for x, _ in pairs)
    assert moments.xn == sum(x * n for x, n in pairs)
    assert moments.nn == sum(n * n for _, n in pairs)
    assert moments.clusters == sum(n > 0 for _, n in pairs)


def test_percentiles_are_right_to_within_a_bucket() -> None:
    """Percentiles are at most 4 % above those of NumPy."""
    times = np.random.default_rng(1).lognormal(3, 1, 20_000)
    arm = ArmFigures(100)
    for took in times.tolist():
        arm.times[bucket_of(took)] += 1
    exact = float(np.quantile(times, 0.95))
    assert exact <= edge_of(quantile(arm.times, 0.95)) * 1.001
    assert edge_of(quantile(arm.times, 0.95)) <= 1.05 * exact
