"""Events: which there are, how many, by how many people, since when, and their properties."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from gateway import FigureSpec
from headgate_insights.cells import parse_cell
from headgate_insights.charts import COLOURS, axis, chart
from headgate_insights.events import Selector
from headgate_insights.figure import Figure, Headline, Result
from headgate_insights.lakes import Statement
from headgate_insights.literals import literal
from headgate_insights.scope import Scope
from headgate_insights.tables import Cell, Column, Table

__all__ = ["SPEC", "EventRow", "Events", "EventsOptions"]

_EVERYTHING = Selector("*:*", "true")
_KEYS_SHOWN = 6
_SHOWN = 40


class EventsOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which events there are: volume, people, first and last seen, properties."""

    event: Annotated[
        str, Meta(description="Only this event, with each of its properties in a line of its own.")
    ] = ""


class EventRow(Struct, frozen=True, kw_only=True):
    """An event, or a property of one.

    Attributes:
        type: track, page, screen, identify, group or alias.
        event: name of the track event, or of the page or screen.
        property: its name; empty for the event as a whole.
        count: how many events there were, or had the property.
        people: people who sent one.
        first, last: the first and the last time in the range.
        properties: number of different properties.
    """

    type: str
    event: str
    property: str
    count: float
    people: float
    first: datetime
    last: datetime
    properties: list[str]


class _EventCell(Struct, frozen=True, forbid_unknown_fields=True):
    event: str = ""
    type: str = ""


class Events(Figure[EventsOptions]):
    """The events of a range."""

    title = "Which events are there?"
    interval = ""
    reading = (
        "Look for events that nobody knows, that ended, or that are spelt in two ways, before you "
        "trust a figure that needs them."
    )
    default_from = "30d"

    def __init__(self, options: EventsOptions) -> None:
        super().__init__(options)
        self._event = Selector.parse(options.event) if options.event else None

    @property
    def selectors(self) -> Sequence[Selector]:
        """The event whose properties are asked for."""
        return (self._event,) if self._event else ()

    def definition(self, scope: Scope) -> list[str]:
        """Says what is counted."""
        lines = [
            (
                f"All events of the range that name a {scope.options.unit}, by type and name; "
                f"people are different {scope.people}; first and last are within the range."
            ),
        ]
        if self._event:
            lines.append("A property counts where it is there and not null.")
        return lines

    def statement(self, scope: Scope) -> Statement:
        """Groups by type and name; of one event also by property."""
        columns = {
            "type": "type",
            "name": "coalesce(event, name, '')",
            "keys": "coalesce(json_keys(properties), [])",
        }
        if self._event:
            columns["properties"] = "properties"
        chosen = scope.events(self._event or _EVERYTHING, scope.start, scope.end, columns)
        w = scope.event_weight
        sums = (
            "sum(events) AS events, sum(w) AS people, epoch_us(min(first)) AS first, "
            "epoch_us(max(last)) AS last"
        )
        own = f"unit, sum({w}) AS events, {scope.entry_weight} AS w"
        own += ", min(ts) AS first, max(ts) AS last"
        keys = "list_sort(list_distinct(flatten(list(keys))))"
        sql = f"""WITH chosen AS (
  {chosen}
), keyed AS (
  SELECT type, name, {keys} AS keys FROM (SELECT DISTINCT type, name, keys FROM chosen)
  GROUP BY ALL
), counted AS (
  SELECT type, name, {sums} FROM (SELECT type, name, {own} FROM chosen GROUP BY type, name, unit)
  GROUP BY ALL
)
SELECT type, name, '' AS property, events, people, first, last, keys
FROM counted JOIN keyed USING (type, name)"""
        if self._event:
            sql += f"""
UNION ALL
SELECT type, name, property, {sums}, [] FROM (
  SELECT type, name, property, {own} FROM (
    SELECT *, unnest(keys) AS property FROM chosen
  ) WHERE coalesce(json_type(properties, '/' || replace(replace(property, '~', '~0'), '/', '~1')),
    'NULL') != 'NULL' GROUP BY type, name, property, unit
) GROUP BY type, name, property"""
        sql += "\nORDER BY property != '', events DESC, type, name, property"
        return scope.statement(sql, scope.start, scope.end)

    def people(self, scope: Scope, cell: str) -> Statement:
        """Selects the people who sent an event."""
        wanted = parse_cell(cell, _EventCell, "event=Order Completed")
        tests = [f"coalesce(event, name, '') = {literal(wanted.event)}"]
        if wanted.type:
            tests.append(f"type = {literal(wanted.type)}")
        which = Selector(cell, " AND ".join(tests))
        sql = f"SELECT DISTINCT unit FROM (\n  {scope.events(which, scope.start, scope.end)}\n)"
        return scope.statement(sql, scope.start, scope.end)

    def result(self, scope: Scope, rows: list[tuple[Any, ...]]) -> Result[EventRow]:
        """Makes one row for each event or property."""
        found = [
            EventRow(
                type=type_,
                event=name,
                property=property_,
                count=events,
                people=people,
                first=_moment(first),
                last=_moment(last),
                properties=keys,
            )
            for type_, name, property_, events, people, first, last, keys in rows
        ]
        whole = [row for row in found if not row.property]
        headlines = [
            Headline(name="events", value=sum(row.count for row in whole)),
            Headline(name="names", value=float(len(whole))),
        ]
        return Result(rows=found, headlines=headlines)

    def table(self, scope: Scope, result: Result[EventRow]) -> Table:
        """Shows events by volume, or the properties of one."""
        zone = ZoneInfo(scope.calendar.zone)
        titles = ("events", scope.people, "first", "last")
        rows = []
        shown = result.rows[:_SHOWN]
        for row in shown:
            name = f"  {row.property}" if row.property else _named(row)
            first, last = (f"{at.astimezone(zone):%m-%d %H:%M}" for at in (row.first, row.last))
            keys = ", ".join(row.properties[:_KEYS_SHOWN])
            more = len(row.properties) - _KEYS_SHOWN
            rows.append(
                [
                    Cell(name, bold=not row.property and bool(self._event)),
                    *map(Cell, (f"{row.count:,.0f}", f"{row.people:,.0f}", first, last)),
                    Cell(keys + (f" and {more} more" if more > 0 else "")),
                ]
            )
        caption = ""
        if len(result.rows) > len(shown):
            caption = f"{len(shown)} of {len(result.rows)}; --csv has all"
        columns = [
            Column("event", left=True),
            *map(Column, titles),
            Column("properties", left=True),
        ]
        return Table(columns=columns, rows=rows, caption=caption)

    def chart(self, scope: Scope, result: Result[EventRow]) -> dict[str, Any]:
        """Draws a bar for each event or property, by volume."""
        rows = [
            {"name": row.property or _named(row), "events": row.count}
            for row in result.rows
            if bool(row.property) == bool(self._event)
        ][:_SHOWN]
        bar = {
            "mark": {"type": "bar", "color": COLOURS[0]},
            "height": {"step": 20},
            "encoding": {
                "x": axis("events", "events", "quantitative"),
                "y": axis("name", None, "nominal", sort="-x", axis={"labelLimit": 260}),
            },
        }
        title = f"Properties of {self.options.event}" if self._event else "Events by name"
        first, last = scope.dates
        return chart(title, f"{first} to {last}, {scope.calendar.zone}", rows, bar)


def _named(row: EventRow) -> str:
    return row.event if row.type == "track" else f"{row.type}:{row.event or '*'}"


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


SPEC = FigureSpec(type="events", config=EventsOptions, build=Events)
