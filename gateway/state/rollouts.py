"""The SQL of ``rollouts.sqlite``: rollouts, their history, snapshots of both arms, pending alerts.

Rollouts, decisions, snapshots and alerts are JSON here; `gateway.rollouts.store` decodes them.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from gateway.state.connection import create_tables, transaction
from gateway.state.files import open_database

__all__ = [
    "add_alert",
    "add_decision",
    "add_snapshot",
    "alerts",
    "connect",
    "data_version",
    "decisions",
    "delete_alert",
    "every_rollout",
    "one_rollout",
    "postpone_alert",
    "put_rollout",
    "snapshots",
]

_VERSION = 1
_SCHEMA = """
CREATE TABLE rollouts (name TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE decisions (id INTEGER PRIMARY KEY, name TEXT NOT NULL, decision BLOB NOT NULL);
CREATE TABLE snapshots (id INTEGER PRIMARY KEY, name TEXT NOT NULL, snapshot BLOB NOT NULL);
CREATE INDEX snapshots_by_name ON snapshots (name, id);
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_ms INTEGER NOT NULL
);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Opens the file and creates it, with its folder and tables, where there is none.

    Raises:
        sqlite3.Error: it cannot be opened, is damaged, or is of another release.
        OSError: the folder cannot be created.
    """
    return open_database(path, _prepare, synchronous="FULL")


def _prepare(db: sqlite3.Connection) -> None:
    with transaction(db):
        create_tables(db, _SCHEMA, _VERSION)


def data_version(db: sqlite3.Connection) -> int:
    """Returns a number that changes when another connection has changed the file."""
    (version,) = db.execute("PRAGMA data_version").fetchone()
    return int(version)


def every_rollout(db: sqlite3.Connection) -> list[tuple[str, bytes]]:
    """Returns group and state of each rollout."""
    return db.execute("SELECT name, state FROM rollouts").fetchall()


def one_rollout(db: sqlite3.Connection, name: str) -> bytes | None:
    """Returns the state of a group's rollout; None where there is none."""
    row = db.execute("SELECT state FROM rollouts WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def put_rollout(db: sqlite3.Connection, name: str, state: bytes) -> None:
    """Writes the state of a group's rollout."""
    db.execute("INSERT OR REPLACE INTO rollouts VALUES (?, ?)", (name, state))


def add_decision(db: sqlite3.Connection, name: str, decision: bytes, most: int) -> None:
    """Adds to a group's history, and deletes its oldest decisions beyond `most`."""
    _append(db, "decisions", "decision", name, decision, most)


def decisions(db: sqlite3.Connection, name: str) -> list[bytes]:
    """Returns a group's history, the oldest decision first."""
    query = "SELECT decision FROM decisions WHERE name = ? ORDER BY id"
    return [one for (one,) in db.execute(query, (name,))]


def add_snapshot(db: sqlite3.Connection, name: str, snapshot: bytes, most: int) -> None:
    """Adds a snapshot of a group, and deletes its oldest ones beyond `most`."""
    _append(db, "snapshots", "snapshot", name, snapshot, most)


def snapshots(db: sqlite3.Connection, name: str, limit: int) -> list[bytes]:
    """Returns a group's newest snapshots, the oldest of them first."""
    query = "SELECT snapshot FROM snapshots WHERE name = ? ORDER BY id DESC LIMIT ?"
    rows = db.execute(query, (name, limit)).fetchall()
    return [one for (one,) in reversed(rows)]


def add_alert(db: sqlite3.Connection, body: bytes, next_ms: int) -> None:
    """Adds an alert that is due at `next_ms`."""
    db.execute("INSERT INTO alerts (body, next_ms) VALUES (?, ?)", (body, next_ms))


def alerts(db: sqlite3.Connection) -> list[tuple[int, bytes, int, int]]:
    """Returns id, body, attempts and next time of each pending alert, the oldest first."""
    return db.execute("SELECT id, body, attempts, next_ms FROM alerts ORDER BY id").fetchall()


def delete_alert(db: sqlite3.Connection, id_: int) -> None:
    """Deletes an alert."""
    db.execute("DELETE FROM alerts WHERE id = ?", (id_,))


def postpone_alert(db: sqlite3.Connection, id_: int, next_ms: int) -> None:
    """Counts a failed attempt at an alert, and sets its next time."""
    db.execute(
        "UPDATE alerts SET attempts = attempts + 1, next_ms = ? WHERE id = ?", (next_ms, id_)
    )


def _append(
    db: sqlite3.Connection,
    table: Literal["decisions", "snapshots"],
    column: Literal["decision", "snapshot"],
    name: str,
    value: bytes,
    most: int,
) -> None:
    # Names of tables and columns cannot be parameters; these are constants.
    db.execute(f"INSERT INTO {table} (name, {column}) VALUES (?, ?)", (name, value))  # noqa: S608
    db.execute(
        f"DELETE FROM {table} WHERE name = ? AND id <= (SELECT id FROM {table} WHERE name = ? "  # noqa: S608
        "ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (name, name, most),
    )
