"""Data that a goal needs, and whether it comes."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from headgate_insights.errors import suggestion
from headgate_insights.events import Selector
from headgate_insights.fields import parse_field
from headgate_insights.lakes import Lake, Statement
from headgate_insights.literals import literal
from headgate_insights.saved import Goal

__all__ = ["Need", "check_needs"]


class Need(Struct, frozen=True, kw_only=True):
    """An event or one of its fields.

    Attributes:
        field: empty for the event itself.
        events: how many of the event are in the range.
        having: how many of them have the field.
        hint: a name that may be meant, if there is none of the event.
    """

    event: str
    field: str
    events: int
    having: int
    hint: str = ""

    @property
    def words(self) -> str:
        """The state in words."""
        if not self.events:
            return f"“{self.event}” does not come{self.hint}"
        if not self.field:
            return f"“{self.event}”: {self.events:,} events"
        return f"{self.field} in {self.having / self.events:.1%} of “{self.event}”"

    @property
    def lacks(self) -> bool:
        """Whether the event is missing, or one in twenty lacks the field."""
        return not self.events or self.having < 0.95 * self.events


def check_needs(goal: Goal, lake: Lake, start: datetime, end: datetime) -> list[Need]:
    """Counts what a goal needs, in a range."""
    found: list[Need] = []
    within = f"ts >= {literal(start)} AND ts < {literal(end)}"
    for event, fields in goal.needs.items():
        which = Selector.parse(event)
        tests = [f"NOT ({parse_field(field).is_null})" for field in fields]
        counts = ["count(*)", *(f"count(*) FILTER (WHERE {test})" for test in tests)]
        sql = f"SELECT {', '.join(counts)} FROM events WHERE {within} AND {which.sql}"
        number, *having = lake.run(Statement(sql, start, end))[0]
        hint = "" if number else _hint(which, lake, within, start, end)
        found.append(Need(event=event, field="", events=number, having=number, hint=hint))
        if number:
            found += [
                Need(event=event, field=field, events=number, having=count)
                for field, count in zip(fields, having, strict=True)
            ]
    return found


def _hint(which: Selector, lake: Lake, within: str, start: datetime, end: datetime) -> str:
    if which.named is None:
        return ""
    column, wanted = which.named
    sql = f"SELECT DISTINCT {column} FROM events WHERE {column} IS NOT NULL AND {within}"
    return suggestion(wanted, [name for (name,) in lake.run(Statement(sql, start, end))])
