"""Goals: where a number is going."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_insights.figure import Headline
from headgate_insights.intervals import share
from headgate_insights.report.pace import FEWEST, MOST_RANGES, Pace, pace

LAST = date(2026, 6, 30)


def share_of(part: int, whole: int) -> Headline:
    return Headline.of_share("week 1", share(part, whole, whole))


def judged(now: Headline | None, before: Headline | None, target: float, **more: Any) -> Pace:
    options = {"lower_is_better": False, "by": date(2026, 7, 30), "last": LAST, "days": 30}
    return pace(now, before, target=target, **{**options, **more})


@pytest.mark.parametrize(
    ("target", "status"), [(0.30, "on track"), (0.60, "behind"), (0.40, "not yet known")]
)
def test_the_target_beside_the_interval(target: float, status: str) -> None:
    """Only a target outside the interval of what is expected has a status of its own."""
    found = judged(share_of(3600, 10_000), share_of(3200, 10_000), target)
    assert found.expected == pytest.approx(0.40)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.40 < found.high
    assert found.status == status


def test_lower_can_be_better() -> None:
    """A number that shall fall is on track if all of its interval is below the target."""
    now, before = share_of(1000, 10_000), share_of(2000, 10_000)
    assert judged(now, before, 0.05, lower_is_better=True).status == "on track"
    assert judged(before, now, 0.05, lower_is_better=True).status == "behind"


def test_a_number_without_an_interval_says_so() -> None:
    """A count is carried on plainly, and the reader is told that chance is left out."""
    found = judged(Headline(name="n", value=120.0), Headline(name="n", value=100.0), 130.0)
    assert (found.status, found.expected, found.low) == ("on track", 140.0, None)
    assert "chance is left out" in found.why


@pytest.mark.parametrize("at", [date(2026, 6, 30), date(2026, 6, 1)])
def test_on_its_day_the_number_counts(at: date) -> None:
    """From its day on a goal is reached or missed, whatever the pace."""
    assert judged(share_of(50, 100), None, 0.5, by=at).status == "reached"
    assert judged(share_of(49, 100), None, 0.5, by=at).status == "missed"


def test_what_cannot_be_known() -> None:
    """Few people, no range before, no value, and a day that is far off are not judged."""
    now, before = share_of(50, 100), share_of(40, 100)
    few = share_of(FEWEST - 1, FEWEST - 1)
    beyond = date.fromordinal(LAST.toordinal() + round(30 * MOST_RANGES) + 1)
    at_bound = date.fromordinal(beyond.toordinal() - 1)
    for found in (
        judged(few, before, 0.1),
        judged(now, None, 0.1),
        judged(None, before, 0.1),
        judged(now, before, 0.0, by=beyond),
    ):
        assert found.status == "not yet known"
        assert found.expected is None
    assert judged(now, before, 0.0, by=at_bound).expected is not None


@given(st.integers(30, 5000), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 90))
def test_expected_shares_stay_shares(
    people: int, now: float, before: float, target: float, left: int
) -> None:
    """What is expected of a share lies in its interval, and both between 0 and 1."""
    found = judged(
        share_of(round(now * people), people),
        share_of(round(before * people), people),
        target,
        by=date.fromordinal(LAST.toordinal() + left),
    )
    assert found.low is not None
    assert found.high is not None
    assert found.expected is not None
    assert 0 <= found.low <= found.expected <= found.high <= 1
