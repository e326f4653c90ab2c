"""Statistics that may be looked at as often as one likes: pure functions of a few numbers.

A rollout is judged each second, so that an ordinary test, which is right once, would find something
sooner or later wherever there is nothing. These hold at all times at once: for arms that do not
differ, the chance that the evidence *ever* reaches ``1 / alpha`` is `alpha` at most.

**Evidence** is the mixture likelihood ratio of Robbins (1970), used for A/B tests as mSPRT by
Johari, Koomen, Pekelis and Walsh (2022), here against one side: with a half-normal mixture over the
size of the difference. Let ``z`` be the difference over its standard error and ``t`` the number of
clusters it rests on (for two arms ``1 / (1/m_test + 1/m_control)``), then::

    E(z, t) = 2 / sqrt(1 + R t) * exp(x² / 2) * Phi(x),     x = z * sqrt(R t / (1 + R t))

which is a non-negative supermartingale where the difference is 0 or less, so that Ville's
inequality bounds the chance that it ever reaches ``1 / alpha``.

**Intervals** are the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas (2024, theorem 2.2)::

    estimate ± standard error * sqrt((1 + R t) / (R t) * 2 ln(sqrt(1 + R t) / alpha))

``R`` decides where both are sharpest. For `tuned_for` clusters it is, after Howard, Ramdas,
McAuliffe and Sekhon (2021, section 3.5)::

    R = (-2 ln alpha + ln(1 - 2 ln alpha)) / tuned_for

Both take the estimate for normal with a known error, which it becomes as clusters grow in number.
They are used from a least number of clusters on, and with errors that are rather too large
(`gateway.rollouts.guardrails`); what that gives is tested on simulated rollouts.

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
"""Standard deviations below which nothing is evidence; the tail would be no number any more."""


def spent(alpha: float, series: int) -> float:
    """What test number `series`, from 1, may spend of `alpha`: they add up to it, however many.

    Each stage, and each start of the process, begins a new test with data of its own. By the union
    bound the chance that any of them errs is below the sum, whatever they have to do with each
    other: ``1/2 + 1/6 + 1/12 + ... = 1``.
    """
    return alpha / (series * (series + 1))


def log_evidence(z: float, t: float, alpha: float, tuned_for: float) -> float:
    """Natural logarithm of the evidence for a difference above 0; ``-ln alpha`` is enough.

    Args:
        z: the difference over its standard error.
        t: clusters that it rests on.
    """
    scaled = _mixing(alpha, tuned_for) * t
    x = max(_MOST_BELOW, z * math.sqrt(scaled / (1 + scaled)))
    tail = math.log(math.erfc(-x / math.sqrt(2)) / 2)
    return math.log(2) - math.log1p(scaled) / 2 + x * x / 2 + tail


def half_width(t: float, alpha: float, tuned_for: float) -> float:
    """Half the width of the interval, in standard errors."""
    scaled = _mixing(alpha, tuned_for) * t
    return math.sqrt((1 + scaled) / scaled * (math.log1p(scaled) - 2 * math.log(alpha)))


def _mixing(alpha: float, tuned_for: float) -> float:
    weight = -2 * math.log(alpha)
    return (weight + math.log1p(weight)) / tuned_for
