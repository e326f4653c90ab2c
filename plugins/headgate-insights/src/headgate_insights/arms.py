"""Arms of a group compared on the numbers of any figure: lift, test, sample ratio, people needed.

A figure that is broken down by ``--group`` has each number once for each arm. A number with an
interval over people is an estimate with a standard error, so two of them can be compared by the
same test as those of an experiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from headgate_insights.errors import WrongQuestion
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.experiments import (
    ALPHA,
    TUNED_FOR,
    Comparison,
    compare,
    due_shares,
    needed_for_mean,
    needed_for_share,
    ratio_words,
)
from headgate_insights.fields import path_sql
from headgate_insights.figure import WILSON, Figure, Headline, Unit
from headgate_insights.intervals import Z
from headgate_insights.lakes import Lake
from headgate_insights.literals import literal
from headgate_insights.scope import NONE, OTHER, Scope

__all__ = ["LIFT", "ArmNumber", "Arms", "compare_arms"]

LIFT = 0.1
"""The lift that people are needed for."""


class ArmNumber(Struct, frozen=True, kw_only=True):
    """A number of a figure in an arm.

    Attributes:
        name: the number, such as ``week 1``.
        n: what it is of: people, or orders for an order's value.
        lift: relative difference to the arm that others are compared with, with its interval that
            is valid at all looks together.
        verdict: ``higher``, ``lower``, ``open``, ``too few``; empty for that arm itself.
        needed: people that each arm needs to find a lift of `LIFT` in 4 of 5 tries.
    """

    name: str
    arm: str
    value: float
    unit: Unit
    n: float
    lift: float | None
    lift_low: float | None
    lift_high: float | None
    verdict: str
    needed: int | None


class Arms(Struct, frozen=True, kw_only=True):
    """The arms of a group, compared.

    Attributes:
        against: the arm that others are compared with.
        notes: whether the sizes of the arms are as they should be, and who was in two.
    """

    against: str
    numbers: list[ArmNumber]
    notes: list[str]


class _Size(NamedTuple):
    counted: int
    least: float | None
    most: float | None


class _Estimate(NamedTuple):
    mean: float
    n: float
    error: float


def compare_arms(
    figure: Figure[Any], scope: Scope, lake: Lake, headlines: Sequence[Headline]
) -> Arms:
    """Compares the arms of the scope's group on the numbers of a figure.

    Raises:
        WrongQuestion: the figure has no number of people, or nobody is in the arm to compare with.
    """
    against = scope.options.against
    sizes, mixed = _sizes(scope, lake)
    if against not in sizes:
        raise WrongQuestion(
            f"no people are in the arm {against!r} of {scope.options.group}; --against names one "
            f"of {', '.join(sorted(sizes)) or 'its arms, of which none was seen'}"
        )
    by_name: dict[str, dict[str, tuple[Headline, _Estimate]]] = {}
    if figure.of_people:
        for one in headlines:
            estimate = _estimate(one, figure.interval)
            if estimate is not None and one.label not in (NONE, OTHER):
                by_name.setdefault(one.name, {})[one.label] = (one, estimate)
    found = [
        number
        for arms in by_name.values()
        if against in arms
        for number in _compared(arms, against)
    ]
    if not found:
        raise WrongQuestion(
            "--against: no number of this figure has an interval over people, so its arms cannot "
            "be compared; retention, churn, funnel, revenue, ltv and engagement have some, and "
            "`experiment` compares counts and sums of any event"
        )
    due, notes = due_shares(sizes)
    notes += ratio_words(sizes, due)
    if mixed:
        notes.append(f"{mixed:,} {scope.people} were seen in two arms.")
    if len(by_name) > 1:
        notes.append(
            f"Of {len(by_name)} numbers each is tested by itself; decide beforehand which counts."
        )
    return Arms(against=against, numbers=found, notes=notes)


def _sizes(scope: Scope, lake: Lake) -> tuple[dict[str, _Size], int]:
    """Returns the people of each arm, and the number of those who were seen in two."""
    weight = f"TRY_CAST({path_sql('groups', scope.options.group, 'weight')} AS DOUBLE)"
    events = scope.events(Selector.parse(ANYTHING), scope.start, scope.end, {"stands_for": weight})
    sql = f"""WITH people AS (
  SELECT unit, min(label) AS arm, count(DISTINCT label) AS arms,
    min(stands_for) AS least, max(stands_for) AS most
  FROM (
    {events}
  ) WHERE label NOT IN ({literal(NONE)}, {literal(OTHER)}) GROUP BY unit
)
SELECT CASE WHEN arms = 1 THEN arm END AS arm, count(*), min(least), max(most)
FROM people GROUP BY 1 ORDER BY 1"""
    rows = lake.run(scope.statement(sql, scope.start, scope.end))
    sizes = {arm: _Size(*numbers) for arm, *numbers in rows if arm is not None}
    return sizes, sum(numbers[0] for arm, *numbers in rows if arm is None)


def _estimate(one: Headline, interval: str) -> _Estimate | None:
    """Returns a number with its standard error; None if it has no interval."""
    if one.value is None or one.low is None or one.high is None or not one.n:
        return None
    error = (one.high - one.low) / (2 * Z)
    if one.unit == "%" and interval == WILSON:
        # Wilson's interval of a rare event is wider than its error.
        error = (one.value * (1 - one.value) / one.n) ** 0.5
    return _Estimate(one.value, one.n, error)


def _compared(arms: Mapping[str, tuple[Headline, _Estimate]], against: str) -> Iterator[ArmNumber]:
    base = arms[against][1]
    alpha = ALPHA / max(len(arms) - 1, 1)
    for arm in sorted(arms, key=lambda arm: (arm != against, arm)):
        headline, estimate = arms[arm]
        found = Comparison()
        if arm != against:
            found = compare(estimate, base, alpha, TUNED_FOR)
        yield ArmNumber(
            name=headline.name,
            arm=arm,
            value=estimate.mean,
            unit=headline.unit,
            n=estimate.n,
            lift=found.lift,
            lift_low=found.low,
            lift_high=found.high,
            verdict=found.verdict,
            needed=_needed(base, headline.unit),
        )


def _needed(base: _Estimate, unit: Unit) -> int | None:
    if unit == "%":
        return needed_for_share(base.mean, LIFT)
    return needed_for_mean(base.mean, base.error**2 * base.n, LIFT)
