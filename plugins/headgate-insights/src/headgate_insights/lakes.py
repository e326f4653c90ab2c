"""The port to the lake, and the statement that is sent through it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from msgspec import Struct

import headgate_lake
from headgate_insights.errors import FigureError
from headgate_insights.persons import LINKED_VISITORS, KnownPersons, Persons

__all__ = ["History", "Lake", "Statement", "StoredLake"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One SELECT over the view ``events``.

    Attributes:
        sql: the query, its values inside.
        start, end: bounds of the event times that it reads; the lake opens no other files.
    """

    sql: str
    start: datetime
    end: datetime


class History(Struct, frozen=True, kw_only=True):
    """What became of the days of a range, which are days of UTC.

    Attributes:
        days: those that have events.
        closed: those of them that wait for no more events.
        changes: of closed days, the newest first: events that came late, or were erased.
    """

    days: int
    closed: int
    changes: tuple[headgate_lake.Change, ...]


class Lake(Protocol):
    """A lake that answers SQL.

    Attributes:
        span: the first and the last event time; None for an empty lake.
        watermark: the time up to which all accepted events are in the lake; None if unknown.
        persons: who counts as one person in its events.
    """

    span: tuple[datetime, datetime] | None
    watermark: datetime | None
    persons: Persons

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Returns the rows of a statement."""

    def history(self, start: datetime, end: datetime) -> History | None:
        """Returns what became of the days of a range; None if the lake keeps no account of it."""


class StoredLake:
    """The lake of a gateway. Each statement runs in a process of its own, within the limits of SQL.

    Args:
        lake: its files.
        runner: of queries over it.
        people: who is who in its events.
        cancelled: ends the query that runs, and refuses more, once it is set.
    """

    def __init__(
        self,
        lake: headgate_lake.Lake,
        runner: headgate_lake.Runner,
        people: headgate_lake.People | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> None:
        # This is read once, so that all queries of a figure go by the same.
        self._state = state = lake.state()
        first, last = state.first, state.last
        self.span = None if first is None or last is None else (first, last)
        self.watermark = state.watermark
        self._runner = runner
        self._cancelled = cancelled
        self._people = people.file if people is not None else None
        self.persons: Persons = LINKED_VISITORS
        if people is not None and people.version:
            self.persons = KnownPersons(people.version)

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Returns the rows of a statement.

        Raises:
            QueryError: it failed, or took more time or memory than it may.
            FigureError: it has more rows than an answer may have.
        """
        query = headgate_lake.Query(
            sql=statement.sql,
            start=statement.start,
            end=statement.end,
            trusted=True,
            people=self._people,
        )
        found = self._runner.run(query, self._cancelled)
        if found.truncated:
            raise FigureError(
                f"the figure has more than {len(found.rows):,} numbers ([sql] max_rows): take a "
                "shorter range, longer periods, or fewer values of the breakdown"
            )
        return found.rows

    def history(self, start: datetime, end: datetime) -> History:
        """Returns what became of the days of a range."""
        first, last = (
            f"{moment.astimezone(UTC):%Y-%m-%d}" for moment in (start, end - timedelta.resolution)
        )
        days = [one for one in self._state.days if first <= one.day <= last]
        return History(
            days=len(days),
            closed=sum(one.closed for one in days),
            changes=tuple(one for one in self._state.changes if first <= one.day <= last),
        )
