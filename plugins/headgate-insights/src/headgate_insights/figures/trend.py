"""Trend: a number of any events, over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway import FigureSpec
from headgate_insights.calendar import EPOCH, Every
from headgate_insights.cells import parse_cell
from headgate_insights.charts import axis, chart, joined, line, rows_of
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.fields import parse_field
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.intervals import Z, kish_sql
from headgate_insights.lakes import Statement
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, latest

__all__ = ["SPEC", "Trend", "TrendOptions", "TrendRow"]

_QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_OF_VALUES = ("sum", "average", *_QUANTILES)
_MOST_SERIES = 6  # columns of a table in 80 characters


class TrendOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number of any events over time: count, people, per person, sum, average, percentile."""

    event: Annotated[
        tuple[str, ...],
        Meta(description="The event; may be given several times. `*` is anything."),
    ] = (ANYTHING,)
    measure: Annotated[
        Literal["count", "people", "per-person", "sum", "average", "median", "p90", "p95", "p99"],
        Meta(description="What is counted; sum, average and percentiles are of --of."),
    ] = "count"
    of: Annotated[
        str, Meta(description="The number that is summed: revenue, properties.price, ...")
    ] = ""
    over: Annotated[
        str, Meta(description="Divide by the same measure of this event, which makes a ratio.")
    ] = ""
    every: Annotated[Every, Meta(description="Length of a period.")] = "day"


class TrendRow(Struct, frozen=True, kw_only=True):
    """A series in one period.

    Attributes:
        series: the event as it was asked for.
        label: the value of the breakdown; empty without one.
        value: the number; None for an average of nothing.
        low, high: the 95 % interval of an average.
        n: the events or people that it is of; of a sample, what they are worth (Kish).
        complete: whether the period is over.
    """

    series: str
    label: str
    begins: date
    value: float | None
    low: float | None
    high: float | None
    n: float
    complete: bool


class _TrendCell(Struct, frozen=True, forbid_unknown_fields=True):
    begins: date
    series: int = 1


class Trend(Figure[TrendOptions]):
    """A number over time."""

    title = "How does it develop?"
    of_people = False
    reading = (
        "Compare whole periods, and the same weekday with the same weekday. A count can rise "
        "because more people come or because the same ones do more: `--measure people` and "
        "`--measure per-person` tell which."
    )
    default_from = "30d"

    def __init__(self, options: TrendOptions) -> None:
        super().__init__(options)
        if bool(options.of) != (options.measure in _OF_VALUES):
            raise WrongQuestion(
                f"--measure {options.measure} "
                + ("is not of a value: leave out --of" if options.of else "needs --of")
            )
        if options.of and parse_field(options.of).number is None:
            raise WrongQuestion(f"--of {options.of}: this field is never a number")
        self.interval = "normal, of a mean" if options.measure == "average" else ""
        self._series = [Selector.parse(text) for text in options.event]
        self._over = Selector.parse(options.over) if options.over else None

    @property
    def selectors(self) -> Sequence[Selector]:
        """The events of all series, and the one that they are divided by."""
        return (*self._series, *([self._over] if self._over else []))

    @property
    def fields(self) -> Sequence[str]:
        """The value that is summed."""
        return (self.options.of,) if self.options.of else ()

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    def definition(self, scope: Scope) -> list[str]:
        """Says what is counted, and of which events."""
        options = self.options
        events = ", ".join(one.words for one in self._series)
        what = {
            "count": "The number of events",
            "people": f"The number of different {scope.people} with an event",
            "per-person": f"Events for each of the {scope.people} with an event",
            "sum": f"The sum of {options.of} of the events",
            "average": f"The mean of {options.of} of the events that have it",
        }.get(options.measure, f"The {options.measure} of {options.of} of the events that have it")
        lines = [f"{what}, in each {options.every}: {events}."]
        if self._over:
            lines.append(f"Divided by the same of {self._over.words} in the same {options.every}.")
        if options.measure in ("people", "per-person"):
            lines.append(
                "The same one in two periods counts in both, so periods do not add up to the range."
            )
        if options.measure in _OF_VALUES:
            lines.append("Values that are no number are left out.")
        return lines

    def statement(self, scope: Scope) -> Statement:
        """Computes each series by itself: label, period, value, n, and the interval's half."""
        if scope.weighted and self.options.measure in _QUANTILES:
            raise WrongQuestion(
                f"--measure {self.options.measure} is not offered for a sample, whose events have "
                "different weights; sum and average are"
            )
        parts = (
            f"SELECT {number} AS series, * FROM (\n{self._one(scope, one)}\n)"
            for number, one in enumerate(self.selectors)
        )
        sql = "\nUNION ALL\n".join(parts) + "\nORDER BY ALL"
        return scope.statement(sql, scope.start, scope.end)

    def _one(self, scope: Scope, which: Selector) -> str:
        measure = self.options.measure
        period = scope.period(self.options.every, scope.start, scope.end)
        label = f"{scope.label_column} AS label"
        w = scope.event_weight
        if measure in ("people", "per-person"):
            value = "sum(w)" if measure == "people" else "sum(events) / sum(w)"
            return f"""SELECT label, period, {value} AS value, {kish_sql("w")} AS n, NULL AS half
FROM (
  SELECT {label}, {period} AS period, unit, {scope.entry_weight} AS w, sum({w}) AS events
  FROM ({scope.events(which, scope.start, scope.end)}) GROUP BY ALL
) GROUP BY label, period"""
        columns = {}
        of = self.options.of
        if of:
            columns["value"] = str(parse_field(of).number)
        value = {
            "count": f"sum({w})",
            "sum": f"coalesce(sum({w} * value), 0)",
            "average": f"sum({w} * value) / sum({w}) FILTER (value IS NOT NULL)",
        }.get(measure) or f"quantile_cont(value, {_QUANTILES.get(measure)})"
        n = kish_sql(w, "value IS NOT NULL" if of else "")
        half = f"{Z} * stddev_samp(value) / sqrt({n})" if measure == "average" else "NULL"
        return (
            f"SELECT {label}, {period} AS period, {value} AS value, {n} AS n, {half} AS half\n"
            f"FROM ({scope.events(which, scope.start, scope.end, columns)}) GROUP BY ALL"
        )

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people with an event of a series in a period."""
        every = self.options.every
        first = scope.calendar.date_of(every, scope.periods(every)[0])
        wanted = parse_cell(cell, _TrendCell, f"begins={first},series=1")
        if not 1 <= wanted.series <= len(self._series):
            raise WrongQuestion(f"series={wanted.series}: there are {len(self._series)}")
        period = scope.calendar.period_of(every, (wanted.begins - EPOCH).days)
        start = max(scope.start, scope.calendar.begin(every, period))
        end = min(scope.end, scope.calendar.begin(every, period + 1))
        events = scope.events(self._series[wanted.series - 1], start, end)
        return scope.statement(f"SELECT DISTINCT unit FROM (\n  {events}\n)", start, end)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[TrendRow]:
        """Makes one row for each series and period that has begun."""
        every, calendar = self.options.every, scope.calendar
        found = {
            (series, label, period): (value, n or 0.0, half)
            for series, label, period, value, n, half in rows
        }
        labels = list(dict.fromkeys(label for _, label, _ in found)) or [""]
        nothing = (0.0 if self.options.measure in ("count", "people", "sum") else None, 0.0, None)
        result: list[TrendRow] = []
        for number, selector in enumerate(self._series):
            for label in labels:
                for period in scope.periods(every):
                    if calendar.begin(every, period) >= scope.known_until:
                        break
                    value, n, half = found.get((number, label, period), nothing)
                    if self._over:
                        below, *_ = found.get((len(self._series), label, period), nothing)
                        value = value / below if value is not None and below else None
                        half = None
                    known = value is not None and half is not None
                    result.append(
                        TrendRow(
                            series=selector.text,
                            label=label,
                            begins=calendar.date_of(every, period),
                            value=value,
                            low=value - half if known else None,
                            high=value + half if known else None,
                            n=n,
                            complete=scope.is_complete(every, period),
                        )
                    )
        return Result(rows=result, headlines=self._headlines(result))

    def _headlines(self, rows: list[TrendRow]) -> list[Headline]:
        found = []
        for series, label in dict.fromkeys((row.series, row.label) for row in rows):
            whole = [
                row
                for row in rows
                if (row.series, row.label) == (series, label)
                and row.complete
                and row.value is not None
            ]
            if whole:
                name = f"{self._name(series)}, mean of a {self.options.every}"
                mean = sum(row.value or 0.0 for row in whole) / len(whole)
                n = sum(row.n for row in whole)
                found.append(Headline(name=name, value=mean, label=label, n=n))
        return found

    def _name(self, series: str) -> str:
        return "anything" if series == ANYTHING else series

    def table(self, scope: Scope, result: Result[TrendRow]) -> Table:
        """Shows a column for each series, the largest first; means on top."""
        totals: dict[tuple[str, str], float] = {}
        for row in result.rows:
            key = (row.series, row.label)
            totals[key] = totals.get(key, 0.0) + (row.value or 0.0)
        columns = sorted(totals, key=lambda key: -totals[key])[:_MOST_SERIES]
        cells: dict[date, dict[tuple[str, str], TrendRow]] = {}
        for row in result.rows:
            cells.setdefault(row.begins, {})[row.series, row.label] = row
        shown, caption = latest(sorted(cells), "periods")
        if len(totals) > len(columns):
            caption = f"{len(columns)} of {len(totals)} series; --csv has all"
        means = {(one.name, one.label): one.value for one in result.headlines}
        suffix = f", mean of a {self.options.every}"
        rows = [
            [
                Cell("mean", bold=True),
                *(
                    Cell(_number(means.get((self._name(series) + suffix, label))), bold=True)
                    for series, label in columns
                ),
            ],
            *(
                [Cell(f"{begins}"), *(_cell(cells[begins].get(key)) for key in columns)]
                for begins in shown
            ),
        ]
        one_event = len(self._series) == 1
        titles = [
            label if scope.by and one_event else " ".join(filter(None, (label, self._name(series))))
            for series, label in columns
        ]
        first = Column(f"{self.options.every} of", left=True)
        return Table(columns=[first, *map(Column, titles)], rows=rows, caption=caption)

    def chart(self, scope: Scope, result: Result[TrendRow]) -> dict[str, Any]:
        """Draws a line for each series."""
        rows = [
            {**row, "line": " ".join(filter(None, (row["label"], self._name(row["series"]))))}
            for row in rows_of(result.rows)
        ]
        options = self.options
        name = f"{options.measure} of {options.of}" if options.of else options.measure
        if self._over:
            name += f" over {self._over.text}"
        x = axis("begins", f"{options.every} of ({scope.calendar.zone})", "temporal")
        y = axis("value", name, "quantitative")
        band = options.measure == "average" and not self._over
        return chart(
            f"{name} by {options.every}",
            f"{', '.join(options.event)}; dashed: the {options.every} is not over",
            joined(rows, "line"),
            {"layer": line(x, y, series="line", title=scope.by_words or "event", band=band)},
        )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:,.2f}"


def _cell(row: TrendRow | None) -> Cell:
    return Cell() if row is None else Cell(_number(row.value), incomplete=not row.complete)


SPEC = FigureSpec(type="trend", config=TrendOptions, build=Trend)
