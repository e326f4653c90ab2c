"""Tables of figures, for the terminal and for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from headgate_insights.intervals import Share

__all__ = ["Cell", "Column", "Table", "fitting", "latest"]


class Column(Struct, frozen=True):
    """A column of a table; numbers stand at the right."""

    title: str
    left: bool = False


class Cell(Struct, frozen=True):
    """A cell of a table.

    Attributes:
        shade: how dark it is, from 0 to 1; None for a plain cell.
        incomplete: whether its period is not over; it is shown with a ``~``.
    """

    text: str = ""
    shade: float | None = None
    incomplete: bool = False
    bold: bool = False

    @classmethod
    def of_share(cls, row: Share | None) -> Cell:
        """Shows the share of a row in percent, shaded; an empty cell if there is none."""
        if row is None or row.share is None:
            return cls()
        percent = "100" if row.share == 1 else f"{row.share * 100:.1f}"
        incomplete = not getattr(row, "complete", True)
        return cls(percent, shade=row.share, incomplete=incomplete)


class Table(Struct, frozen=True, kw_only=True):
    """A table for the terminal and the report."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


Row = TypeVar("Row")
_LATEST = 21
"""How many periods a table in a terminal shows."""


def latest(rows: Sequence[Row], what: str) -> tuple[Sequence[Row], str]:
    """Returns the latest rows that a terminal shows, and a caption if that is not all."""
    if len(rows) <= _LATEST:
        return rows, ""
    return rows[-_LATEST:], f"the latest {_LATEST} of {len(rows)} {what}; --csv has all"


def fitting(number: int) -> list[int]:
    """Returns which of so many columns fit into 80 characters: the first ones, then ever fewer."""
    if number <= 9:
        return list(range(number))
    chosen = [one for one in (0, 1, 2, 3, 7, 14, 21, 30, 60, 90) if one < number][:8]
    return chosen if chosen[-1] == number - 1 else [*chosen, number - 1]
