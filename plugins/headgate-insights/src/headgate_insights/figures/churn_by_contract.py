"""Churn by contract: customers who ended, of those at the start of a period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Literal

from msgspec import Struct, structs

from headgate_insights.calendar import EPOCH, Every
from headgate_insights.cells import parse_cell
from headgate_insights.charts import axis, chart, joined, line, rows_of
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.figures.churn_options import ChurnOptions, ChurnRow
from headgate_insights.intervals import kish, share
from headgate_insights.lakes import Statement
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, latest

__all__ = ["ContractChurn"]


class _ContractCell(Struct, frozen=True, forbid_unknown_fields=True):
    begins: date
    state: Literal["left", "there"] = "left"


class ContractChurn(Figure[ChurnOptions]):
    """The share of customers at the start of a period who end within it."""

    title = "How many customers end their contract?"
    reading = (
        "The rate is of the customers at the start of each period, so growth neither hides nor "
        "causes churn. Few customers make a wide interval: compare periods only where intervals do "
        "not overlap."
    )
    default_from = "6m"

    def __init__(self, options: ChurnOptions) -> None:
        super().__init__(options)
        if not (options.begin and options.end):
            raise WrongQuestion("--definition contract needs --begin EVENT and --end EVENT")
        self._begin, self._end = Selector.parse(options.begin), Selector.parse(options.end)

    @property
    def selectors(self) -> Sequence[Selector]:
        """The beginning and the end of a contract."""
        return (self._begin, self._end)

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    def definition(self, scope: Scope) -> list[str]:
        """Says who is a customer, and which ones ended."""
        every = self.options.every
        return [
            (
                f"A customer is one whose latest {self._begin.words} was not followed by "
                f"{self._end.words}."
            ),
            (
                f"The churn of a {every} is those who ended in it, divided by the customers at its "
                "start. Who begins in it is in neither number."
            ),
            *([f"The {scope.by_words} is that of the event that began."] if scope.by else []),
        ]

    def statement(self, scope: Scope) -> Statement:
        """Counts customers at the start of each period by a running sum, and those who ended."""
        sql = f"""{self._contracts(scope)}, counted AS (
  SELECT label, period + 1 AS period, sum(w) AS customers, sum(w * w) AS squares, 0 AS gone
  FROM contracts WHERE begins GROUP BY ALL
  UNION ALL
  SELECT label, ended + 1, -sum(w), -sum(w * w), 0
  FROM contracts WHERE begins AND ended IS NOT NULL GROUP BY ALL
  UNION ALL
  SELECT label, ended, 0, 0, sum(w) FROM contracts WHERE begins AND ended > period GROUP BY ALL
), summed AS (
  SELECT label, period, sum(customers) AS customers, sum(squares) AS squares, sum(gone) AS gone
  FROM counted GROUP BY ALL
)
SELECT label, period, sum(customers) OVER running AS customers,
  sum(squares) OVER running AS squares, gone
FROM summed WINDOW running AS (PARTITION BY label ORDER BY period) ORDER BY ALL"""
        return scope.statement(sql, scope.beginning, scope.end)

    def _contracts(self, scope: Scope) -> str:
        begin, end = self._begin.sql, self._end.sql
        both = Selector(f"{self._begin.text} or {self._end.text}", f"(({begin}) OR ({end}))")
        period = scope.period(self.options.every, scope.beginning, scope.end)
        events = scope.events(both, scope.beginning, scope.end, {"begins": f"({begin})"})
        return f"""WITH chosen AS (
  {events}
), changes AS (
  -- A second beginning during a contract changes nothing, nor does an end without one.
  SELECT *, {period} AS period,
    lag(begins, 1, false) OVER (PARTITION BY unit ORDER BY ts, begins) AS was
  FROM chosen
), contracts AS (
  SELECT unit, {scope.label_column} AS label, {scope.event_weight} AS w, period, begins,
    lead(period) OVER (PARTITION BY unit ORDER BY ts, begins) AS ended
  FROM changes WHERE begins != was
)"""

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the customers at the start of a period who left in it, or who did not."""
        every = self.options.every
        first = scope.calendar.date_of(every, scope.periods(every)[0])
        wanted = parse_cell(cell, _ContractCell, f"begins={first},state=left")
        number = scope.calendar.period_of(every, (wanted.begins - EPOCH).days)
        left = f"coalesce(ended = {number}, false)"
        sql = (
            f"{self._contracts(scope)}\nSELECT DISTINCT unit FROM contracts WHERE begins AND "
            f"period < {number} AND coalesce(ended >= {number}, true) AND "
            + (left if wanted.state == "left" else f"NOT {left}")
        )
        return scope.statement(sql, scope.beginning, scope.end)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[ChurnRow]:
        """Makes one row for each period that has begun."""
        labels = dict.fromkeys(row[0] for row in rows)
        found = [row for label in labels for row in self._periods(scope, label, rows)]
        notes = [scope.begins_inside] if scope.begins_inside else []
        return Result(rows=found, headlines=_rates(found, self.options.every), notes=notes)

    def _periods(self, scope: Scope, label: str, rows: list[tuple[Any, ...]]) -> Iterator[ChurnRow]:
        every, calendar = self.options.every, scope.calendar
        found = {row[1]: row[2:] for row in rows if row[0] == label}
        for period in scope.periods(every):
            if calendar.begin(every, period) >= scope.known_until:
                break
            # A period without changes has the customers of the one before.
            change = max((one for one in found if one <= period), default=None)
            customers, squares, gone = (0.0, 0.0, 0.0) if change is None else found[change]
            left = gone if change == period else 0.0
            yield ChurnRow(
                label=label,
                age=None,
                begins=calendar.date_of(every, period),
                at_risk=customers,
                left=left,
                complete=scope.is_complete(every, period),
                **structs.asdict(share(left, customers, kish(customers, squares))),
            )

    def table(self, scope: Scope, result: Result[ChurnRow]) -> Table:
        """Shows the latest periods."""
        shown, caption = latest(result.rows, "periods")
        label = [Column(scope.by_words, left=True)] if scope.by else []
        titles = ("customers", "left", "% left", "95 % interval")
        return Table(
            columns=[*label, Column(f"{self.options.every} of", left=True), *map(Column, titles)],
            rows=[
                [
                    *([Cell(row.label)] if scope.by else []),
                    Cell(f"{row.begins}"),
                    Cell(f"{row.at_risk:,.0f}"),
                    Cell(f"{row.left:,.0f}", incomplete=not row.complete),
                    Cell.of_share(row),
                    Cell("" if row.low is None else f"{row.low:.1%} - {row.high:.1%}"),
                ]
                for row in shown
            ],
            caption=caption,
        )

    def chart(self, scope: Scope, result: Result[ChurnRow]) -> dict[str, Any]:
        """Draws the rate of each period."""
        every = self.options.every
        x = axis("begins", f"{every} of ({scope.calendar.zone})", "temporal")
        y = axis("share", "customers who ended", "quantitative", axis={"format": "%"})
        series = "label" if scope.by else ""
        return chart(
            f"Churn by {every}",
            f"of the customers at its start, with the 95 % interval; dashed: {every} not over",
            joined(rows_of(result.rows), "label"),
            {"layer": line(x, y, series=series, title=scope.by_words, band=True)},
        )


def _rates(rows: list[ChurnRow], every: Every) -> list[Headline]:
    found = []
    for label in dict.fromkeys(row.label for row in rows):
        whole = [row for row in rows if row.label == label and row.complete and row.n]
        if whole:
            at_risk, n = sum(row.at_risk for row in whole), sum(row.n for row in whole)
            rate = share(sum(row.left for row in whole), at_risk, n)
            found.append(Headline.of_share(f"churn of a {every}", rate, label))
    return found
