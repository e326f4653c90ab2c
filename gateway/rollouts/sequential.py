"""Sequential tests and intervals, valid however often they are looked at. Pure.

A rollout is judged every second. An ordinary test is valid for one look only and would sooner or
later report a difference between equal arms. These are valid at all times together: if the arms do
not differ, the probability that the evidence *ever* reaches ``1 / alpha`` is at most `alpha`.

**Evidence** is the mixture likelihood ratio of Robbins (1970), used for A/B tests as mSPRT by
Johari, Koomen, Pekelis and Walsh (2022). It is one-sided here, with a half-normal mixture over the
size of the difference. Let ``z`` be the difference over its standard error and ``t`` the number of
clusters behind it (for two arms ``1 / (1/m_test + 1/m_control)``), then::

    E(z, t) = 2 / sqrt(1 + R t) * exp(x² / 2) * Phi(x),     x = z * sqrt(R t / (1 + R t))

is a non-negative supermartingale if the difference is 0 or less, and Ville's inequality bounds the
probability that it ever reaches ``1 / alpha``.

**Intervals** are the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas (2024, theorem 2.2)::

    estimate ± standard error * sqrt((1 + R t) / (R t) * 2 ln(sqrt(1 + R t) / alpha))

``R`` sets the number of clusters at which both are sharpest. For `tuned_for` clusters it is, after
Howard, Ramdas, McAuliffe and Sekhon (2021, section 3.5)::

    R = (-2 ln alpha + ln(1 - 2 ln alpha)) / tuned_for

Both assume a normal estimate with a known error, which holds for many clusters. They are used only
above a least number of clusters and with errors that are rather too large
(`gateway.rollouts.guardrails`). Tests on simulated rollouts check the result.

References:
    H. Robbins: Statistical methods related to the law of the iterated logarithm. Annals of
        Mathematical Statistics 41(5), 1970.
    R. Johari, P. Koomen, L. Pekelis, D. Walsh: Always valid inference: continuous monitoring of A/B
        tests. Operations Research 70(3), 2022.
    S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon: Time-uniform, nonparametric, nonasymptotic
        confidence sequences. Annals of Statistics 49(2), 2021.
    I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas: Time-uniform central limit
        theory and asymptotic confidence sequences. Annals of Statistics 52(6), 2024.
"""

from __future__ import annotations

import math

__all__ = ["half_width", "log_evidence", "spent"]

_MOST_BELOW = -30.0
"""Least value of ``x``, in standard deviations; the tail of smaller values underflows."""


def spent(alpha: float, series: int) -> float:
    """Returns the part of `alpha` that test number `series`, from 1, may spend.

    Each stage, and each start of the process, begins a new test with its own data. The parts of all
    tests sum up to `alpha`: ``1/2 + 1/6 + 1/12 + ... = 1``. By the union bound, the probability
    that any test errs is at most that sum, even if the tests depend on each other.
    """
    return alpha / (series * (series + 1))


def log_evidence(z: float, t: float, alpha: float, tuned_for: float) -> float:
    """Returns the natural logarithm of the evidence for a difference above 0.

    ``-ln alpha`` is enough evidence.

    Args:
        z: the difference over its standard error.
        t: number of clusters behind the difference.
    """
    scaled = _mixing(alpha, tuned_for) * t
    x = max(_MOST_BELOW, z * math.sqrt(scaled / (1 + scaled)))
    tail = math.log(math.erfc(-x / math.sqrt(2)) / 2)
    return math.log(2) - math.log1p(scaled) / 2 + x * x / 2 + tail


def half_width(t: float, alpha: float, tuned_for: float) -> float:
    """Returns half the width of the interval, in standard errors."""
    scaled = _mixing(alpha, tuned_for) * t
    return math.sqrt((1 + scaled) / scaled * (math.log1p(scaled) - 2 * math.log(alpha)))


def _mixing(alpha: float, tuned_for: float) -> float:
    weight = -2 * math.log(alpha)
    return (weight + math.log1p(weight)) / tuned_for
