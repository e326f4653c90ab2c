"""Numbers of periods that were over in the last report and are different now.

Late events, an erasure, or people who turned out to be one change a number that was complete. Rows
of the same period and question are compared, so that nothing is computed again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from headgate_insights.answers import Answer
from headgate_insights.scope import OTHER

__all__ = ["Correction", "Last", "corrections"]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_SAME = ("zone", "week_starts_on", "unit", "filter", "by", "who", "bots")
"""What a question has in common with that of the last report, beside its definition."""

_EXACTNESS = re.compile(r"(.*_)?(low|high|n)")
"""Fields that say how sure a number is; they change with the number."""


class Correction(Struct, frozen=True, kw_only=True):
    """A number that changed after its period was over.

    Attributes:
        figure: the id of the saved figure.
        of: the period, and what else tells the number from others.
        field: its name in the figure's rows.
    """

    figure: str
    of: str
    field: str
    old: float
    new: float


class _Section(Struct):
    id: str
    answer: dict[str, Any] | None = None


class Last(Struct):
    """The last report, as far as its numbers are compared."""

    made: datetime
    sections: list[_Section]


def corrections(last: Last, found: Mapping[str, Answer]) -> list[Correction]:
    """Returns the numbers of the last report that are different now.

    Args:
        found: the answers of this report by the id of the figure.
    """
    return [
        one
        for section in last.sections
        if section.answer is not None and section.id in found
        for one in _corrected(section.id, section.answer, found[section.id])
    ]


def _corrected(id_: str, last: dict[str, Any], now: Answer) -> Iterator[Correction]:
    answer = msgspec.to_builtins(msgspec.structs.replace(now, arms=None))
    made, then = answer["provenance"], last["provenance"]
    same = all(made[name] == then.get(name) for name in _SAME)
    if not same or (last["figure"], last["definition"]) != (now.figure, answer["definition"]):
        return
    before = {key: row for row in last["result"]["rows"] if (key := _key(row)) is not None}
    for row in answer["result"]["rows"]:
        key = _key(row)
        if key is None or key not in before:
            continue
        for field, new in row.items():
            old = before[key].get(field)
            if _differ(old, new) and not _EXACTNESS.fullmatch(field):
                yield Correction(figure=id_, of=" ".join(key), field=field, old=old, new=new)


def _differ(old: Any, new: Any) -> bool:
    if not isinstance(old, float) or not isinstance(new, float):
        return False
    return not math.isclose(old, new, rel_tol=1e-9)


def _key(row: dict[str, Any]) -> tuple[str, ...] | None:
    """Returns what tells a row from others; None if it is of no period that is over."""
    parts = [value for value in row.values() if isinstance(value, str) and value]
    if not row.get("complete") or OTHER in parts:
        return None
    return tuple(parts) if any(map(_DATE.fullmatch, parts)) else None
