"""Reads and writes replays: the request, and the progress."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

__all__ = ["Row", "create", "finish", "in_lane", "listed", "one"]

_COLUMNS = (
    "id, destination, request, first_offset, end_offset, next_offset, replayed, state, detail, "
    "created_ms"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A replay.

    Attributes:
        request: what to replay, as JSON.
        first, end: the range of offsets; `next` is where the replay continues.
        replayed: events sent again so far.
        state: ``running``, ``done``, ``cancelled`` or ``failed``.
    """

    id: int
    destination: str
    request: bytes
    first: int
    end: int
    next: int
    replayed: int
    state: str
    detail: str
    created_ms: int


def create(
    db: sqlite3.Connection, destination: str, request: bytes, first: int, end: int, now_ms: int
) -> Row:
    """Writes down a new replay."""
    cursor = db.execute(
        "INSERT INTO replays (destination, request, first_offset, end_offset, next_offset, state, "
        "created_ms) VALUES (?, ?, ?, ?, ?, 'running', ?)",
        (destination, request, first, end, first, now_ms),
    )
    return Row(
        cursor.lastrowid or 0, destination, request, first, end, first, 0, "running", "", now_ms
    )


def finish(db: sqlite3.Connection, id_: int, state: str, detail: str = "") -> None:
    """Writes down that a replay has ended."""
    db.execute("UPDATE replays SET state = ?, detail = ? WHERE id = ?", (state, detail, id_))


def one(db: sqlite3.Connection, id_: int) -> Row | None:
    """Returns the replay with this id, if there is one."""
    row = db.execute(f"SELECT {_COLUMNS} FROM replays WHERE id = ?", (id_,)).fetchone()  # noqa: S608
    return Row(*row) if row else None


def listed(db: sqlite3.Connection, limit: int = 100) -> list[Row]:
    """Returns the newest replays first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM replays ORDER BY id DESC LIMIT ?", (limit,))  # noqa: S608
    return [Row(*row) for row in rows]


def in_lane(
    db: sqlite3.Connection, destination: str, first: int, end: int
) -> list[tuple[int, str]]:
    """Returns offset and queue id of the events from [first, end) that wait in a retry lane."""
    return db.execute(
        "SELECT queue_offset, queue_id FROM waiting WHERE destination = ? AND queue_offset >= ? "
        "AND queue_offset < ?",
        (destination, first, end),
    ).fetchall()
