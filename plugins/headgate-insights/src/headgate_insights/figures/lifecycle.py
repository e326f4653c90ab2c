"""Lifecycle: who of a period is new, came again, came back after a pause, or stayed away."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway import FigureSpec
from headgate_insights.calendar import EPOCH, Every
from headgate_insights.cells import parse_cell
from headgate_insights.charts import COLOURS, axis, chart
from headgate_insights.figure import Headline, Result
from headgate_insights.lakes import Statement
from headgate_insights.one_event import EventOptions, OneEvent
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, latest

__all__ = ["SPEC", "Lifecycle", "LifecycleOptions", "LifecycleRow"]

_KINDS = ("new", "returning", "resurrected", "dormant")
_NEW = "before IS NULL"
_RETURNING = "before = period - 1"
_RESURRECTED = "before < period - 1"
_DORMANT = "coalesce(following > period + 1, true)"  # told of the period after


class LifecycleOptions(EventOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who of a period is new, came again, came back after a pause, or stayed away."""

    every: Annotated[Every, Meta(description="Length of a period.")] = "week"


class LifecycleRow(Struct, frozen=True, kw_only=True):
    """A period. ``active = new + returning + resurrected``.

    Attributes:
        label: the value of the breakdown; empty without one.
        new: first active ever.
        returning: active in the period before too.
        resurrected: active earlier, but not in the period before.
        dormant: active in the period before, and not in this one.
        quick_ratio: new and resurrected people for each that went dormant.
        complete: whether the period is over.
    """

    label: str
    begins: date
    active: float
    new: float
    returning: float
    resurrected: float
    dormant: float
    quick_ratio: float | None
    complete: bool


class _LifecycleCell(Struct, frozen=True, forbid_unknown_fields=True):
    begins: date
    kind: Literal["new", "returning", "resurrected", "dormant"]


class Lifecycle(OneEvent[LifecycleOptions]):
    """New, returning, resurrected and dormant people."""

    title = "Where do active people come from, and how many stay away?"
    interval = ""
    reading = (
        "A product grows while more people are new or resurrected than go dormant, so while the "
        "quick ratio is above 1. Many new people over a growing dormant bar is a leaking bucket. "
        "Dormant is not lost: whoever comes back is resurrected."
    )
    default_from = "12w"

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    def definition(self, scope: Scope) -> list[str]:
        """Says what each of the four words means."""
        every = self.options.every
        return [
            f"Active are the {scope.people} who did {self._event.words} in the {every}.",
            f"New: their first {every} ever; by their first event, not by the day of an account.",
            (
                f"Returning: active in the {every} before too. Resurrected: active earlier, not in "
                f"the {every} before. Dormant: active in the {every} before, and not in this one."
            ),
            "The quick ratio is new and resurrected, divided by dormant.",
            *([f"People are followed within each {scope.by_words}."] if scope.by else []),
        ]

    def _with(self, scope: Scope) -> str:
        period = scope.period(self.options.every, scope.beginning, scope.end)
        return f"""WITH chosen AS (
  {scope.events(self._event, scope.beginning, scope.end)}
), periods AS (
  SELECT unit, {scope.label_column} AS label, {period} AS period, {scope.entry_weight} AS w
  FROM chosen GROUP BY ALL
), visits AS (
  SELECT unit, label, period, w, lag(period) OVER own AS before, lead(period) OVER own AS following
  FROM periods WINDOW own AS (PARTITION BY unit, label ORDER BY period)
)"""

    def statement(self, scope: Scope) -> Statement:
        """Looks from each period of a person to the one before and the one after."""
        sql = f"""{self._with(scope)}, counted AS (
  SELECT label, period, sum(w) FILTER ({_NEW}) AS fresh, sum(w) FILTER ({_RETURNING}) AS again,
    sum(w) FILTER ({_RESURRECTED}) AS resurrected, 0 AS dormant
  FROM visits GROUP BY label, period
  UNION ALL
  SELECT label, period + 1, 0, 0, 0, sum(w) FROM visits WHERE {_DORMANT} GROUP BY label, period
)
SELECT label, period, sum(fresh) AS fresh, sum(again) AS again, sum(resurrected) AS resurrected,
  sum(dormant) AS dormant
FROM counted GROUP BY ALL ORDER BY ALL"""
        return scope.statement(sql, scope.beginning, scope.end)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people of one kind in a period."""
        every = self.options.every
        first = scope.calendar.date_of(every, scope.periods(every)[0])
        wanted = parse_cell(cell, _LifecycleCell, f"begins={first},kind=dormant")
        period = scope.calendar.period_of(every, (wanted.begins - EPOCH).days)
        test = {
            "new": f"period = {period} AND {_NEW}",
            "returning": f"period = {period} AND {_RETURNING}",
            "resurrected": f"period = {period} AND {_RESURRECTED}",
            "dormant": f"period = {period - 1} AND {_DORMANT}",
        }[wanted.kind]
        sql = f"{self._with(scope)}\nSELECT DISTINCT unit FROM visits WHERE {test}"
        return scope.statement(sql, scope.beginning, scope.end)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[LifecycleRow]:
        """Makes one row for each period that has begun."""
        every, calendar = self.options.every, scope.calendar
        found = {(label, period): numbers for label, period, *numbers in rows}
        result: list[LifecycleRow] = []
        for label in dict.fromkeys(label for label, _ in found):
            for period in scope.periods(every):
                if calendar.begin(every, period) >= scope.known_until:
                    break
                numbers = found.get((label, period), [0.0] * 4)
                new, again, resurrected, dormant = (number or 0.0 for number in numbers)
                result.append(
                    LifecycleRow(
                        label=label,
                        begins=calendar.date_of(every, period),
                        active=new + again + resurrected,
                        new=new,
                        returning=again,
                        resurrected=resurrected,
                        dormant=dormant,
                        quick_ratio=(new + resurrected) / dormant if dormant else None,
                        complete=scope.is_complete(every, period),
                    )
                )
        notes = [scope.begins_inside] if scope.begins_inside else []
        return Result(rows=result, headlines=_headlines(result, every), notes=notes)

    def table(self, scope: Scope, result: Result[LifecycleRow]) -> Table:
        """Shows the latest periods; with a breakdown, the average of each value."""
        titles = ("active", *_KINDS, "quick ratio")
        rows: list[list[Cell]] = []
        for label in dict.fromkeys(one.label for one in result.headlines):
            means = {one.name: one.value for one in result.headlines if one.label == label}
            ratio = means.get("quick ratio")
            numbers = [f"{means[f'{kind} a {self.options.every}']:,.0f}" for kind in titles[:-1]]
            shown = [*numbers, "" if ratio is None else f"{ratio:.2f}"]
            rows.append([Cell(label or "average", bold=True), *map(Cell, shown)])
        shown_rows, caption = ([], "") if scope.by else latest(result.rows, "periods")
        for row in shown_rows:
            values = [f"{getattr(row, kind):,.0f}" for kind in titles[:-1]]
            values.append("" if row.quick_ratio is None else f"{row.quick_ratio:.2f}")
            cells = [Cell(value, incomplete=not row.complete) for value in values]
            rows.append([Cell(f"{row.begins}"), *cells])
        first = Column(scope.by_words if scope.by else f"{self.options.every} of", left=True)
        return Table(columns=[first, *map(Column, titles)], rows=rows, caption=caption)

    def chart(self, scope: Scope, result: Result[LifecycleRow]) -> dict[str, Any]:
        """Draws stacked bars, with dormant people below zero."""
        rows = [
            {
                "begins": f"{row.begins}",
                "kind": kind,
                "label": row.label,
                "people": getattr(row, kind) * (-1 if kind == "dormant" else 1),
                "complete": row.complete,
            }
            for row in result.rows
            for kind in _KINDS
        ]
        bar = {
            "mark": {"type": "bar"},
            "encoding": {
                "x": axis("begins", f"{self.options.every} of", "ordinal"),
                "y": axis("people", f"{scope.people} (dormant below zero)", "quantitative"),
                "color": {
                    "field": "kind",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": list(_KINDS), "range": [*COLOURS[:3], COLOURS[7]]},
                },
                "opacity": {
                    "field": "complete",
                    "type": "nominal",
                    "scale": {"domain": [True, False], "range": [1, 0.35]},
                    "legend": None,
                },
            },
        }
        if scope.by:
            bar = {
                "facet": {"field": "label", "type": "nominal", "title": scope.by_words},
                "columns": 2,
                "spec": {"width": 300, "height": 200, **bar},
            }
        every = self.options.every
        return chart(f"Lifecycle by {every}", f"pale: the {every} is not over", rows, bar)


def _headlines(rows: list[LifecycleRow], every: Every) -> list[Headline]:
    found: list[Headline] = []
    for label in dict.fromkeys(row.label for row in rows):
        whole = [row for row in rows if row.label == label and row.complete]
        if not whole:
            continue
        for kind in ("active", *_KINDS):
            mean = sum(getattr(row, kind) for row in whole) / len(whole)
            found.append(Headline(name=f"{kind} a {every}", value=mean, label=label))
        dormant = sum(row.dormant for row in whole)
        gained = sum(row.new + row.resurrected for row in whole)
        ratio = gained / dormant if dormant else None
        found.append(Headline(name="quick ratio", value=ratio, label=label))
    return found


SPEC = FigureSpec(type="lifecycle", config=LifecycleOptions, build=Lifecycle)
