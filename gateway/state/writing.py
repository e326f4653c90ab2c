"""Writes the state store; each function is one transaction, unless it says otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import NamedTuple

from msgspec import structs

from gateway.state.connection import transaction
from gateway.state.lane import seat
from gateway.state.records import Commit, Tally, Waiting

__all__ = [
    "ALREADY_WAITING",
    "Written",
    "add_outcome",
    "add_tally",
    "begin",
    "bound_downtime",
    "commit",
    "note_lost_tail",
    "prune",
    "rebase_sources",
    "trim_dead_letters",
]

_PRUNED_AT_ONCE = 5000

ALREADY_WAITING = "already waiting"
"""Rule that filters events which enter the retry lane while they are in it: they are sent once."""


class Written(NamedTuple):
    """The result of a commit.

    Attributes:
        missing: events that the commit leaks; 0 unless there is a defect.
        overlapping: events that were in the retry lane already.
    """

    missing: int
    overlapping: int


def begin(db: sqlite3.Connection, destination: str, offset: int) -> None:
    """Sets a destination's cursor to any offset, and its base so that its counts balance there."""
    with transaction(db):
        finished, waiting, replayed = db.execute(
            "SELECT ifnull(sum(CASE WHEN outcome != 'replayed' THEN events END), 0), "
            "(SELECT count(*) FROM waiting WHERE destination = ?), "
            "ifnull(sum(CASE WHEN outcome = 'replayed' THEN events END), 0) "
            "FROM outcomes WHERE destination = ?",
            (destination, destination),
        ).fetchone()
        db.execute(
            "INSERT OR REPLACE INTO cursors (destination, next_offset, base_offset) "
            "VALUES (?, ?, ?)",
            (destination, offset, offset - finished - waiting + replayed),
        )


def commit(db: sqlite3.Connection, done: Commit, now_ms: int) -> Written:
    """Writes a commit."""
    outcomes = [("delivered", "", done.delivered), ("replayed", "", done.replayed)]
    outcomes += [("filtered", rule, number) for rule, number in done.filtered.items()]
    outcomes += [("dead", reason, number) for reason, number in done.dead_counts().items()]
    with transaction(db):
        previous = _move_cursor(db, done)
        missing = done.missing(previous)
        if missing:
            first, end = _extent(done, previous)
            leak = (done.destination, first, end, missing, now_ms)
            db.execute("INSERT INTO leaks VALUES (?, ?, ?, ?, ?)", leak)
        waiting, overlapping = _seated(db, done)
        outcomes.append(("filtered", ALREADY_WAITING, overlapping))
        for outcome, reason, number in outcomes:
            if number:
                add_outcome(db, done.destination, outcome, reason, number)
        db.executemany(
            "INSERT INTO dead_letters (destination, queue_offset, source_id, message_id, reason, "
            "detail, attempts, first_ms, last_ms, event, exchange, queue_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            # Without the first two, id and destination.
            [(done.destination, *structs.astuple(letter)[2:]) for letter in done.dead],
        )
        db.executemany(
            "DELETE FROM waiting WHERE destination = ? AND queue_offset = ?",
            [(done.destination, offset) for offset in done.settled],
        )
        db.executemany(
            "INSERT OR REPLACE INTO waiting (destination, queue_offset, source_id, message_id, "
            "detail, attempts, first_ms, last_ms, next_ms, alone, event, exchange, queue_id, "
            "place, untransformed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(done.destination, *astuple(entry)) for entry in waiting],
        )
        _add_attempts(db, done)
        if done.replay is not None:
            db.execute(
                "UPDATE replays SET next_offset = ?, replayed = replayed + ? WHERE id = ?",
                (done.replay[1], done.replayed, done.replay[0]),
            )
    return Written(missing, overlapping)


def bound_downtime(db: sqlite3.Connection, now_ms: int, most_ms: int) -> None:
    """Makes waiting events older by no more than `most_ms` for the time without a gateway.

    Nobody knows how long that was, as the clock may have been set in between. An event must not be
    given up as tried for days that was tried for seconds.
    """
    with transaction(db):
        (last_ms,) = db.execute("SELECT max(last_ms) FROM waiting").fetchone()
        excess_ms = 0 if last_ms is None else now_ms - last_ms - most_ms
        if excess_ms > 0:
            db.execute(
                "UPDATE waiting SET first_ms = first_ms + ?, last_ms = last_ms + ?",
                (excess_ms, excess_ms),
            )


def note_lost_tail(db: sqlite3.Connection, first: int, end: int, now_ms: int) -> None:
    """Records that the queue lost stored events at its end, for the ledger."""
    with transaction(db):
        db.execute("INSERT INTO leaks VALUES ('', ?, ?, ?, ?)", (first, end, end - first, now_ms))


def add_outcome(
    db: sqlite3.Connection, destination: str, outcome: str, reason: str, number: int
) -> None:
    """Counts events of a destination, within the caller's transaction."""
    db.execute(
        "INSERT INTO outcomes VALUES (?, ?, ?, ?) ON CONFLICT (destination, outcome, reason) "
        "DO UPDATE SET events = events + excluded.events",
        (destination, outcome, reason, number),
    )


def _seated(db: sqlite3.Connection, done: Commit) -> tuple[Sequence[Waiting], int]:
    """Returns the waiting entries under numbers of their own, and how many are there already."""
    if done.cursor is None and done.replay is None:
        return done.waiting, 0  # all are there
    seated, overlapping = [], 0
    for entry in done.waiting:
        found = seat(db, done.destination, entry.offset, entry.queue_id)
        overlapping += found.taken
        moves = found.number != entry.offset
        seated.append(replace(entry, offset=found.number, place=found.place) if moves else entry)
    return seated, overlapping


def _move_cursor(db: sqlite3.Connection, done: Commit) -> int | None:
    """Sets the destination's cursor; returns the one before."""
    if done.cursor is None:
        return None
    query = "SELECT next_offset FROM cursors WHERE destination = ?"
    row = db.execute(query, (done.destination,)).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO cursors (destination, next_offset, base_offset) VALUES (?, ?, ?)",
            (done.destination, done.cursor, done.cursor - _cursor_moves(done)),
        )
        return None
    db.execute(
        "UPDATE cursors SET next_offset = ? WHERE destination = ?", (done.cursor, done.destination)
    )
    return int(row[0])


def _cursor_moves(done: Commit) -> int:
    """Returns how many events the first commit of a destination passes."""
    return -done.missing(None)


def _extent(done: Commit, previous: int | None) -> tuple[int, int]:
    if done.cursor is not None and previous is not None:
        return previous, max(previous, done.cursor)
    offsets = [*done.settled, *(attempt.offsets.first for attempt in done.attempts)]
    offsets += [entry.offset for entry in done.waiting] + [letter.offset for letter in done.dead]
    return min(offsets, default=0), max(offsets, default=-1) + 1


def _add_attempts(db: sqlite3.Connection, done: Commit) -> None:
    db.executemany(
        "INSERT INTO attempts (destination, first_offset, last_offset, members, outcome, detail, "
        "began_ms, took_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                done.destination,
                attempt.offsets.first,
                attempt.offsets.last,
                attempt.offsets.members,
                attempt.outcome,
                attempt.detail,
                attempt.began_ms,
                attempt.took_ms,
            )
            for attempt in done.attempts
        ],
    )


def rebase_sources(db: sqlite3.Connection, queue_id: str, next_offset: int) -> None:
    """Counts the events of a queue from `next_offset` on; earlier accepted events stay counted."""
    with transaction(db):
        query = "SELECT ifnull(sum(events), 0) FROM sources WHERE outcome = 'accepted'"
        (accepted,) = db.execute(query).fetchone()
        db.execute(
            "INSERT OR REPLACE INTO counted VALUES (1, ?, ?, ?)",
            (queue_id, next_offset - accepted, next_offset),
        )


def add_tally(db: sqlite3.Connection, tally: Tally) -> None:
    """Adds to the counts of sources, and records the events that were not stored."""
    with transaction(db):
        db.executemany(
            "INSERT INTO sources VALUES (?, ?, ?, ?) ON CONFLICT (source, outcome, code) "
            "DO UPDATE SET events = events + excluded.events",
            [(*key, number) for key, number in tally.counts.items() if number],
        )
        if tally.counted_to is not None:
            db.execute("UPDATE counted SET next_offset = ?", (tally.counted_to,))
        db.executemany(
            "INSERT INTO discards (received_ms, source, message_id, code) VALUES (?, ?, ?, ?)",
            [astuple(discard) for discard in tally.discards],
        )


def prune(db: sqlite3.Connection, first_offset: int, since_ms: int, max_discards: int) -> bool:
    """Deletes some attempts and discards that are too old; True if more are left. No transaction.

    Args:
        first_offset: the oldest event kept; attempts at older ones are deleted.
        since_ms: discards before this are deleted.
        max_discards: the oldest discards beyond this number are deleted.
    """
    attempts = db.execute(
        "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE last_offset < ? LIMIT ?)",
        (first_offset, _PRUNED_AT_ONCE),
    ).rowcount
    oldest, newest = db.execute("SELECT min(id), max(id) FROM discards").fetchone()
    if oldest is None:
        return attempts == _PRUNED_AT_ONCE
    # Rows are in the order of time: the oldest come first.
    rows = db.execute(
        "SELECT id FROM discards WHERE id < ? AND (received_ms < ? OR id <= ?)",
        (oldest + _PRUNED_AT_ONCE, since_ms, newest - max_discards),
    ).fetchall()
    if rows:
        db.execute("DELETE FROM discards WHERE id <= ?", rows[-1])
    return max(attempts, len(rows)) == _PRUNED_AT_ONCE


def trim_dead_letters(db: sqlite3.Connection, destination: str, most: int) -> int:
    """Deletes some of a destination's oldest dead letters beyond `most`; returns how many."""
    return db.execute(
        "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE destination = ? "
        "ORDER BY last_ms DESC, id DESC LIMIT ? OFFSET ?)",
        (destination, _PRUNED_AT_ONCE, most),
    ).rowcount
