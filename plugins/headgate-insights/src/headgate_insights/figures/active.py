"""Active people: by day, in the last 7 and 30 days, and how often the active ones come."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Literal

from msgspec import Struct, structs

from gateway import FigureSpec
from headgate_insights.calendar import EPOCH
from headgate_insights.cells import parse_cell
from headgate_insights.charts import axis, chart, joined, line, rows_of
from headgate_insights.figure import Headline, Result
from headgate_insights.intervals import Share, kish, share
from headgate_insights.lakes import Statement
from headgate_insights.one_event import EventOptions, OneEvent
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, latest

__all__ = ["SPEC", "Active", "ActiveOptions", "ActiveRow"]

_WEEK, _MONTH = 7, 30
_BEFORE = _MONTH - 1
_ALL_OF_MONTH = (1 << _MONTH) - 1  # the bits of a window; the highest is the day that it ends with

_BLOCK = 97
"""Days whose windows fit into the set of bits of a person, a HUGEINT of 126."""

_CARRIED = f"""SELECT label, block, arg_min(w, since) AS w, bit_or(days) AS days
  FROM (
    SELECT *, block AS since FROM visited
    UNION ALL
    SELECT unit, label, block + 1, w, days >> {_BLOCK}, block FROM visited
    WHERE days >> {_BLOCK} > 0
  ) GROUP BY unit, label, block"""
"""The sets of bits of all blocks, each with the days before its block."""


class ActiveOptions(EventOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Active people by day, week and month, and how much of the month's come on a day."""


class ActiveRow(Share, frozen=True, kw_only=True):
    """A day. The share is stickiness: people of the day in those of the last 30 days.

    Attributes:
        label: the value of the breakdown; empty without one.
        daily, weekly, monthly: people active on the day, and in the 7 and 30 days that end with it.
        complete: whether the day is over.
    """

    label: str
    day: date
    daily: float
    weekly: float
    monthly: float
    complete: bool


class _ActiveCell(Struct, frozen=True, forbid_unknown_fields=True):
    day: date
    window: Literal[1, 7, 30] = 1


class Active(OneEvent[ActiveOptions]):
    """Daily, weekly and monthly active people."""

    title = "How many people are active?"
    reading = (
        "Growth shows in the monthly number, habit in stickiness: 20 % means that a person of the "
        "month comes on 6 of 30 days. A daily number that rises with a monthly one that does not "
        "means that the same people come more often."
    )
    default_from = "30d"

    def definition(self, scope: Scope) -> list[str]:
        """Says what active means, and over which days."""
        return [
            f"Active are the {scope.people} who did {self._event.words} on the day.",
            (
                "Weekly and monthly are those of the 7 and 30 days that end with the day, not of a "
                "calendar week or month."
            ),
            "Stickiness is daily divided by monthly; the average is the mean of complete days.",
            *([f"Within each {scope.by_words} only its own events count."] if scope.by else []),
        ]

    def statement(self, scope: Scope) -> Statement:
        """Counts people by the days of each as a set of bits, shifted to each day of the range.

        Events are grouped by person only. Visits sorted by person and day take twice the time.
        """
        first = self._reads_from(scope)
        day = scope.period("day", first, scope.end)
        number = f"({day} - {scope.calendar.day_of(first)})"
        days = scope.periods("day")
        # A set has the days of a block and the 29 before it, so the last 29 are in two sets.
        block, sets = "0", "FROM visited"
        if len(days) > _BLOCK:
            block, sets = f"(greatest({number} - {_BEFORE}, 0) // {_BLOCK})", _CARRIED
        sql = f"""WITH chosen AS (
  {scope.events(self._event, first, scope.end)}
), visited AS (
  SELECT unit, {scope.label_column} AS label, {block} AS block, {scope.entry_weight} AS w,
    bit_or(1::HUGEINT << CAST({number} - {_BLOCK} * {block} AS HUGEINT)) AS days
  FROM chosen GROUP BY ALL
), people AS (
  {sets}
), windows AS (
  SELECT label, w, {_BLOCK} * block + ends.day AS day,
    CAST((days >> ends.day::HUGEINT) & {_ALL_OF_MONTH} AS INTEGER) AS days
  FROM people, range({min(_BLOCK, len(days))}) AS ends(day)
)
SELECT label, day + {days[0]} AS day,
  coalesce(sum(w) FILTER (days >= {1 << _BEFORE}), 0) AS daily,
  coalesce(sum(w) FILTER (days >= {1 << _MONTH - _WEEK}), 0) AS weekly,
  sum(w) AS monthly, sum(w * w) AS squares
FROM windows WHERE days > 0 GROUP BY ALL ORDER BY ALL"""
        return scope.statement(sql, first, scope.end)

    def _reads_from(self, scope: Scope) -> datetime:
        first = scope.calendar.day_of(scope.start)
        return scope.calendar.begin("day", first - _BEFORE)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[ActiveRow]:
        """Makes one row for each day of the range, also for days without events."""
        found = {(label, day): numbers for label, day, *numbers in rows}
        result: list[ActiveRow] = []
        for label in dict.fromkeys(label for label, _ in found):
            for day in scope.periods("day"):
                if scope.calendar.begin("day", day) >= scope.known_until:
                    break
                daily, weekly, monthly, squares = found.get((label, day), (0.0, 0.0, 0.0, 0.0))
                result.append(
                    ActiveRow(
                        label=label,
                        day=scope.calendar.date_of("day", day),
                        daily=daily,
                        weekly=weekly,
                        monthly=monthly,
                        complete=scope.is_complete("day", day),
                        **structs.asdict(share(daily, monthly, kish(monthly, squares))),
                    )
                )
        notes = []
        if scope.beginning > self._reads_from(scope):
            began = scope.calendar.date_of("day", scope.calendar.day_of(scope.beginning))
            full = began + timedelta(days=_MONTH - 1)
            notes.append(
                f"The lake begins on {began}, so monthly numbers before {full} lack people, and "
                "stickiness before that day is too high."
            )
        return Result(rows=result, headlines=_headlines(result), notes=notes)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people of a day, or of the window that ends with it."""
        example = f"day={scope.calendar.date_of('day', scope.periods('day')[0])},window=7"
        wanted = parse_cell(cell, _ActiveCell, example)
        day = (wanted.day - EPOCH).days
        start = scope.calendar.begin("day", day - wanted.window + 1)
        end = scope.calendar.begin("day", day + 1)
        sql = f"SELECT DISTINCT unit FROM (\n  {scope.events(self._event, start, end)}\n)"
        return scope.statement(sql, start, end)

    def table(self, scope: Scope, result: Result[ActiveRow]) -> Table:
        """Shows the averages, then the latest days; with a breakdown, the averages alone."""
        rows: list[list[Cell]] = []
        for label in dict.fromkeys(row.label for row in result.rows):
            name = label or "average"
            means = {one.name: one for one in result.headlines if one.label == label}
            cells = [
                f"{means[key].value:,.0f}" if key in means else ""
                for key in ("daily", "weekly", "monthly")
            ]
            sticky = means.get("stickiness")
            rows.append(
                [
                    Cell(name, bold=True),
                    *map(Cell, cells),
                    Cell(f"{sticky.value:.1%}" if sticky and sticky.value is not None else ""),
                ]
            )
        shown, caption = ([], "") if scope.by else latest(result.rows, "days")
        for row in shown:
            open_ = not row.complete
            rows.append(
                [
                    Cell(f"{row.day}"),
                    Cell(f"{row.daily:,.0f}", incomplete=open_),
                    Cell(f"{row.weekly:,.0f}", incomplete=open_),
                    Cell(f"{row.monthly:,.0f}", incomplete=open_),
                    Cell("" if row.share is None else f"{row.share:.1%}", incomplete=open_),
                ]
            )
        titles = ("daily", "weekly", "monthly", "stickiness")
        first = Column(scope.by_words if scope.by else "day", left=True)
        return Table(columns=[first, *map(Column, titles)], rows=rows, caption=caption)

    def chart(self, scope: Scope, result: Result[ActiveRow]) -> dict[str, Any]:
        """Draws the three numbers; with a breakdown, the monthly one of each value."""
        windows = ("monthly",) if scope.by else ("daily", "weekly", "monthly")
        rows = [
            {"label": row["label"] or window, "day": row["day"], "complete": row["complete"],
             "value": row[window]}
            for window in windows
            for row in rows_of(result.rows)
        ]  # fmt: skip
        x = axis("day", f"day ({scope.calendar.zone})", "temporal")
        y = axis("value", f"active {scope.people}", "quantitative")
        return chart(
            f"Active {scope.people}" + (f" of 30 days by {scope.by_words}" if scope.by else ""),
            "daily, and in the 7 and 30 days that end with the day; dashed: not over",
            joined(rows, "label"),
            {"layer": line(x, y, series="label", title=scope.by_words or "window")},
        )


def _headlines(rows: list[ActiveRow]) -> list[Headline]:
    found: list[Headline] = []
    for label in dict.fromkeys(row.label for row in rows):
        days = [row for row in rows if row.label == label and row.complete]
        if not days:
            continue
        for name in ("daily", "weekly", "monthly"):
            mean = sum(getattr(row, name) for row in days) / len(days)
            found.append(Headline(name=name, value=mean, label=label))
        shares = [row.share for row in days if row.share is not None]
        if shares:
            sticky = sum(shares) / len(shares)
            found.append(Headline(name="stickiness", value=sticky, unit="%", label=label))
    return found


SPEC = FigureSpec(type="active", config=ActiveOptions, build=Active)
