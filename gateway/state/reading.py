"""Reads the state store; each function takes an open connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from gateway.state.connection import transaction
from gateway.state.ledger.counts import DestinationCounts, SourceCounts
from gateway.state.records import Attempt, DeadLetter, Discard, Leak, Offsets, Waiting

__all__ = [
    "LETTERS",
    "Counted",
    "attempts",
    "bases",
    "counted",
    "counts",
    "cursors",
    "dead_letters",
    "discards",
    "due",
    "leaks",
    "letter_of",
    "oldest_waiting_ms",
    "sources",
    "standing",
    "waiting_at",
    "waiting_index",
    "waiting_number",
]

LETTERS = (
    "SELECT id, destination, queue_offset, source_id, message_id, reason, detail, attempts, "
    "first_ms, last_ms, event, exchange, queue_id FROM dead_letters"
)
"""Selects the columns that `letter_of` takes."""

_WAITING = (
    "SELECT queue_offset, source_id, message_id, detail, attempts, first_ms, last_ms, next_ms, "
    "alone, event, exchange, queue_id, place, untransformed FROM waiting WHERE destination = ? "
)


@dataclass(frozen=True, slots=True)
class Counted:
    """The events that the counts of sources cover: those of a queue in [base, next_offset)."""

    queue_id: str
    base: int
    next_offset: int


def cursors(db: sqlite3.Connection) -> dict[str, int]:
    """Returns the offset of the next event that each destination needs."""
    return dict(db.execute("SELECT destination, next_offset FROM cursors"))


def bases(db: sqlite3.Connection) -> dict[str, int]:
    """Returns the offset at which the counts of each destination began."""
    return dict(db.execute("SELECT destination, base_offset FROM cursors"))


def counts(db: sqlite3.Connection, destination: str | None = None) -> dict[str, DestinationCounts]:
    """Returns the counts of each destination over all runs, or of one."""
    found: dict[str, DestinationCounts] = {}
    rows = db.execute(
        "SELECT destination, outcome, reason, events FROM outcomes "
        "WHERE ? IN (destination, '') AND events != 0",
        (destination or "",),
    )
    for id_, outcome, reason, events in rows:
        entry = found.setdefault(id_, DestinationCounts())
        match outcome:
            case "delivered":
                entry.delivered = events
            case "replayed":
                entry.replayed = events
            case "filtered":
                entry.filtered[reason] = events
            case _:
                entry.dead[reason] = events
    return found


def sources(db: sqlite3.Connection) -> dict[str, SourceCounts]:
    """Returns the counts of each source over all runs."""
    found: dict[str, SourceCounts] = {}
    for source, outcome, code, events in db.execute(
        "SELECT source, outcome, code, events FROM sources"
    ):
        entry = found.setdefault(source, SourceCounts())
        match outcome:
            case "accepted":
                entry.accepted = events
            case "duplicate":
                entry.duplicate = events
            case _:
                entry.discarded[code] = events
    return found


def counted(db: sqlite3.Connection) -> Counted | None:
    """Returns which events the counts of sources cover; None before there were any."""
    row = db.execute("SELECT queue_id, base_offset, next_offset FROM counted").fetchone()
    return Counted(*row) if row else None


def leaks(db: sqlite3.Connection) -> list[Leak]:
    """Returns the commits that did not add up, oldest first."""
    return [Leak(*row) for row in db.execute("SELECT * FROM leaks ORDER BY found_ms")]


def dead_letters(db: sqlite3.Connection, destination: str, limit: int) -> list[DeadLetter]:
    """Returns the newest dead letters of a destination."""
    query = f"{LETTERS} WHERE destination = ? ORDER BY id DESC LIMIT ?"
    return list(map(letter_of, db.execute(query, (destination, limit))))


def letter_of(row: Sequence[Any]) -> DeadLetter:
    """Returns the dead letter of a row that `LETTERS` selects."""
    letter = dict(zip(DeadLetter.__struct_fields__, row, strict=True))
    return DeadLetter(**letter | {"event": Raw(letter["event"])})


def standing(db: sqlite3.Connection, destination: str) -> tuple[int, DestinationCounts]:
    """Returns how many events a destination's retry lane has, and its counts, as of one moment."""
    with transaction(db, "DEFERRED"):
        waiting = waiting_number(db, destination)
        own = counts(db, destination).get(destination, DestinationCounts())
    return waiting, own


def waiting_number(db: sqlite3.Connection, destination: str) -> int:
    """Returns how many events a destination's retry lane has."""
    query = "SELECT count(*) FROM waiting WHERE destination = ?"
    (found,) = db.execute(query, (destination,)).fetchone()
    return int(found)


def due(
    db: sqlite3.Connection, destination: str, now_ms: int, limit: int, latest_ms: int
) -> tuple[list[Waiting], int | None]:
    """Returns the events of the retry lane that are due; without any, the time of the next one.

    Args:
        latest_ms: no delay reaches beyond this. An entry with a later time was written before the
            clock was set back, and is due.
    """
    rows = db.execute(
        _WAITING + "AND (next_ms <= ? OR next_ms > ?) ORDER BY next_ms, queue_offset LIMIT ?",
        (destination, now_ms, latest_ms, limit),
    )
    ready = [_waiting(row) for row in rows]
    if ready:
        return ready, None
    query = "SELECT min(next_ms) FROM waiting WHERE destination = ?"
    (next_ms,) = db.execute(query, (destination,)).fetchone()
    return [], next_ms


def oldest_waiting_ms(db: sqlite3.Connection, destination: str) -> int | None:
    """Returns when the oldest event of a destination's retry lane first failed."""
    query = "SELECT min(first_ms) FROM waiting WHERE destination = ?"
    (found,) = db.execute(query, (destination,)).fetchone()
    return None if found is None else int(found)


def waiting_at(db: sqlite3.Connection, destination: str, offsets: Iterable[int]) -> list[Waiting]:
    """Returns the entries of the retry lane at these offsets, in the order of the queue."""
    query = _WAITING + "AND queue_offset = ?"
    found = [db.execute(query, (destination, offset)).fetchone() for offset in sorted(offsets)]
    return [_waiting(row) for row in found if row]


def waiting_index(
    db: sqlite3.Connection, destination: str
) -> list[tuple[int, int, str | None, str | None]]:
    """Returns offset, due time, userId and anonymousId of each waiting event, in queue order."""
    return db.execute(
        "SELECT queue_offset, next_ms, json_extract(CAST(event AS TEXT), '$.userId'), "
        "json_extract(CAST(event AS TEXT), '$.anonymousId') FROM waiting WHERE destination = ? "
        "ORDER BY queue_offset",
        (destination,),
    ).fetchall()


def _waiting(row: tuple[object, ...]) -> Waiting:
    return Waiting(*(*row[:8], bool(row[8]), *row[9:13], bool(row[13])))  # type: ignore[arg-type]


def discards(db: sqlite3.Connection, message_id: str) -> list[Discard]:
    """Returns when an event of this id was answered and not stored, and why; oldest first."""
    rows = db.execute(
        "SELECT received_ms, source, message_id, code FROM discards WHERE message_id = ? "
        "ORDER BY id",
        (message_id,),
    )
    return [Discard(*row) for row in rows]


def attempts(db: sqlite3.Connection, offset: int) -> list[tuple[str, Attempt]]:
    """Returns each attempt that included the event at an offset, with its destination, in order."""
    rows = db.execute(
        "SELECT destination, first_offset, last_offset, members, outcome, detail, began_ms, "
        "took_ms FROM attempts WHERE last_offset >= ? AND first_offset <= ? ORDER BY id",
        (offset, offset),
    )
    found = [(row[0], Attempt(Offsets(*row[1:4]), *row[4:])) for row in rows]
    return [(destination, attempt) for destination, attempt in found if offset in attempt.offsets]
