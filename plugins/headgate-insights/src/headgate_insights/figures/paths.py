"""Paths: what people do next, step by step, within a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from gateway import FigureSpec
from headgate_insights.charts import COLOURS, axis, chart, rows_of
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import ANYTHING, Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.figures.sessions import sessions_sql
from headgate_insights.intervals import Share, kish, share
from headgate_insights.lakes import Statement
from headgate_insights.literals import literals
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table

__all__ = ["SPEC", "PathRow", "Paths", "PathsOptions"]

_ARROW = " > "
_END = "(end)"


class PathsOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What people do next: the most frequent paths within a session."""

    start: Annotated[
        str,
        Meta(description="The event that paths begin with; empty begins with a session's first."),
    ] = ""
    event: Annotated[str, Meta(description="The events that are steps.")] = ANYTHING
    steps: Annotated[int, Meta(ge=2, le=10, description="How many steps of a path are told.")] = 4
    gap_minutes: Annotated[
        int, Meta(ge=1, le=1440, description="Minutes without an event that end a session.")
    ] = 30
    show: Annotated[int, Meta(ge=1, le=1000, description="How many paths are shown.")] = 15
    repeats: Annotated[
        bool, Meta(description="Count the same step several times in a row as several steps.")
    ] = False


class PathRow(Share, frozen=True, kw_only=True):
    """A path. The share is that of all sessions.

    Attributes:
        label: the value of the breakdown; empty without one.
        path: the steps, with ``>`` between them; ``(end)`` where the session ended.
        sessions: sessions that took it.
        people: people who took it.
    """

    label: str
    path: str
    sessions: float
    people: float


class Paths(Figure[PathsOptions]):
    """The most frequent paths."""

    title = "What do people do next?"
    interval = "Wilson, of sessions as if each were of another person"
    of_people = False
    reading = (
        "Look where many paths end, and for detours that a shorter way would save. A path is what "
        "people did, not what they wanted: a funnel tells how many arrive."
    )
    default_from = "30d"

    def __init__(self, options: PathsOptions) -> None:
        super().__init__(options)
        self._step = Selector.parse(options.event)
        self._start = Selector.parse(options.start) if options.start else None

    @property
    def selectors(self) -> Sequence[Selector]:
        """The events that are steps, and the one that paths begin with."""
        return (*([self._start] if self._start else []), self._step)

    def definition(self, scope: Scope) -> list[str]:
        """Says where a path begins and what is a step."""
        options = self.options
        first = "the first step of a session"
        if self._start:
            first = f"the first {self._start.words} of a session; sessions without it have no path"
        return [
            f"A path is up to {options.steps} steps of one session, from {first}.",
            (
                f"A step is {self._step.words}, called by its name. A session ends after "
                f"{options.gap_minutes} minutes without a step."
            ),
            "The same step several times in a row counts "
            + ("each time." if options.repeats else "once."),
            f"A session that ended before the {options.steps}th step shows {_END}.",
            *([f"The {scope.by_words} is that of the first step."] if scope.by else []),
        ]

    def _with(self, scope: Scope) -> str:
        options = self.options
        start = self._start.sql if self._start else "true"
        both = Selector(
            options.event,
            f"(({self._step.sql}) OR ({start}))" if self._start else self._step.sql,
        )
        names = "CASE WHEN type = 'track' THEN event ELSE type || ':' || coalesce(name, '') END"
        columns = {"step": names, "starts": f"({start})"}
        chosen = scope.events(both, scope.start, scope.end, columns)
        once = "true" if options.repeats else "step IS DISTINCT FROM before"
        return f"""{sessions_sql(scope, chosen, options.gap_minutes)}, marked AS (
  SELECT *, min(ts) FILTER (starts) OVER (PARTITION BY unit, number) AS begins,
    lag(step) OVER (PARTITION BY unit, number ORDER BY ts, step) AS before
  FROM numbered
), paths AS (
  SELECT unit, number, list(step ORDER BY ts, step) AS steps, min(ts) AS ts,
    {scope.entry_weight} AS w, {scope.entry_label} AS label
  FROM marked WHERE ts >= begins AND ({once} OR ts = begins) GROUP BY unit, number
), cut AS (
  SELECT unit, ts, w, label, array_to_string(
    steps[1:{options.steps}]
    || CASE WHEN len(steps) < {options.steps} THEN ['{_END}'] ELSE [] END, '{_ARROW}') AS path
  FROM paths
)"""

    def statement(self, scope: Scope) -> Statement:
        """Lists the steps of each session, and counts equal lists."""
        sql = f"""{self._with(scope)}, visitors AS (
  SELECT label, path, unit, count(*) AS sessions, arg_min(w, ts) AS w FROM cut GROUP BY ALL
), counted AS (
  SELECT label, path, sum(w * sessions) AS sessions, sum(w) AS people,
    sum(w * w * sessions) AS squares
  FROM visitors GROUP BY label, path
), ranked AS (
  SELECT *, sum(sessions) OVER everything AS total, sum(squares) OVER everything AS all_squares,
    row_number() OVER (PARTITION BY label ORDER BY sessions DESC, path) AS place
  FROM counted WINDOW everything AS (PARTITION BY label)
)
SELECT label, path, sessions, people, total, all_squares FROM ranked
WHERE place <= {self.options.show} ORDER BY label, place"""
        return scope.statement(sql, scope.start, scope.end)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people who took a path."""
        key, _, path = cell.partition("=")
        if key.strip() != "path" or not path:
            raise WrongQuestion(f"{cell!r} names no cell, such as path=page:Home > {_END}")
        test = f"path IN ({literals([path.strip()])})"
        sql = f"{self._with(scope)}\nSELECT DISTINCT unit FROM cut WHERE {test}"
        return scope.statement(sql, scope.start, scope.end)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[PathRow]:
        """Makes one row for each path that is shown."""
        found = [
            PathRow(
                label=label,
                path=path,
                sessions=sessions,
                people=people,
                **structs.asdict(share(sessions, total, kish(total, squares))),
            )
            for label, path, sessions, people, total, squares in rows
        ]
        headlines = [Headline.of_share(row.path, row, row.label) for row in found[:5]]
        rest = 1 - sum(row.share or 0.0 for row in found)
        notes = []
        if found and not scope.by and rest > 0.0005:
            notes.append(f"{rest:.1%} of sessions took a path that is not shown; --show has more.")
        return Result(rows=found, headlines=headlines, notes=notes)

    def table(self, scope: Scope, result: Result[PathRow]) -> Table:
        """Shows the paths by number of sessions."""
        label = [Column(scope.by_words, left=True)] if scope.by else []
        titles = ("sessions", scope.people, "%")
        return Table(
            columns=[*label, *map(Column, titles), Column("path", left=True)],
            rows=[
                [
                    *([Cell(row.label)] if scope.by else []),
                    Cell(f"{row.sessions:,.0f}"),
                    Cell(f"{row.people:,.0f}"),
                    Cell.of_share(row),
                    Cell(row.path),
                ]
                for row in result.rows
            ],
        )

    def chart(self, scope: Scope, result: Result[PathRow]) -> dict[str, Any]:
        """Draws a bar for each path."""
        bar: dict[str, Any] = {
            "mark": {"type": "bar", "color": COLOURS[0]},
            "height": {"step": 22},
            "encoding": {
                "x": axis("share", "share of sessions", "quantitative", axis={"format": "%"}),
                "y": axis("path", None, "nominal", sort="-x", axis={"labelLimit": 420}),
            },
        }
        if scope.by:
            bar["encoding"]["yOffset"] = {"field": "label"}
            bar["encoding"]["color"] = {
                "field": "label",
                "type": "nominal",
                "title": scope.by_words,
            }
            del bar["mark"]["color"]
        first, last = scope.dates
        subtitle = f"{first} to {last}, {scope.calendar.zone}"
        return chart("Paths within a session", subtitle, rows_of(result.rows), bar)


SPEC = FigureSpec(type="paths", config=PathsOptions, build=Paths)
