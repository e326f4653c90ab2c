"""What is read from the state store; each function takes an open connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.state.ledger.counts import DestinationCounts, SourceCounts
from gateway.state.records import Attempt, DeadLetter, Discard, Leak, Offsets, Waiting

__all__ = [
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
    "oldest_waiting_ms",
    "sources",
    "standing",
    "waiting_at",
    "waiting_index",
    "waiting_number",
]

_WAITING = (
    "SELECT queue_offset, source_id, message_id, detail, attempts, first_ms, last_ms, next_ms, "
    "alone, event, exchange FROM waiting WHERE destination = ? "
)


@dataclass(frozen=True, slots=True)
class Counted:
    """Which events of which queue the counts of sources cover: those in [base, next_offset)."""

    queue_id: str
    base: int
    next_offset: int


def cursors(db: sqlite3.Connection) -> dict[str, int]:
    """Destination to the offset of the next event it needs."""
    return dict(db.execute("SELECT destination, next_offset FROM cursors"))


def bases(db: sqlite3.Connection) -> dict[str, int]:
    """Destination to the offset that its counts began at."""
    return dict(db.execute("SELECT destination, base_offset FROM cursors"))


def counts(db: sqlite3.Connection, destination: str | None = None) -> dict[str, DestinationCounts]:
    """Counts of each destination over all runs, or of one."""
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
    """Counts of each source over all runs."""
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
    """What the counts of sources cover; None before there were any."""
    row = db.execute("SELECT queue_id, base_offset, next_offset FROM counted").fetchone()
    return Counted(*row) if row else None


def leaks(db: sqlite3.Connection) -> list[Leak]:
    """Commits that did not add up, oldest first."""
    return [Leak(*row) for row in db.execute("SELECT * FROM leaks ORDER BY found_ms")]


def dead_letters(db: sqlite3.Connection, destination: str, limit: int) -> list[DeadLetter]:
    """The newest dead letters of a destination."""
    rows = db.execute(
        "SELECT queue_offset, source_id, message_id, reason, detail, attempts, first_ms, last_ms, "
        "event, exchange FROM dead_letters WHERE destination = ? ORDER BY id DESC LIMIT ?",
        (destination, limit),
    )
    return [DeadLetter(*row) for row in rows]


def standing(db: sqlite3.Connection, destination: str) -> tuple[int, DestinationCounts]:
    """How many events are in a destination's retry lane, and its counts, as of one moment."""
    db.execute("BEGIN")
    try:
        waiting = waiting_number(db, destination)
        own = counts(db, destination).get(destination, DestinationCounts())
    finally:
        db.execute("COMMIT")
    return waiting, own


def waiting_number(db: sqlite3.Connection, destination: str) -> int:
    """How many events are in a destination's retry lane."""
    query = "SELECT count(*) FROM waiting WHERE destination = ?"
    (found,) = db.execute(query, (destination,)).fetchone()
    return int(found)


def due(
    db: sqlite3.Connection, destination: str, now_ms: int, limit: int, latest_ms: int
) -> tuple[list[Waiting], int | None]:
    """Events of the retry lane whose time has come; if none has, the time of the next one.

    Args:
        latest_ms: no event is made to wait for longer than until then: one that is was put there
            before the clock was set back, and is due.
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
    """When the oldest event of a destination's retry lane first failed."""
    query = "SELECT min(first_ms) FROM waiting WHERE destination = ?"
    (found,) = db.execute(query, (destination,)).fetchone()
    return None if found is None else int(found)


def waiting_at(db: sqlite3.Connection, destination: str, offsets: Iterable[int]) -> list[Waiting]:
    """The entries of the retry lane at these offsets, in the order of the queue."""
    query = _WAITING + "AND queue_offset = ?"
    found = [db.execute(query, (destination, offset)).fetchone() for offset in sorted(offsets)]
    return [_waiting(row) for row in found if row]


def waiting_index(
    db: sqlite3.Connection, destination: str
) -> list[tuple[int, int, str | None, str | None]]:
    """Offset, time when due, userId and anonymousId of all that wait, in the order of the queue."""
    return db.execute(
        "SELECT queue_offset, next_ms, json_extract(CAST(event AS TEXT), '$.userId'), "
        "json_extract(CAST(event AS TEXT), '$.anonymousId') FROM waiting WHERE destination = ? "
        "ORDER BY queue_offset",
        (destination,),
    ).fetchall()


def _waiting(row: tuple[object, ...]) -> Waiting:
    return Waiting(*(*row[:8], bool(row[8]), *row[9:]))  # type: ignore[arg-type]


def discards(db: sqlite3.Connection, message_id: str) -> list[Discard]:
    """When an event of this id was answered and not stored, and why; oldest first."""
    rows = db.execute(
        "SELECT received_ms, source, message_id, code FROM discards WHERE message_id = ? "
        "ORDER BY id",
        (message_id,),
    )
    return [Discard(*row) for row in rows]


def attempts(db: sqlite3.Connection, offset: int) -> list[tuple[str, Attempt]]:
    """Destination and attempt for each in which the event at an offset took part, in order."""
    rows = db.execute(
        "SELECT destination, first_offset, last_offset, members, outcome, detail, began_ms, "
        "took_ms FROM attempts WHERE last_offset >= ? AND first_offset <= ? ORDER BY id",
        (offset, offset),
    )
    found = [(row[0], Attempt(Offsets(*row[1:4]), *row[4:])) for row in rows]
    return [(destination, attempt) for destination, attempt in found if offset in attempt.offsets]
