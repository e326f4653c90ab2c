"""Experiment: the arms of a group compared, with a test that may be looked at every day."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway import FigureSpec
from headgate_insights.cells import parse_cell
from headgate_insights.charts import COLOURS, axis, chart, rows_of
from headgate_insights.durations import duration_words, in_microseconds, parse_duration
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.experiments import (
    ALPHA,
    TUNED_FOR,
    Arm,
    Comparison,
    compare,
    due_shares,
    needed_for_mean,
    needed_for_share,
    ratio_words,
)
from headgate_insights.fields import parse_field, path_sql
from headgate_insights.figure import WILSON, Figure, Headline, Result
from headgate_insights.intervals import OF_RATIO, ratio_interval, share
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.scope import NONE, OTHER, Scope
from headgate_insights.tables import Cell, Column, Table
from headgate_insights.words import lift_words

__all__ = ["SPEC", "ArmRow", "Experiment", "ExperimentOptions"]


class ExperimentOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Compare the arms of a group (--group): lift, a test to look at daily, people needed."""

    goal: Annotated[str, Meta(description="The event that the arms are compared by.")]
    measure: Annotated[
        Literal["people", "count", "sum"],
        Meta(
            description="people: the share who did it. count: how often each does it. sum: the sum "
            "of --of for each, such as revenue."
        ),
    ] = "people"
    of: Annotated[str, Meta(description="sum: the number that is summed, such as revenue.")] = ""
    exposure: Annotated[
        str,
        Meta(
            description="The event with which people meet the difference. Empty begins with the "
            "first event that bears their arm, which hides effects among those who never met it."
        ),
    ] = ""
    window: Annotated[
        str, Meta(description="How long after the exposure the goal counts: 14d.")
    ] = "14d"
    after: Annotated[
        str,
        Meta(description="The goal counts only from then on: with 7d it is who comes back."),
    ] = ""
    control: Annotated[str, Meta(description="The arm that others are compared with.")] = "control"
    expected: Annotated[
        str,
        Meta(description="Shares of the arms, such as test=50,control=50; else by the group."),
    ] = ""
    lift: Annotated[
        float, Meta(gt=0, le=10, description="The lift that people are needed for: 0.1 is 10 %.")
    ] = 0.1
    tuned_for: Annotated[
        int,
        Meta(ge=100, description="People in a pair of arms at which the test is sharpest; choose "
             "it before the start."),
    ] = TUNED_FOR  # fmt: skip


class ArmRow(Struct, frozen=True, kw_only=True):
    """An arm.

    Attributes:
        people: its people; those seen in two arms are left out.
        value: the share, or the mean, of these people, with its 95 % interval for one look.
        lift: relative difference to control, with its interval that is valid at all times.
        verdict: ``higher``, ``lower``, ``open``, ``too few``; empty for control.
        needed: people that each arm needs for the lift of ``--lift``.
        expected: the share of people that the arm should have.
    """

    arm: str
    people: float
    n: float
    value: float | None
    low: float | None
    high: float | None
    lift: float | None
    lift_low: float | None
    lift_high: float | None
    verdict: str
    needed: int | None
    expected: float


class _ArmCell(Struct, frozen=True, forbid_unknown_fields=True):
    arm: str
    goal: Literal["yes", "no"] = "yes"


class Experiment(Figure[ExperimentOptions]):
    """Comparison of arms."""

    title = "Did it change anything?"
    of_people = False
    reading = (
        "A lift counts if its interval leaves out 0; you may look every day and stop when it does. "
        "Open means that no difference is proved, and not that there is none. If the sample ratio "
        "is wrong, do not read on: something loses people of one arm."
    )
    default_from = "28d"

    def __init__(self, options: ExperimentOptions) -> None:
        super().__init__(options)
        if bool(options.of) != (options.measure == "sum"):
            raise WrongQuestion("--measure sum needs --of, and nothing else takes it")
        if options.of and parse_field(options.of).number is None:
            raise WrongQuestion(f"--of {options.of}: this field is never a number")
        of_value = WILSON if options.measure == "people" else OF_RATIO
        self.interval = f"{of_value}, of values; lifts: valid at all looks together"
        self._goal = Selector.parse(options.goal)
        self._exposure = Selector.parse(options.exposure or ANYTHING)
        self._window = parse_duration(options.window, "--window")
        self._after = parse_duration(options.after, "--after") if options.after else timedelta(0)
        if self._after >= self._window:
            raise WrongQuestion("--after is at least --window, so that no time is left")
        self._expected = _shares(options.expected) if options.expected else {}

    @property
    def selectors(self) -> Sequence[Selector]:
        """The exposure, by which arms are found, and the goal."""
        return (self._exposure, self._goal)

    @property
    def fields(self) -> Sequence[str]:
        """The number that is summed."""
        return (self.options.of,) if self.options.of else ()

    def definition(self, scope: Scope) -> list[str]:
        """Says who is compared, by what, and how it is tested."""
        options = self.options
        first = f"their first {self._exposure.words} in the range"
        if not options.exposure:
            first = "their first event in the range that bears an arm"
        what = {
            "people": f"the share of them who did {self._goal.words}",
            "count": f"how often each of them did {self._goal.words}",
            "sum": f"the sum of {options.of} of {self._goal.words} for each of them",
        }[options.measure]
        when = f"within {duration_words(self._window)}"
        if self._after:
            when = f"from {duration_words(self._after)} to {duration_words(self._window)}"
        return [
            f"The arms of {scope.options.group} have the {scope.people} by {first}.",
            "Who was seen in two arms is left out.",
            f"The value is {what}, {when} after it.",
            f"The lift is relative to {options.control}.",
            "Its interval and verdict are valid at all looks together, at 5 % for all arms.",
            f"Needed are people in each arm to find a lift of {options.lift:.0%} in 4 of 5 tries.",
        ]

    # SQL.

    def _with(self, scope: Scope) -> str:
        group = scope.options.group
        if not group:
            raise WrongQuestion("an experiment compares the arms of a group: give --group NAME")
        weight = f"TRY_CAST({path_sql('groups', group, 'weight')} AS DOUBLE)"
        exposures = scope.events(
            self._exposure, scope.start, scope.end, {"t": "epoch_us(ts)", "stands_for": weight}
        )
        value = str(parse_field(self.options.of).number) if self.options.of else "1"
        goals = scope.events(
            self._goal,
            scope.start,
            scope.end + self._window,
            {"t": "epoch_us(ts)", "number": f"coalesce({value}, 0)"},
        )
        y = "1" if self.options.measure == "people" else "sum(number)"
        after, window = in_microseconds(self._after), in_microseconds(self._window)
        return f"""WITH exposures AS (
  SELECT * FROM (
    {exposures}
  ) WHERE label NOT IN ({literal(NONE)}, {literal(OTHER)})
), people AS (
  SELECT unit, min(t) AS began, min(label) AS arm, count(DISTINCT label) AS arms,
    {scope.entry_weight} AS w, min(stands_for) AS least, max(stands_for) AS most
  FROM exposures GROUP BY unit
), goals AS (
  {goals}
), reached AS (
  SELECT unit, {y}::DOUBLE AS y FROM goals JOIN people USING (unit)
  WHERE t >= began + {after} AND t <= began + {window} GROUP BY unit
), outcomes AS (
  SELECT people.*, coalesce(y, 0) AS y FROM people LEFT JOIN reached USING (unit)
)"""

    def statement(self, scope: Scope) -> Statement:
        """Adds up the outcomes of each arm; those seen in two arms are a row without one."""
        over = literal(scope.known_until - self._window)
        sql = f"""{self._with(scope)}
SELECT CASE WHEN arms = 1 THEN arm END AS arm, count(*) AS counted, sum(w) AS w,
  sum(w * w) AS w2, sum(w * y) AS wy, sum(w * w * y) AS w2y, sum(w * w * y * y) AS w2y2,
  sum(w * y * y) AS wy2, count(*) FILTER (began > epoch_us({over})) AS still,
  min(least) AS least, max(most) AS most
FROM outcomes GROUP BY 1 ORDER BY 1"""
        return scope.statement(sql, scope.start, scope.end + self._window)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people of an arm who did the goal, or who did not."""
        wanted = parse_cell(cell, _ArmCell, "arm=test,goal=yes")
        test = ">" if wanted.goal == "yes" else "="
        sql = (
            f"{self._with(scope)}\nSELECT unit FROM outcomes "
            f"WHERE arms = 1 AND arm = {literal(wanted.arm)} AND y {test} 0"
        )
        return scope.statement(sql, scope.start, scope.end + self._window)

    # Result.

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[ArmRow]:
        """Compares each arm with control."""
        arms = {arm: Arm(*numbers) for arm, *numbers in rows if arm is not None}
        mixed = sum(numbers[0] for arm, *numbers in rows if arm is None)
        control = self.options.control
        if control not in arms:
            raise WrongQuestion(
                f"no people are in the arm {control!r} of {scope.options.group}; --control names "
                f"one of {', '.join(sorted(arms)) or 'its arms, of which none was seen'}"
            )
        expected, notes = self._shares_of(arms)
        notes += self._notes(scope, arms, expected, mixed)
        found = list(self._compared(arms, expected))
        headlines = [
            Headline(
                name="lift",
                value=row.lift,
                unit="%",
                label=row.arm,
                low=row.lift_low,
                high=row.lift_high,
                n=row.n,
            )
            for row in found
            if row.arm != control
        ]
        return Result(rows=found, headlines=headlines, notes=notes)

    def _shares_of(self, arms: Mapping[str, Arm]) -> tuple[dict[str, float], list[str]]:
        """Returns the share that each arm should have, and what is to be said about it."""
        if self._expected:
            if missing := sorted(set(arms) - set(self._expected)):
                raise WrongQuestion(f"--expected has no share of {', '.join(missing)}")
            return {arm: self._expected[arm] for arm in arms}, []
        return due_shares(arms)

    def _notes(
        self, scope: Scope, arms: Mapping[str, Arm], expected: Mapping[str, float], mixed: int
    ) -> Iterator[str]:
        yield from ratio_words(arms, expected)
        if mixed:
            yield f"{mixed:,} {scope.people} were seen in two arms and are left out."
        if still := sum(one.still for one in arms.values()):
            yield (
                f"{still:,} {scope.people} began so recently that their "
                f"{duration_words(self._window)} are not over; in all arms alike."
            )

    def _compared(self, arms: Mapping[str, Arm], expected: Mapping[str, float]) -> Iterator[ArmRow]:
        base, others = arms[self.options.control], max(len(arms) - 1, 1)
        order = sorted(arms, key=lambda arm: (arm != self.options.control, arm))
        for arm in order:
            one = arms[arm]
            low, high = ratio_interval(one.mean, one.w, one.w2y2, one.w2y, one.w2)
            if self.options.measure == "people":
                part = share(one.wy, one.w, one.n)
                low, high = part.low, part.high
            found = Comparison()
            if one is not base:
                found = compare(one, base, ALPHA / others, self.options.tuned_for)
            yield ArmRow(
                arm=arm,
                people=one.w,
                n=one.n,
                value=one.mean,
                low=low,
                high=high,
                lift=found.lift,
                lift_low=found.low,
                lift_high=found.high,
                verdict=found.verdict,
                needed=self._needed(base),
                expected=expected[arm] / sum(expected.values()),
            )

    def _needed(self, base: Arm) -> int | None:
        if self.options.measure == "people":
            return needed_for_share(base.mean, self.options.lift)
        variance = base.wy2 / base.w - base.mean**2
        return needed_for_mean(base.mean, variance, self.options.lift)

    # Views.

    def table(self, scope: Scope, result: Result[ArmRow]) -> Table:
        """Shows the arms, control first."""
        is_share = self.options.measure == "people"

        def value(number: float | None) -> str:
            if number is None:
                return ""
            return f"{number:.2%}" if is_share else f"{number:,.3g}"

        titles = (scope.people, "value", "lift", "interval", "verdict", "needed")
        return Table(
            columns=[Column("arm", left=True), *map(Column, titles)],
            rows=[
                [
                    Cell(row.arm[:16]),
                    Cell(f"{row.people:,.0f}"),
                    Cell(value(row.value)),
                    *map(Cell, lift_words(row.lift, row.lift_low, row.lift_high)),
                    Cell(row.verdict, bold=True),
                    Cell("" if row.needed is None else f"{row.needed:,}"),
                ]
                for row in result.rows
            ],
            caption=f"needed: people in each arm for a lift of {self.options.lift:.0%}",
        )

    def chart(self, scope: Scope, result: Result[ArmRow]) -> dict[str, Any]:
        """Draws the lift of each arm with its interval, and the line of no difference."""
        rows = [{**row, "zero": 0} for row in rows_of(result.rows) if row["verdict"]]
        y = axis("arm", None, "nominal")
        x = axis("lift", f"lift to {self.options.control}", "quantitative", axis={"format": "+%"})
        colour = {"value": COLOURS[0]}
        bounds = {"x": {**x, "field": "lift_low"}, "x2": {"field": "lift_high"}}
        zero = {"x": {**x, "field": "zero"}, "color": {"value": "#777777"}}
        return chart(
            f"Lift of {self._goal.text}, by arm of {scope.options.group}",
            "with the interval that is valid at all looks; grey: no difference",
            rows,
            {
                "height": {"step": 56},
                "layer": [
                    {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": zero},
                    {
                        "mark": {"type": "rule", "strokeWidth": 3},
                        "encoding": {"y": y, **bounds, "color": colour},
                    },
                    {
                        "mark": {"type": "point", "filled": True, "size": 120},
                        "encoding": {"y": y, "x": x, "color": colour},
                    },
                ],
            },
        )


def _shares(text: str) -> dict[str, float]:
    try:
        pairs = [part.split("=", 1) for part in text.split(",")]
        found = {arm.strip(): float(number) for arm, number in pairs}
    except ValueError:
        found = {}
    if not found or any(not math.isfinite(one) or one <= 0 for one in found.values()):
        raise WrongQuestion(f"--expected {text!r} are no shares: write test=50,control=50")
    return found


SPEC = FigureSpec(type="experiment", config=ExperimentOptions, build=Experiment)
