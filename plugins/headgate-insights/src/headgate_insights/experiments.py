"""Statistics of experiments: comparison of arms, sample ratio, people needed.

The test and the interval of a lift are those of rollouts (`gateway.log_evidence`,
`gateway.half_width`): both are valid at all looks together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from gateway import half_width, log_evidence
from headgate_insights.intervals import Z, kish

__all__ = [
    "ALPHA",
    "TUNED_FOR",
    "Arm",
    "Comparison",
    "Measured",
    "Sized",
    "chi_square_p",
    "compare",
    "due_shares",
    "needed_for_mean",
    "needed_for_share",
    "ratio_words",
    "sample_ratio_p",
]

_POWER = 0.8416212335729143  # of the normal distribution, for a power of 80 %

ALPHA = 0.05
"""The probability that any arm without a difference is ever found to have one."""

_SUSPICIOUS = 0.001
"""Arms whose sizes are less probable than this are not divided as they should be."""

TUNED_FOR = 10_000
"""People in a pair of arms at which the test is sharpest, if nobody says otherwise."""

_LEAST_PEOPLE = 100
"""Below this number of people in an arm no verdict is given: the tests assume many."""


class Arm(NamedTuple):
    """The sums of an arm over people, by the names of the columns of the SELECT."""

    counted: int
    w: float
    w2: float
    wy: float
    w2y: float
    w2y2: float
    wy2: float
    still: int
    least: float | None
    most: float | None

    @property
    def mean(self) -> float:
        """The mean outcome, of weighted people."""
        return self.wy / self.w

    @property
    def n(self) -> float:
        """The number of people that they are worth."""
        return kish(self.w, self.w2)

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        mean = self.mean
        return math.sqrt(max(self.w2y2 - 2 * mean * self.w2y + mean**2 * self.w2, 0)) / self.w


class Measured(Protocol):
    """A number of an arm that can be compared."""

    @property
    def mean(self) -> float:
        """The number: a share, or a mean over people."""

    @property
    def n(self) -> float:
        """The number of people that they are worth."""

    @property
    def error(self) -> float:
        """The standard error of the mean."""


class Sized(Protocol):
    """The people of an arm, and for how many one of them stands."""

    @property
    def counted(self) -> int:
        """People, each as one."""

    @property
    def least(self) -> float | None:
        """The least that one stands for; None if the events do not tell."""

    @property
    def most(self) -> float | None:
        """The most that one stands for."""


class Comparison(Struct, frozen=True):
    """An arm compared with control.

    Attributes:
        lift: the relative difference, with its interval.
        verdict: empty for control itself.
    """

    lift: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Literal["", "higher", "lower", "open", "too few"] = ""


def compare(one: Measured, base: Measured, alpha: float, tuned_for: float) -> Comparison:
    """Compares an arm with control, by both one-sided tests.

    Args:
        alpha: the probability of an error of this arm; each side has half of it.
        tuned_for: people of both arms at which the tests are sharpest.
    """
    lift = one.mean / base.mean - 1 if base.mean else None
    if lift is None or min(one.n, base.n) < _LEAST_PEOPLE:
        return Comparison(lift, verdict="too few")
    error = math.hypot(one.error, base.error)
    if not error:
        return Comparison(lift, verdict="open")
    clusters = 1 / (1 / one.n + 1 / base.n)
    # The error of the ratio, to the first order in both means.
    of_lift = math.hypot(one.error, (1 + lift) * base.error) / abs(base.mean)
    half = half_width(clusters, alpha, tuned_for) * of_lift
    z, enough = (one.mean - base.mean) / error, -math.log(alpha / 2)
    verdict: Literal["higher", "lower", "open"] = "open"
    if log_evidence(z, clusters, alpha / 2, tuned_for) >= enough:
        verdict = "higher"
    elif log_evidence(-z, clusters, alpha / 2, tuned_for) >= enough:
        verdict = "lower"
    return Comparison(lift, lift - half, lift + half, verdict)


def chi_square_p(statistic: float, degrees: int) -> float:
    """Returns the probability of a chi-square statistic as large as this one, or larger."""
    half = statistic / 2
    # The upper incomplete gamma function, by its recurrence from 1/2 or 1 on.
    shape = 0.5 if degrees % 2 else 1.0
    p = math.erfc(math.sqrt(half)) if degrees % 2 else math.exp(-half)
    term = math.exp(-half) * half**shape / math.gamma(shape + 1)
    while shape < degrees / 2:
        p += term
        shape += 1
        term *= half / shape
    return min(p, 1.0)


def sample_ratio_p(counted: Mapping[str, int], expected: Mapping[str, float]) -> float:
    """Returns the probability that the arms differ so much from their shares by chance.

    Args:
        counted: people by arm.
        expected: the share of each arm; they need not add up to 1.
    """
    people, shares = sum(counted.values()), sum(expected[arm] for arm in counted)
    statistic = 0.0
    for arm, found in counted.items():
        due = people * expected[arm] / shares
        statistic += (found - due) ** 2 / due
    return chi_square_p(statistic, len(counted) - 1)


def due_shares(arms: Mapping[str, Sized]) -> tuple[dict[str, float], list[str]]:
    """Returns the share that each arm should have by its weights, and what is to be said of it."""
    if all(one.least and one.least == one.most for one in arms.values()):
        return {arm: 1 / (one.least or 1.0) for arm, one in arms.items()}, []
    words = "The events do not tell the shares of the arms; equal ones are assumed."
    if any(one.least != one.most for one in arms.values()):
        words = "The shares of the arms changed within the range: the sample ratio is checked "
        words += "against equal shares. Take a range in which they are the same, or --expected."
    return dict.fromkeys(arms, 1.0), [words]


def ratio_words(arms: Mapping[str, Sized], due: Mapping[str, float]) -> list[str]:
    """Says whether the sizes of the arms agree with their shares; nothing of a single arm."""
    if len(arms) < 2:
        return []
    p = sample_ratio_p({arm: one.counted for arm, one in arms.items()}, due)
    if p < _SUSPICIOUS:
        words = (
            "SAMPLE RATIO: the sizes of the arms differ from their shares more than chance "
            f"allows (p = {p:.1g}). The comparison cannot be trusted."
        )
        return [words]
    return [f"The sizes of the arms agree with their shares (p = {p:.2f})."]


def needed_for_share(share: float, lift: float) -> int | None:
    """Returns the people that each arm needs to prove a lift of a share.

    For a two-sided test at 5 % that finds it in 80 % of experiments. None if there is no such
    number: the share is 0, or the lift would lead above 1.
    """
    other = share * (1 + lift)
    if not 0 < share < 1 or not 0 < other < 1 or not lift:
        return None
    spread = share * (1 - share) + other * (1 - other)
    return math.ceil((Z + _POWER) ** 2 * spread / (other - share) ** 2)


def needed_for_mean(mean: float, variance: float, lift: float) -> int | None:
    """Returns the same for a mean, such as revenue for each person."""
    if not mean or not lift or not variance:
        return None
    return math.ceil((Z + _POWER) ** 2 * 2 * variance / (mean * lift) ** 2)
