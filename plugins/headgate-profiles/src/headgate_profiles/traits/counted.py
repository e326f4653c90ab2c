"""Which offsets of a queue are counted, so that an event counts once however often it is delivered.

Traits do not need this: the same value twice is one value. Counts do. For each queue the file has
runs of offsets, from `first` to before `next`. In the stream a run grows at its end; a replay into
an empty file begins another one before it, and the two grow together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

__all__ = ["MOST_RUNS", "count_offsets"]

MOST_RUNS = 100
"""Runs of one queue. Beyond it the two with the least between them become one, and offsets between
them that come later are not counted."""


def count_offsets(db: sqlite3.Connection, queue_id: str, offsets: Sequence[int]) -> list[bool]:
    """Notes that offsets are counted; tells of each whether it was not before.

    Events that were filtered between them count as if they were there.

    Args:
        offsets: of one batch, which is not empty.
    """
    runs: list[tuple[int, int]] = db.execute(
        "SELECT first, next FROM counted WHERE queue_id = ? ORDER BY first", (queue_id,)
    ).fetchall()
    low, high = min(offsets), max(offsets) + 1
    near = [run for run in runs if run[0] <= high and run[1] >= low]
    new = [not any(first <= offset < following for first, following in near) for offset in offsets]
    both = min([low, *(run[0] for run in near)]), max([high, *(run[1] for run in near)])
    if near == [both]:
        return new
    if len(runs) - len(near) >= MOST_RUNS:
        runs = _joined(sorted({*runs, both} - set(near)))
        db.execute("DELETE FROM counted WHERE queue_id = ?", (queue_id,))
    else:
        for first, _ in near:
            db.execute("DELETE FROM counted WHERE (queue_id, first) = (?, ?)", (queue_id, first))
        runs = [both]
    db.executemany("INSERT INTO counted VALUES (?, ?, ?)", [(queue_id, *run) for run in runs])
    return new


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins the two runs that have the least between them."""
    place = min(range(len(runs) - 1), key=lambda number: runs[number + 1][0] - runs[number][1])
    return [*runs[:place], (runs[place][0], runs[place + 1][1]), *runs[place + 2 :]]
