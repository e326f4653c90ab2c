"""Retention: of the people who began in a period, how many came back, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from gateway import FigureSpec
from headgate_insights.brackets import parse_brackets
from headgate_insights.calendar import Every
from headgate_insights.cells import parse_cell
from headgate_insights.charts import axis, chart, joined, line, rows_of
from headgate_insights.cohorts import PERIOD_HOURS, Cohorts
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.intervals import Share, kish, share
from headgate_insights.lakes import Statement
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, fitting

__all__ = ["SPEC", "Retention", "RetentionOptions", "RetentionRow"]

_ALL = 100_000  # a number of periods that no lake is long enough for


class RetentionOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the people who began in a period, how many came back, and when."""

    start: Annotated[
        str, Meta(description="The event that people begin with. `*` is anything that they do.")
    ] = ANYTHING
    back: Annotated[str, Meta(description="The event that counts as coming back.")] = ANYTHING
    every: Annotated[Every, Meta(description="Length of a period.")] = "week"
    units: Annotated[
        int, Meta(ge=1, le=366, description="How many periods after the first are shown.")
    ] = 8
    mode: Annotated[
        Literal["on", "after"],
        Meta(
            description="on: came back in the period itself. after: in the period or any later one."
        ),
    ] = "on"
    brackets: Annotated[
        str,
        Meta(
            description="Periods of unequal length instead, such as 0,1-3,4-7,8-14; in one bracket "
            "people count once."
        ),
    ] = ""
    cohorts: Annotated[
        Literal["first", "recurring"],
        Meta(
            description="first: people whose first ever start event is in the period. recurring: "
            "all who did it in the period."
        ),
    ] = "first"
    clock: Annotated[
        Literal["calendar", "rolling"],
        Meta(
            description="calendar: periods of the calendar. rolling: 24 hours, 7 or 30 days from "
            "each person's own start, rounded down to the hour."
        ),
    ] = "calendar"


class RetentionRow(Share, frozen=True, kw_only=True):
    """A cohort in one period, or all complete cohorts in it (``cohort`` is null).

    Attributes:
        label: the value of the breakdown; empty without one.
        unit: number of the period after the first, or of the bracket.
        period: its name, such as ``week 1``.
        people: people of the cohort.
        returned: those who came back.
        complete: whether the period is over for the whole cohort.
    """

    label: str
    cohort: date | None
    unit: int
    period: str
    people: float
    returned: float
    complete: bool


class _RetentionCell(Struct, frozen=True, forbid_unknown_fields=True):
    cohort: date
    unit: int = 0
    returned: Literal["yes", "no"] = "yes"


class Retention(Figure[RetentionOptions]):
    """Retention by cohort."""

    title = "Do people come back?"
    reading = (
        "Read a row to see one cohort fade, and a column to see whether newer cohorts do better. "
        "A curve that becomes flat is a product that some people keep. The first period shows who "
        "did the returning event right away; do not read it as retention."
    )
    default_from = "12w"

    def __init__(self, options: RetentionOptions) -> None:
        super().__init__(options)
        self._start = Selector.parse(options.start)
        self._back = Selector.parse(options.back)
        self._cohorts = Cohorts(
            self._start,
            self._back,
            options.every,
            first_ever=options.cohorts == "first",
            rolling=options.clock == "rolling",
        )
        self._brackets = parse_brackets(options.brackets) if options.brackets else None
        if self._brackets and options.mode == "after":
            raise WrongQuestion("--brackets counts in the bracket itself, so it has no mode after")

    @property
    def selectors(self) -> Sequence[Selector]:
        """The start and the return event."""
        return (self._start, self._back)

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    @property
    def _spans(self) -> list[tuple[int, int]]:
        """First and last age of each unit."""
        return self._brackets or [(age, age) for age in range(self.options.units + 1)]

    def definition(self, scope: Scope) -> list[str]:
        """Says how people are put into cohorts, and what counts as a return."""
        options = self.options
        every = options.every
        first = "for the first time ever" if options.cohorts == "first" else "at least once"
        when = "in the period itself, at or after the start event"
        if options.mode == "after":
            when = (
                "in the period or in any later one that the lake knows, so it never rises, and old "
                "cohorts had more time"
            )
        begins = f"is the next {every} of the calendar"
        if options.clock == "rolling":
            begins = (
                f"begins {PERIOD_HOURS[every]} hours after each person's own start; both times are "
                "rounded down to the hour"
            )
        return [
            f"A cohort is the {scope.people} who did {self._start.words} {first} in a {every}.",
            f"Retained means that they did {self._back.words} {when}.",
            f"Period 1 {begins}.",
            (
                "The average is the ratio of sums: all who came back, divided by all people, of "
                "the cohorts for which the period is over."
            ),
            *([f"The {scope.by_words} is that of the start event."] if scope.by else []),
        ]

    # SQL.

    def statement(self, scope: Scope) -> Statement:
        """Counts the people of each cohort (unit NULL) and in each period after it."""
        cells = "SELECT label, cohort, unit, {} FROM ages GROUP BY ALL"
        if self.options.mode == "after":
            cells = (
                "SELECT label, cohort, max(unit) AS unit, person, any_value(w) AS w FROM ages "
                "GROUP BY label, cohort, person"
            )
            cells = f"SELECT label, cohort, unit, {{}} FROM ({cells}) GROUP BY ALL"
        sums = "sum(w) AS weights, sum(w * w) AS squares"
        sql = (
            f"{self._with(scope)}\n"
            f"SELECT label, cohort, NULL AS unit, {sums} FROM cohorts GROUP BY ALL\n"
            f"UNION ALL\n{cells.format(sums)}\nORDER BY ALL"
        )
        return scope.statement(sql, self._cohorts.reads_from(scope), self._reads_to(scope))

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people of a cohort who came back in a period, or who did not."""
        every = self.options.every
        example = f"cohort={scope.calendar.date_of(every, scope.periods(every)[0])},unit=1"
        wanted = parse_cell(cell, _RetentionCell, example)
        period = scope.calendar.period_of(every, (wanted.cohort - date(1970, 1, 1)).days)
        is_in = f"cohort = {period}"
        reached = ">=" if self.options.mode == "after" else "="
        back = f"SELECT person FROM ages WHERE {is_in} AND unit {reached} {wanted.unit}"
        sql = (
            f"{self._with(scope)}\nSELECT DISTINCT person AS unit FROM cohorts "
            f"WHERE {is_in} AND person {'' if wanted.returned == 'yes' else 'NOT '}IN ({back})"
        )
        return scope.statement(sql, self._cohorts.reads_from(scope), self._reads_to(scope))

    def _reads_to(self, scope: Scope) -> datetime:
        """The end of the last unit of the last cohort; returns may lie after the range."""
        if self.options.mode == "after":
            return max(scope.known_until, scope.end)
        every, last = self.options.every, self._spans[-1][1] + 1
        if self.options.clock == "rolling":
            return scope.end + timedelta(hours=last * PERIOD_HOURS[every])
        return scope.calendar.begin(every, scope.periods(every)[-1] + last)

    def _with(self, scope: Scope) -> str:
        options = self.options
        furthest = _ALL if options.mode == "after" else self._spans[-1][1]
        unit = f"least(age, {options.units})" if options.mode == "after" else "age"
        if self._brackets:
            cases = (
                f"WHEN age BETWEEN {low} AND {high} THEN {number}"
                for number, (low, high) in enumerate(self._brackets)
            )
            unit = f"CASE {' '.join(cases)} END"
        # A person has one row for each period, unless several ages make one unit.
        distinct = "DISTINCT " if self._cohorts.rolling or self._brackets else ""
        return f"""{self._cohorts.sql(scope, self._reads_to(scope))}, ages AS (
  SELECT {distinct}person, cohort, label, w, {unit} AS unit
  FROM aged WHERE age BETWEEN 0 AND {furthest} AND {unit} IS NOT NULL
)"""

    # Result.

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[RetentionRow]:
        """Makes the triangle, and the average over complete cohorts."""
        sizes: dict[tuple[str, int], tuple[float, float]] = {}
        counts: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
        for label, cohort, unit, weights, squares in rows:
            if unit is None:
                sizes[label, cohort] = (weights, squares)
            else:
                counts[label, cohort][unit] = weights
        cells = list(self._triangle(scope, sizes, counts))
        averages = list(self._averages(cells))
        notes = []
        if self.options.cohorts == "first" and scope.begins_inside:
            notes.append(scope.begins_inside)
        if not any(row.complete for row in cells):
            notes.append("No period is over for any cohort yet, so there is no average.")
        return Result(
            rows=[*averages, *cells],
            headlines=[
                Headline.of_share(row.period, row, row.label) for row in averages if row.unit > 0
            ],
            notes=notes,
        )

    def _triangle(
        self,
        scope: Scope,
        sizes: dict[tuple[str, int], tuple[float, float]],
        counts: dict[tuple[str, int], dict[int, float]],
    ) -> Iterator[RetentionRow]:
        every = self.options.every
        for (label, cohort), (people, squares) in sorted(sizes.items()):
            found = counts[label, cohort]
            for unit, (first, last) in enumerate(self._spans):
                begins, ends = self._bounds(scope, cohort, first, last)
                if begins >= scope.known_until:
                    break
                returned = found.get(unit, 0.0)
                if self.options.mode == "after":
                    returned = sum(some for age, some in found.items() if age >= unit)
                is_over = ends <= scope.known_until and scope.is_complete(every, cohort)
                yield RetentionRow(
                    label=label,
                    cohort=scope.calendar.date_of(every, cohort),
                    unit=unit,
                    period=self._name(unit),
                    people=people,
                    returned=returned,
                    complete=is_over,
                    **structs.asdict(share(returned, people, kish(people, squares))),
                )

    def _bounds(
        self, scope: Scope, cohort: int, first: int, last: int
    ) -> tuple[datetime, datetime]:
        """Returns when the unit begins for the first of the cohort and ends for its last."""
        every, calendar = self.options.every, scope.calendar
        if self.options.clock == "calendar":
            return calendar.begin(every, cohort + first), calendar.begin(every, cohort + last + 1)
        hours = PERIOD_HOURS[every]
        begin, end = calendar.begin(every, cohort), calendar.begin(every, cohort + 1)
        return begin + timedelta(hours=first * hours), end + timedelta(hours=(last + 1) * hours)

    def _averages(self, cells: list[RetentionRow]) -> Iterator[RetentionRow]:
        """Yields the ratio of sums over the cohorts for which a unit is complete."""
        complete: dict[tuple[str, int], list[RetentionRow]] = defaultdict(list)
        for row in cells:
            if row.complete:
                complete[row.label, row.unit].append(row)
        for _, rows in sorted(complete.items()):
            people = sum(row.people for row in rows)
            returned = sum(row.returned for row in rows)
            squares = sum(row.people**2 / row.n for row in rows if row.n)
            of_all = share(returned, people, kish(people, squares))
            yield structs.replace(
                rows[0], cohort=None, people=people, returned=returned, **structs.asdict(of_all)
            )

    def _name(self, unit: int) -> str:
        first, last = self._spans[unit]
        return f"{self.options.every} {first}" + ("" if first == last else f"-{last}")

    # Views.

    def table(self, scope: Scope, result: Result[RetentionRow]) -> Table:
        """Shows the triangle; with a breakdown, the average of each value."""
        units = fitting(max((row.unit for row in result.rows), default=0) + 1)
        letter = self.options.every[0].upper()
        titles = [self._name(unit).replace(f"{self.options.every} ", letter) for unit in units]
        lines: dict[tuple[str, date | None], dict[int, RetentionRow]] = defaultdict(dict)
        for row in result.rows:
            if not scope.by or row.cohort is None:
                lines[row.label, row.cohort][row.unit] = row
        return Table(
            columns=[
                Column(scope.by_words if scope.by else f"{self.options.every} of", left=True),
                Column(scope.people),
                *map(Column, titles),
            ],
            rows=[
                [
                    Cell(label or (f"{cohort}" if cohort else "average"), bold=cohort is None),
                    Cell(f"{max(row.people for row in units_of.values()):,.0f}"),
                    *(Cell.of_share(units_of.get(unit)) for unit in units),
                ]
                for (label, cohort), units_of in lines.items()
            ],
            caption=f"% of {scope.people}",
        )

    def chart(self, scope: Scope, result: Result[RetentionRow]) -> dict[str, Any]:
        """Draws the average curve with its interval, over the curves of the cohorts."""
        shown = [row for row in result.rows if row.cohort is None or not scope.by]
        rows = [
            {**row, "line": row["label"] or row["cohort"] or "average"} for row in rows_of(shown)
        ]
        every = self.options.every
        x = axis(
            "period" if self._brackets else "unit",
            f"{every}s after the first",
            "ordinal",
            axis={"labelAngle": 0},
            sort=None,
        )
        y = axis("share", f"share of {scope.people}", "quantitative", axis={"format": "%"})
        average, cohorts = "datum.cohort == null", "datum.cohort != null"
        subtitle = "average of complete cohorts with its 95 % interval"
        if not scope.by:
            subtitle += f"; thin: each cohort, dashed where a {every} is not over"
        return chart(
            f"Retention by {every}",
            subtitle,
            joined(rows, "line"),
            {
                "layer": [
                    *line(x, y, series="line", where=cohorts, thin=True),
                    *line(
                        x,
                        y,
                        series="label" if scope.by else "",
                        title=scope.by_words,
                        where=average,
                        band=True,
                    ),
                ]
            },
        )


SPEC = FigureSpec(type="retention", config=RetentionOptions, build=Retention)
