"""The port to the lake, and the statement that is sent through it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import headgate_lake
from headgate_insights.errors import FigureError
from headgate_insights.persons import LINKED_VISITORS, KnownPersons, Persons

__all__ = ["Lake", "Statement", "StoredLake"]


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


class StoredLake:
    """The lake of a gateway. Each statement runs in a process of its own, within the limits of SQL.

    Args:
        lake: its files.
        runner: of queries over it.
        people: who is who in its events.
    """

    def __init__(
        self,
        lake: headgate_lake.Lake,
        runner: headgate_lake.Runner,
        people: headgate_lake.People | None = None,
    ) -> None:
        # Both are read once, so that all queries of a figure go by the same.
        self.span = lake.span
        self.watermark = lake.watermark
        self._runner = runner
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
        found = self._runner.run(query)
        if found.truncated:
            raise FigureError(
                f"the figure has more than {len(found.rows):,} numbers ([sql] max_rows): take a "
                "shorter range, longer periods, or fewer values of the breakdown"
            )
        return found.rows
