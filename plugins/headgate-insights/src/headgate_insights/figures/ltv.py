"""Lifetime value: what the people of a cohort have paid by a certain age."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from gateway import FigureSpec
from headgate_insights.calendar import EPOCH, Every
from headgate_insights.cells import parse_cell
from headgate_insights.charts import axis, chart, joined, line, rows_of
from headgate_insights.events import Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.intervals import OF_RATIO, ratio_interval
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.money import ORDER, Money, MoneyOptions
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, fitting

__all__ = ["SPEC", "Ltv", "LtvOptions", "LtvRow"]


class LtvOptions(MoneyOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the people of a cohort have paid by a certain age: observed lifetime value."""

    start: Annotated[
        str,
        Meta(description="The event that people begin with; `*` is anything, payers or not."),
    ] = ORDER
    every: Annotated[Every, Meta(description="Length of a period.")] = "month"
    units: Annotated[
        int, Meta(ge=1, le=120, description="How many periods after the first are shown.")
    ] = 6


class LtvRow(Struct, frozen=True, kw_only=True):
    """A cohort at an age, or all cohorts that are old enough (``cohort`` is null).

    Attributes:
        label: the value of the breakdown; empty without one.
        unit: number of the period after the first; all before it are added.
        people: people of the cohort, payers or not.
        revenue: what they have paid since their start, less refunds.
        value: revenue for each of them, with its 95 % interval.
        complete: whether the period is over.
    """

    label: str
    cohort: date | None
    unit: int
    period: str
    people: float
    revenue: float
    value: float | None
    low: float | None
    high: float | None
    complete: bool


class _LtvCell(Struct, frozen=True, forbid_unknown_fields=True):
    cohort: date
    unit: int = 0


class _Sums(Struct, frozen=True):
    """Sums over people: ``w``, ``w²``, ``wy``, ``w²y²`` and ``w²y``."""

    w: float = 0.0
    w2: float = 0.0
    y: float = 0.0
    y2: float = 0.0
    yn: float = 0.0

    def __add__(self, other: _Sums) -> _Sums:
        pairs = zip(structs.astuple(self), structs.astuple(other), strict=True)
        return _Sums(*(one + two for one, two in pairs))


class Ltv(Figure[LtvOptions]):
    """Value by age of cohort."""

    title = "What are people worth over time?"
    interval = OF_RATIO
    reading = (
        "Read a column to see whether newer cohorts are worth more at the same age, and compare "
        "the value with what it costs to win a person. It is what was observed: nothing is "
        "predicted, and old cohorts may differ from new ones."
    )
    default_from = "6m"

    def __init__(self, options: LtvOptions) -> None:
        super().__init__(options)
        self._money = Money(options)
        self._start = Selector.parse(options.start)

    @property
    def selectors(self) -> Sequence[Selector]:
        """The start, orders and refunds."""
        return (self._start, *self._money.selectors)

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    def definition(self, scope: Scope) -> list[str]:
        """Says who is in a cohort, and what is added."""
        every = self.options.every
        return [
            (
                f"A cohort is the {scope.people} who did {self._start.words} for the first time "
                f"ever in a {every}."
            ),
            (
                f"Their value at {every} k is all revenue from their start to the end of the k-th "
                f"{every} after the first, divided by all of them, payers or not."
            ),
            *self._money.definition,
            f"The average is the ratio of sums over the cohorts for which {every} k is over.",
            *([f"The {scope.by_words} is that of the start event."] if scope.by else []),
        ]

    # SQL.

    def _with(self, scope: Scope) -> str:
        every, start, last = self.options.every, scope.start, self._reads_to(scope)
        return f"""WITH starts AS (
  {scope.events(self._start, scope.beginning, scope.end)}
), cohorts AS (
  SELECT unit AS person, min(ts) AS began, {scope.entry_weight} AS w,
    {scope.period(every, scope.beginning, scope.end, "min(ts)")} AS cohort,
    {scope.entry_label} AS label
  FROM starts GROUP BY unit HAVING min(ts) >= {literal(start)}
), moves AS (
  SELECT unit AS person, ts, value, currency FROM ({self._money.orders(scope, start, last)})
  UNION ALL
  SELECT unit, ts, -value, currency FROM ({self._money.refunds(scope, start, last)})
), paid AS (
  SELECT person, {scope.period(every, start, last)} - cohort AS age, cohort, label, w,
    coalesce(sum(value), 0) AS y, list(DISTINCT currency) AS codes
  FROM moves JOIN cohorts USING (person) WHERE ts >= began GROUP BY ALL
)"""

    def statement(self, scope: Scope) -> Statement:
        """Counts cohorts (age NULL), and adds what they paid at each age.

        The square of a person's total at an age is the sum of how much it grew at each age before.
        So sums of squares are added up by age as sums are.
        """
        sql = f"""{self._with(scope)}, totals AS (
  SELECT *, sum(y) OVER (PARTITION BY person ORDER BY age) AS total FROM paid
)
SELECT label, cohort, NULL AS age, sum(w) AS w, sum(w * w) AS w2, 0::DOUBLE AS y,
  0::DOUBLE AS y2, 0::DOUBLE AS yn, NULL AS codes
FROM cohorts GROUP BY ALL
UNION ALL
SELECT label, cohort, age, 0, 0, sum(w * y), sum(w * w * (total * total - (total - y) ** 2)),
  sum(w * w * y), list_distinct(flatten(list(codes)))
FROM totals GROUP BY label, cohort, age ORDER BY ALL"""
        return scope.statement(sql, scope.beginning, self._reads_to(scope))

    def _reads_to(self, scope: Scope) -> datetime:
        every = self.options.every
        last = scope.periods(every)[-1] + self.options.units + 1
        return scope.calendar.begin(every, last)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people of a cohort who had paid by an age."""
        every = self.options.every
        example = f"cohort={scope.calendar.date_of(every, scope.periods(every)[0])},unit=1"
        wanted = parse_cell(cell, _LtvCell, example)
        period = scope.calendar.period_of(every, (wanted.cohort - EPOCH).days)
        sql = (
            f"{self._with(scope)}\nSELECT DISTINCT person AS unit FROM paid "
            f"WHERE cohort = {period} AND age <= {wanted.unit} AND y > 0"
        )
        return scope.statement(sql, scope.beginning, self._reads_to(scope))

    # Result.

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[LtvRow]:
        """Makes the triangle, and the average over cohorts that are old enough."""
        every, calendar = self.options.every, scope.calendar
        sums: dict[tuple[str, int], dict[int | None, _Sums]] = defaultdict(dict)
        codes: dict[str, set[str]] = defaultdict(set)
        for label, cohort, age, *numbers, found in rows:
            sums[label, cohort][age] = _Sums(*numbers)
            codes[label].update(found or [])
        notes = self._money.check(codes)
        cells: list[LtvRow] = []
        averages: dict[tuple[str, int], _Sums] = defaultdict(_Sums)
        for (label, cohort), of_age in sorted(sums.items()):
            total = of_age[None]
            for unit in range(self.options.units + 1):
                if calendar.begin(every, cohort + unit) >= scope.known_until:
                    break
                total += of_age.get(unit, _Sums())
                complete = scope.is_complete(every, cohort) and (
                    calendar.begin(every, cohort + unit + 1) <= scope.known_until
                )
                if complete:
                    averages[label, unit] += total
                on = calendar.date_of(every, cohort)
                cells.append(self._row(label, on, unit, total, complete=complete))
        average = [
            self._row(label, None, unit, total, complete=True)
            for (label, unit), total in sorted(averages.items())
        ]
        notes += [scope.begins_inside] if scope.begins_inside else []
        if not average:
            notes.append("No period is over for any cohort yet, so there is no average.")
        return Result(rows=[*average, *cells], headlines=list(_headlines(average)), notes=notes)

    def _row(
        self, label: str, cohort: date | None, unit: int, total: _Sums, *, complete: bool
    ) -> LtvRow:
        value = total.y / total.w if total.w else None
        low, high = ratio_interval(value, total.w, total.y2, total.yn, total.w2)
        return LtvRow(
            label=label,
            cohort=cohort,
            unit=unit,
            period=f"{self.options.every} {unit}",
            people=total.w,
            revenue=total.y,
            value=value,
            low=low,
            high=high,
            complete=complete,
        )

    # Views.

    def table(self, scope: Scope, result: Result[LtvRow]) -> Table:
        """Shows the triangle; with a breakdown, the average of each value."""
        units = fitting(max((row.unit for row in result.rows), default=0) + 1)
        every = self.options.every
        lines: dict[tuple[str, date | None], dict[int, LtvRow]] = defaultdict(dict)
        for row in result.rows:
            if not scope.by or row.cohort is None:
                lines[row.label, row.cohort][row.unit] = row
        most = max((row.value or 0.0 for row in result.rows), default=0.0)

        def cell(row: LtvRow | None) -> Cell:
            if row is None or row.value is None:
                return Cell()
            text = f"{row.value:,.0f}" if most >= 1000 else f"{row.value:,.2f}"
            shade = max(row.value, 0.0) / most if most > 0 else None
            return Cell(text, shade=shade, incomplete=not row.complete)

        return Table(
            columns=[
                Column(scope.by_words if scope.by else f"{every} of", left=True),
                Column(scope.people),
                *(Column(f"{every[0].upper()}{unit}") for unit in units),
            ],
            rows=[
                [
                    Cell(label or (f"{cohort}" if cohort else "average"), bold=cohort is None),
                    Cell(f"{max(row.people for row in of_unit.values()):,.0f}"),
                    *(cell(of_unit.get(unit)) for unit in units),
                ]
                for (label, cohort), of_unit in lines.items()
            ],
            caption=f"revenue for each of the {scope.people} by the end of a {every}",
        )

    def chart(self, scope: Scope, result: Result[LtvRow]) -> dict[str, Any]:
        """Draws the average curve with its interval, over the curves of the cohorts."""
        shown = [row for row in result.rows if row.cohort is None or not scope.by]
        rows = [
            {**row, "line": row["label"] or row["cohort"] or "average"} for row in rows_of(shown)
        ]
        every = self.options.every
        x = axis("unit", f"{every}s after the first", "ordinal", axis={"labelAngle": 0})
        money = f" ({self._money.currency})" if self._money.currency else ""
        y = axis("value", f"revenue for each of the {scope.people}{money}", "quantitative")
        subtitle = "average of complete cohorts with its 95 % interval"
        if not scope.by:
            subtitle += f"; thin: each cohort, dashed where a {every} is not over"
        average = line(
            x,
            y,
            series="label" if scope.by else "",
            title=scope.by_words,
            where="datum.cohort == null",
            band=True,
        )
        cohorts = line(x, y, series="line", where="datum.cohort != null", thin=True)
        layers = {"layer": [*cohorts, *average]}
        return chart(f"Lifetime value by {every}", subtitle, joined(rows, "line"), layers)


def _headlines(average: list[LtvRow]) -> Iterator[Headline]:
    for row in average:
        yield Headline(
            name=f"value at {row.period}",
            value=row.value,
            unit="money",
            label=row.label,
            low=row.low,
            high=row.high,
            n=row.people,
        )


SPEC = FigureSpec(type="ltv", config=LtvOptions, build=Ltv)
