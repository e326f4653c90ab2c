"""Churn: who left, by one of three definitions that say what leaving means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, structs

from gateway import FigureSpec
from headgate_insights.cells import parse_cell
from headgate_insights.charts import axis, chart, joined, line, rows_of
from headgate_insights.errors import WrongQuestion
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.figures.churn_by_contract import ContractChurn
from headgate_insights.figures.churn_by_return import LapsedChurn
from headgate_insights.figures.churn_options import ChurnOptions, ChurnRow
from headgate_insights.intervals import kish
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.one_event import OneEvent
from headgate_insights.scope import Scope
from headgate_insights.survival import Survival, kaplan_meier, median_age, survival_at
from headgate_insights.tables import Cell, Column, Table

__all__ = ["SPEC", "SilentChurn"]

_USUAL_GAP = 0.95
_SHOWN_AGES = (0, 7, 14, 30, 60, 90, 180, 365)


class _SilentCell(Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["left", "there"]


class SilentChurn(OneEvent[ChurnOptions]):
    """How long people stay, where leaving is a long silence."""

    title = "How long do people stay?"
    interval = "Greenwood on the scale log(-log S)"
    reading = (
        "Compare medians, not means: the longest stays are still going on. A person younger than "
        "the silence that counts as gone cannot have left yet, and says nothing about leaving. "
        "Where the interval is wide, wait."
    )
    default_from = "6m"

    def definition(self, scope: Scope) -> list[str]:
        """Says what leaving means, and how those are counted who have not left."""
        days = self.options.gap_days
        silence = f"at least {days} days" if days else "longer than is usual (see the note)"
        return [
            f"The {scope.people} whose first {self._event.words} is within the range.",
            (
                f"They left at their last event if they were silent since, {silence}; otherwise "
                "they are still there, and count up to the age of their last event (censored)."
            ),
            (
                "The share is 1 minus Kaplan-Meier's survival, with the interval of Greenwood's "
                "variance on the scale log(-log S)."
            ),
            *([f"The {scope.by_words} is that of the first event."] if scope.by else []),
        ]

    def statement(self, scope: Scope) -> Statement:
        """Counts people by the age of their last event, and by whether they left at it."""
        sql = f"""{self._with(scope)}
SELECT label, age, sum(w) FILTER (has_left) AS gone, sum(w) FILTER (NOT has_left) AS there,
  sum(w * w) AS squares, any_value(gap) AS gap
FROM people GROUP BY label, age ORDER BY ALL"""
        return scope.statement(sql, scope.beginning, self._reads_to(scope))

    def _reads_to(self, scope: Scope) -> datetime:
        return max(scope.known_until, scope.end)

    def _with(self, scope: Scope) -> str:
        last = self._reads_to(scope)
        today = scope.calendar.day_of(scope.known_until)
        day = scope.period("day", scope.beginning, last)
        gap = f"SELECT {self.options.gap_days} AS gap"
        if not self.options.gap_days:
            usual = f"CAST(quantile_disc(following - day, {_USUAL_GAP}) AS INTEGER)"
            gap = f"SELECT coalesce({usual}, 0) + 1 AS gap FROM pauses WHERE following IS NOT NULL"
        return f"""WITH chosen AS (
  {scope.events(self._event, scope.beginning, last)}
), days AS (
  SELECT unit, {day} AS day, min(ts) AS began, {scope.entry_weight} AS w,
    {scope.entry_label} AS label
  FROM chosen GROUP BY unit, {day}
), pauses AS (
  SELECT day, lead(day) OVER (PARTITION BY unit ORDER BY day) AS following FROM days
), usual AS (
  {gap}
), people AS (
  SELECT unit, max(day) - min(day) AS age, max(day) + gap <= {today} AS has_left,
    arg_min(w, began) AS w, arg_min(label, began) AS label, gap
  FROM days, usual GROUP BY unit, gap
  HAVING min(began) >= {literal(scope.start)} AND min(began) < {literal(scope.end)}
)"""

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people who left, or who are still there."""
        wanted = parse_cell(cell, _SilentCell, "state=left")
        test = "has_left" if wanted.state == "left" else "NOT has_left"
        sql = f"{self._with(scope)}\nSELECT unit FROM people WHERE {test}"
        return scope.statement(sql, scope.beginning, self._reads_to(scope))

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[ChurnRow]:
        """Makes the curve of each value of the breakdown."""
        result: list[ChurnRow] = []
        headlines: list[Headline] = []
        for label in dict.fromkeys(row[0] for row in rows):
            own = [row[1:] for row in rows if row[0] == label]
            counts = [(age, gone or 0.0, there or 0.0) for age, gone, there, *_ in own]
            people = sum(gone + there for _, gone, there in counts)
            n = kish(people, sum(squares for *_, squares, _ in own))
            curve = kaplan_meier(counts, n / people)
            result += (_row(label, point, n) for point in curve)
            headlines += _headlines(label, curve, n)
        notes = [scope.begins_inside] if scope.begins_inside else []
        if rows and not self.options.gap_days:
            gap = rows[0][-1]
            notes.append(
                f"Gone means {gap} days of silence or more: {_USUAL_GAP:.0%} of the pauses that "
                f"people came back from were shorter. --gap-days sets it."
            )
        return Result(rows=result, headlines=headlines, notes=notes)

    def table(self, scope: Scope, result: Result[ChurnRow]) -> Table:
        """Shows the ages that people think in."""
        label = [Column(scope.by_words, left=True)] if scope.by else []
        titles = ("age in days", "observed", "% left", "95 % interval")
        return Table(
            columns=[*label, *map(Column, titles)],
            rows=[
                [
                    *([Cell(row.label)] if scope.by else []),
                    Cell(f"{row.age}"),
                    Cell(f"{row.at_risk:,.0f}"),
                    Cell.of_share(row),
                    Cell("" if row.low is None else f"{row.low:.1%} - {row.high:.1%}"),
                ]
                for row in _usual_ages(result.rows)
            ],
            caption=f"% of {scope.people} who left by this age; observed: how many were so old",
        )

    def chart(self, scope: Scope, result: Result[ChurnRow]) -> dict[str, Any]:
        """Draws the share of people who are still there, as a staircase."""
        rows = []
        for row in rows_of(result.rows):
            low, high = row["low"], row["high"]
            stay = {"share": 1 - row["share"]}
            stay["low"] = stay["share"] if high is None else 1 - high
            stay["high"] = stay["share"] if low is None else 1 - low
            rows.append({**row, **stay})
        x = axis("age", "days since the first event", "quantitative")
        y = axis("share", f"{scope.people} who are still there", "quantitative")
        y |= {"axis": {"format": "%"}, "scale": {"domain": [0, 1]}}
        layers = line(x, y, series="label" if scope.by else "", title=scope.by_words, band=True)
        for layer in layers:
            layer["mark"] |= {"interpolate": "step-after", "point": False}
        return chart(
            "How long people stay",
            "Kaplan-Meier with its 95 % interval",
            joined(rows, "label"),
            {"layer": layers},
        )


def _row(label: str, point: Survival, n: float) -> ChurnRow:
    return ChurnRow(
        label=label,
        age=point.age,
        begins=None,
        at_risk=point.at_risk,
        left=point.left,
        complete=True,
        share=1 - point.survival,
        low=None if point.high is None else 1 - point.high,
        high=None if point.low is None else 1 - point.low,
        n=n,
    )


def _usual_ages(rows: Sequence[ChurnRow]) -> Iterator[ChurnRow]:
    """Yields what is known at the usual ages, up to the greatest that was observed."""
    for label in dict.fromkeys(row.label for row in rows):
        own = {row.age or 0: row for row in rows if row.label == label}
        for age in _SHOWN_AGES:
            if age <= max(own):
                before = own[max(one for one in own if one <= age)] if min(own) <= age else None
                at_risk = own[min(one for one in own if one >= age)].at_risk
                if before is not None:
                    yield structs.replace(before, age=age, at_risk=at_risk)


def _headlines(label: str, curve: list[Survival], n: float) -> Iterator[Headline]:
    median = median_age(curve)
    value = None if median is None else float(median)
    yield Headline(name="median stay", value=value, unit="days", label=label, n=n)
    for age in (30, 90):
        if (point := survival_at(curve, age)) is not None:
            yield Headline(
                name=f"stay longer than {age} days",
                value=point.survival,
                unit="%",
                label=label,
                low=point.low,
                high=point.high,
                n=n,
            )


def _build(options: ChurnOptions) -> Figure[ChurnOptions]:
    if options.definition != "contract" and (options.begin or options.end):
        raise WrongQuestion("--begin and --end are of --definition contract")
    if options.definition != "silent" and options.gap_days:
        raise WrongQuestion("--gap-days is of --definition silent")
    match options.definition:
        case "silent":
            return SilentChurn(options)
        case "lapsed":
            return LapsedChurn(options)
        case "contract":
            return ContractChurn(options)


SPEC = FigureSpec(type="churn", config=ChurnOptions, build=_build)
