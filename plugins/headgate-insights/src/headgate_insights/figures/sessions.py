"""Sessions: visits of people, which end by inactivity."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from gateway import FigureSpec
from headgate_insights.calendar import EPOCH, Every
from headgate_insights.cells import parse_cell
from headgate_insights.charts import axis, chart, joined, line, rows_of
from headgate_insights.events import ANYTHING
from headgate_insights.figure import Headline, Result
from headgate_insights.intervals import Share, kish, share
from headgate_insights.lakes import Statement
from headgate_insights.one_event import EventOptions, OneEvent
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table, latest

__all__ = ["SPEC", "SessionRow", "Sessions", "SessionsOptions", "sessions_sql"]

_MINUTE = 60_000_000
_EARLIER = timedelta(days=1)  # events before the range, to see which sessions began before it


class SessionsOptions(EventOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Visits of people: how many, how long, how many events, and how many bounce."""

    event: Annotated[
        str, Meta(description="The events that make sessions. `*` is anything that people do.")
    ] = ANYTHING
    gap_minutes: Annotated[
        int, Meta(ge=1, le=1440, description="Minutes without an event that end a session.")
    ] = 30
    every: Annotated[Every, Meta(description="Length of a period.")] = "day"


class SessionRow(Share, frozen=True, kw_only=True):
    """A period. The share is that of sessions with a single event (bounces).

    Attributes:
        label: the value of the breakdown; empty without one.
        sessions: sessions that began in the period.
        people: people with a session.
        events_each: events for each session.
        median_minutes: half of the sessions are longer, from the first event to the last.
        complete: whether the period is over.
    """

    label: str
    begins: date
    sessions: float
    people: float
    events_each: float | None
    median_minutes: float | None
    complete: bool


class _SessionCell(Struct, frozen=True, forbid_unknown_fields=True):
    begins: date
    bounced: Literal["yes", "no", "any"] = "any"


class Sessions(OneEvent[SessionsOptions]):
    """Sessions by period."""

    title = "How do people visit?"
    interval = "Wilson, of sessions as if each were of another person"
    of_people = False
    reading = (
        "More sessions for each person mean habit; longer ones do not always mean liking, as a "
        "search that finds nothing is long too. The length is measured between events, so the time "
        "after the last one is unknown and a bounce lasts 0 minutes."
    )
    default_from = "30d"

    @property
    def every(self) -> Every:
        """The length of a period."""
        return self.options.every

    def definition(self, scope: Scope) -> list[str]:
        """Says where a session ends."""
        return [
            (
                f"A session is a row of events ({self._event.words}) of one "
                f"{scope.options.unit} with pauses of at most {self.options.gap_minutes} minutes. "
                "It has no greatest length, and neither midnight nor a new campaign ends it."
            ),
            f"It counts in the {self.options.every} in which it begins.",
            "A bounce is a session with one event.",
            *([f"The {scope.by_words} is that of its first event."] if scope.by else []),
        ]

    def _with(self, scope: Scope) -> str:
        first = self._reads_from(scope)
        chosen = scope.events(self._event, first, scope.end)
        period = scope.period(self.options.every, first, scope.end, "began")
        return f"""{sessions_sql(scope, chosen, self.options.gap_minutes)}, sessions AS (
  SELECT unit, number, min(ts) AS began, count(*) AS events,
    (epoch_us(max(ts)) - epoch_us(min(ts))) / {_MINUTE} AS minutes,
    {scope.entry_weight} AS w, {scope.entry_label} AS label
  FROM numbered GROUP BY unit, number
), dated AS (
  SELECT *, {period} AS period FROM sessions WHERE began >= {scope.start_sql}
)"""

    def _reads_from(self, scope: Scope) -> datetime:
        return scope.start - _EARLIER

    def statement(self, scope: Scope) -> Statement:
        """Numbers the sessions of each person, and sums them by period."""
        sql = f"""{self._with(scope)}, visitors AS (
  SELECT label, period, sum(w) AS people FROM (
    SELECT label, period, unit, arg_min(w, began) AS w FROM dated GROUP BY label, period, unit
  ) GROUP BY label, period
)
SELECT label, period, sum(w) AS sessions, any_value(people) AS people,
  sum(w * events) / sum(w) AS events_each, median(minutes) AS median_minutes,
  coalesce(sum(w) FILTER (events = 1), 0) AS bounced, sum(w * w) AS squares
FROM dated JOIN visitors USING (label, period) GROUP BY label, period ORDER BY ALL"""
        return scope.statement(sql, self._reads_from(scope), scope.end)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people with a session in a period."""
        every = self.options.every
        first = scope.calendar.date_of(every, scope.periods(every)[0])
        wanted = parse_cell(cell, _SessionCell, f"begins={first},bounced=yes")
        period = scope.calendar.period_of(every, (wanted.begins - EPOCH).days)
        test = {"yes": " AND events = 1", "no": " AND events > 1", "any": ""}[wanted.bounced]
        sql = f"{self._with(scope)}\nSELECT DISTINCT unit FROM dated WHERE period = {period}{test}"
        return scope.statement(sql, self._reads_from(scope), scope.end)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[SessionRow]:
        """Makes one row for each period that has begun."""
        every, calendar = self.options.every, scope.calendar
        found = {(row[0], row[1]): row[2:] for row in rows}
        result: list[SessionRow] = []
        for label in dict.fromkeys(label for label, _ in found):
            for period in scope.periods(every):
                if calendar.begin(every, period) >= scope.known_until:
                    break
                none = (0.0, 0.0, None, None, 0.0, 0.0)
                sessions, people, each, minutes, bounced, squares = found.get((label, period), none)
                result.append(
                    SessionRow(
                        label=label,
                        begins=calendar.date_of(every, period),
                        sessions=sessions,
                        people=people,
                        events_each=each,
                        median_minutes=minutes,
                        complete=scope.is_complete(every, period),
                        **structs.asdict(share(bounced, sessions, kish(sessions, squares))),
                    )
                )
        notes = []
        if scope.weighted:
            notes.append("The median length does not take the weights of the sample into account.")
        return Result(rows=result, headlines=_headlines(result, every), notes=notes)

    def table(self, scope: Scope, result: Result[SessionRow]) -> Table:
        """Shows the latest periods; with a breakdown, all together for each value."""
        titles = ("sessions", scope.people, "each", "events", "minutes", "% bounced")
        rows: list[list[Cell]] = []
        for label in dict.fromkeys(row.label for row in result.rows):
            means = {one.name: one.value or 0.0 for one in result.headlines if one.label == label}
            if means:
                cells = [_text(value, name) for name, value in means.items()]
                rows.append([Cell(label or "mean", bold=True), *map(Cell, cells)])
        shown, caption = ([], "") if scope.by else latest(result.rows, "periods")
        for row in shown:
            each = row.sessions / row.people if row.people else None
            numbers = (row.events_each, row.median_minutes)
            cells = [f"{row.sessions:,.0f}", f"{row.people:,.0f}", _decimal(each)]
            cells += [_decimal(number) for number in numbers]
            open_ = not row.complete
            marked = [Cell(cell, incomplete=open_) for cell in cells]
            percent = "" if row.share is None else f"{row.share:.1%}"
            rows.append([Cell(f"{row.begins}"), *marked, Cell(percent, incomplete=open_)])
        first = Column(scope.by_words if scope.by else f"{self.options.every} of", left=True)
        return Table(columns=[first, *map(Column, titles)], rows=rows, caption=caption)

    def chart(self, scope: Scope, result: Result[SessionRow]) -> dict[str, Any]:
        """Draws the number of sessions."""
        every = self.options.every
        x = axis("begins", f"{every} of ({scope.calendar.zone})", "temporal")
        y = axis("sessions", "sessions", "quantitative")
        series = "label" if scope.by else ""
        return chart(
            f"Sessions by {every}",
            f"ended by {self.options.gap_minutes} minutes without an event; dashed: not over",
            joined(rows_of(result.rows), "label"),
            {"layer": line(x, y, series=series, title=scope.by_words)},
        )


def sessions_sql(scope: Scope, chosen: str, gap_minutes: int) -> str:
    """Returns a WITH clause that ends with ``numbered``: the events, each with its session.

    Args:
        chosen: the SELECT of the events (`Scope.events`).
    """
    return f"""WITH chosen AS (
  {chosen}
), paused AS (
  SELECT *, epoch_us(ts) - lag(epoch_us(ts)) OVER (PARTITION BY unit ORDER BY ts) AS pause
  FROM chosen
), numbered AS (
  SELECT * EXCLUDE (pause), count(*) FILTER (pause > {gap_minutes * _MINUTE})
    OVER (PARTITION BY unit ORDER BY ts) AS number
  FROM paused
)"""


def _headlines(rows: list[SessionRow], every: Every) -> list[Headline]:
    found: list[Headline] = []
    for label in dict.fromkeys(row.label for row in rows):
        whole = [row for row in rows if row.label == label and row.complete and row.sessions]
        if not whole:
            continue
        count = len(whole)
        sessions, people = sum(row.sessions for row in whole), sum(row.people for row in whole)
        events = sum(row.sessions * (row.events_each or 0.0) for row in whole) / sessions
        minutes = sum(row.median_minutes or 0.0 for row in whole) / count
        bounced = sum((row.share or 0.0) * row.sessions for row in whole)
        found += [
            Headline(name=f"sessions a {every}", value=sessions / count, label=label),
            Headline(name=f"people a {every}", value=people / count, label=label),
            Headline(
                name=f"sessions for each person of a {every}", value=sessions / people, label=label
            ),
            Headline(name="events for each session", value=events, label=label),
            Headline(name="median length", value=minutes, unit="minutes", label=label),
            Headline.of_share(
                "bounced", share(bounced, sessions, sum(row.n for row in whole)), label
            ),
        ]
    return found


def _text(value: float, name: str) -> str:
    if name == "bounced":
        return f"{value:.1%}"
    return f"{value:,.0f}" if name.startswith(("sessions a ", "people a ")) else f"{value:,.1f}"


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


SPEC = FigureSpec(type="sessions", config=SessionsOptions, build=Sessions)
