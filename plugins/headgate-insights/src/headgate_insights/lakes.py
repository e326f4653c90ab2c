"""The port to the lake, and the statement that is sent through it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

__all__ = ["Lake", "Statement"]


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
    """A lake that answers SQL."""

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The first and the last event time, None for an empty lake."""

    @property
    def watermark(self) -> datetime | None:
        """The time up to which all accepted events are in the lake, None if unknown."""

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Returns the rows of a statement."""
