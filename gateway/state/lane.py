"""The places of events in a destination's retry lane.

An entry has the offset of its event as its number. Offsets may be given out again: if the end of
the queue is lost, or a backup of the queue is restored, a later event gets the offset of one that
waits. So an entry also has the id of its event's queue (`Store.identity_at`). An entry whose number
is taken by the event of another queue gets a number below 0, and keeps its offset in `place`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from gateway.queue.queue_id import new_identity
from gateway.state.connection import transaction

__all__ = ["LOWEST", "Seat", "seat", "set_apart"]

LOWEST = -(2**63)
"""Below all numbers of entries."""


class Seat(NamedTuple):
    """The number of an entry.

    Attributes:
        place: the offset of its event, if that is not its number.
        taken: the event is in the lane already, under this number.
    """

    number: int
    place: int | None = None
    taken: bool = False


def seat(db: sqlite3.Connection, destination: str, offset: int, queue_id: str) -> Seat:
    """Returns the number for an event; an event without a queue id is known by its offset alone."""
    query = "SELECT queue_id FROM waiting WHERE destination = ? AND queue_offset = ?"
    row = db.execute(query, (destination, offset)).fetchone()
    if row is None or not queue_id or row[0] in ("", queue_id):
        return Seat(offset, taken=row is not None)
    row = db.execute(
        "SELECT queue_offset FROM waiting WHERE destination = ? AND queue_offset < 0 "
        "AND place = ? AND queue_id = ?",
        (destination, offset, queue_id),
    ).fetchone()
    return Seat(_free(db, destination) if row is None else row[0], offset, taken=row is not None)


def set_apart(
    db: sqlite3.Connection,
    destination: str,
    first: int,
    end: int,
    identity_at: Callable[[int], tuple[str, int | None]],
) -> int:
    """Gives other numbers to entries whose events the queue no longer has; returns how many.

    What was noted about attempts at events that are gone is deleted: new events get their offsets.

    Args:
        first, end: of the queue.
        identity_at: of the queue.
    """
    with transaction(db):
        rows = db.execute(
            "SELECT queue_offset, queue_id FROM waiting "
            "WHERE destination = ? AND queue_offset >= ?",
            (destination, first),
        ).fetchall()
        gone = [
            (offset, queue_id)
            for offset, queue_id in rows
            if offset >= end or (queue_id and queue_id != identity_at(offset)[0])
        ]
        for offset, queue_id in gone:
            db.execute(
                "UPDATE waiting SET queue_offset = ?, place = ?, queue_id = ? "
                "WHERE destination = ? AND queue_offset = ?",
                # Without an id of its own it would be sent under that of the event after it.
                (_free(db, destination), offset, queue_id or new_identity(), destination, offset),
            )
        db.execute(
            "DELETE FROM attempts WHERE destination = ? AND first_offset >= ?", (destination, end)
        )
    return len(gone)


def _free(db: sqlite3.Connection, destination: str) -> int:
    query = "SELECT min(queue_offset) FROM waiting WHERE destination = ?"
    (lowest,) = db.execute(query, (destination,)).fetchone()
    return min(0, lowest or 0) - 1
