"""What campaigns cost, from a CSV file of the user.

The file has a column ``spend`` and one with the name of what it was spent on, named as the figure
names it (``source``, ``campaign``, ...). A column ``date`` is optional; with it, only the days of
the range count. Several rows of the same name are added.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from msgspec import Struct

from headgate_insights.errors import WrongQuestion, suggestion

__all__ = ["Spend", "read_spend", "spent_between"]


class Spend(Struct, frozen=True):
    """A row of the file."""

    name: str
    amount: float
    on: date | None


def read_spend(path: Path, dimension: str) -> list[Spend]:
    """Reads the file.

    Raises:
        WrongQuestion: it cannot be read; the message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or []
            for needed in ("spend", dimension):
                if needed not in names:
                    raise WrongQuestion(
                        f"{path}: there is no column {needed!r}{suggestion(needed, names)}; the "
                        f"file needs the columns {dimension} and spend"
                    )
            return [_row(row, dimension, f"{path}:{rows.line_num}") for row in rows]
    except OSError as error:
        raise WrongQuestion(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise WrongQuestion(f"{path}: cannot be read: {error}") from None


def _row(row: Mapping[str, str | None], dimension: str, place: str) -> Spend:
    text = (row["spend"] or "").strip()
    try:
        amount = float(text)
        on = date.fromisoformat(row["date"] or "") if "date" in row else None
    except ValueError:
        amount, on = math.nan, None
    if not math.isfinite(amount) or amount < 0:
        raise WrongQuestion(f"{place}: spend is a number such as 120.50, and date one such as "
                            "2026-05-01")  # fmt: skip
    return Spend((row[dimension] or "").strip(), amount, on)


def spent_between(rows: list[Spend], first: date, last: date) -> dict[str, float]:
    """Adds what was spent by name, from the first day to the last."""
    found: dict[str, float] = defaultdict(float)
    for row in rows:
        if row.on is None or first <= row.on <= last:
            found[row.name] += row.amount
    return dict(found)
