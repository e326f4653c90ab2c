"""Where rollouts are kept: an SQLite file that commands may change beside a running gateway.

A decision, its entry in the history and the alert about it are one transaction: after a kill all of
it is there or nothing. `act` reads and writes in one transaction too, so that two who decide at the
same time decide one after the other. The gateway asks now and then whether the file has changed.
All methods block: they are for a thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from gateway.errors import StateError
from gateway.rollouts.guardrails import Finding
from gateway.rollouts.machine import Decision, Rollout

__all__ = [
    "FILE_NAME",
    "MOST_DECISIONS",
    "MOST_SNAPSHOTS",
    "Change",
    "Pending",
    "RolloutStore",
    "Snapshot",
]

FILE_NAME = "rollouts.sqlite"
"""In the data directory."""

MOST_SNAPSHOTS = 2_000
"""Of each group; beyond it the oldest are forgotten."""

MOST_DECISIONS = 1_000
"""Of each group; beyond it the oldest are forgotten."""

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

Change: TypeAlias = Callable[[Rollout | None], tuple[Rollout, Decision | None]]
"""What makes of a rollout as it is, or of None, the one that is to be, with what was decided."""


class Snapshot(Struct, frozen=True):
    """What was known of both arms at some time.

    Attributes:
        users: in the test arm and in the control arm.
        findings: of each guardrail.
    """

    at_ms: int
    percent: float
    series: int
    users: tuple[int, int]
    findings: list[Finding]


class Pending(Struct, frozen=True):
    """An alert that has not arrived yet."""

    id: int
    body: bytes
    attempts: int
    next_ms: int


class RolloutStore:
    """The file.

    Args:
        path: of the SQLite file, which the first change creates.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._version = -1

    def changed(self) -> bool:
        """Whether others have changed the file since the last call; True at the first one."""
        with self._using() as db:
            (version,) = db.execute("PRAGMA data_version").fetchone()
            before, self._version = self._version, int(version)
            return before != self._version

    def all(self) -> dict[str, Rollout]:
        """All rollouts there are, by their groups."""
        with self._using() as db:
            rows = db.execute("SELECT name, state FROM rollouts")
            return {name: msgspec.json.decode(state, type=Rollout) for name, state in rows}

    def change(
        self, name: str, change: Change, alert: Callable[[Decision], bytes | None] | None = None
    ) -> tuple[Rollout, Decision | None]:
        """Decide about a rollout, alone.

        Args:
            change: is given the rollout as it is, and gives it as it is to be with what was
                decided. What it raises is passed on, and nothing changes.
            alert: the alert to send about a decision.
        """
        with self._using() as db, _transaction(db):
            row = db.execute("SELECT state FROM rollouts WHERE name = ?", (name,)).fetchone()
            before = None if row is None else msgspec.json.decode(row[0], type=Rollout)
            after, decision = change(before)
            db.execute(
                "INSERT OR REPLACE INTO rollouts VALUES (?, ?)", (name, msgspec.json.encode(after))
            )
            if decision is not None:
                _append(db, "decisions", "decision", name, decision, MOST_DECISIONS)
                body = None if alert is None else alert(decision)
                if body is not None:
                    db.execute(
                        "INSERT INTO alerts (body, next_ms) VALUES (?, ?)", (body, decision.at_ms)
                    )
        return after, decision

    def decisions(self, name: str) -> list[Decision]:
        """The history of a rollout, the oldest first."""
        query = "SELECT decision FROM decisions WHERE name = ? ORDER BY id"
        with self._using() as db:
            return [
                msgspec.json.decode(one, type=Decision) for (one,) in db.execute(query, (name,))
            ]

    def add_snapshot(self, name: str, snapshot: Snapshot) -> None:
        """Keep what was known."""
        with self._using() as db, _transaction(db):
            _append(db, "snapshots", "snapshot", name, snapshot, MOST_SNAPSHOTS)

    def snapshots(self, name: str, limit: int = MOST_SNAPSHOTS) -> list[Snapshot]:
        """The newest snapshots of a rollout, the oldest of them first."""
        query = "SELECT snapshot FROM snapshots WHERE name = ? ORDER BY id DESC LIMIT ?"
        with self._using() as db:
            rows = db.execute(query, (name, limit)).fetchall()
            return [msgspec.json.decode(one, type=Snapshot) for (one,) in reversed(rows)]

    def pending(self) -> list[Pending]:
        """Alerts that have not arrived, the oldest first."""
        with self._using() as db:
            rows = db.execute("SELECT id, body, attempts, next_ms FROM alerts ORDER BY id")
            return [Pending(*row) for row in rows]

    def settle(self, id_: int) -> None:
        """An alert has arrived, or is given up."""
        with self._using() as db:
            db.execute("DELETE FROM alerts WHERE id = ?", (id_,))

    def postpone(self, id_: int, next_ms: int) -> None:
        """An attempt at an alert has failed."""
        with self._using() as db:
            db.execute(
                "UPDATE alerts SET attempts = attempts + 1, next_ms = ? WHERE id = ?",
                (next_ms, id_),
            )

    def close(self) -> None:
        """Let go of the file. Safe twice, and without any other call."""
        with self._lock:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time.

        Raises:
            StateError: the file cannot be used, or is of another release.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _open(self._path)
                yield self._connection
            except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
                raise StateError(f"{self._path}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        with _transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise StateError(
                    f"{path} has version {version}, this release reads {_VERSION}: start the "
                    "release that wrote it"
                )
            if not version:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _append(
    db: sqlite3.Connection, table: str, column: str, name: str, value: Struct, most: int
) -> None:
    """Add a row, and forget the oldest of the same name beyond a bound."""
    # Names of tables cannot be parameters; these are ours.
    db.execute(
        f"INSERT INTO {table} (name, {column}) VALUES (?, ?)",  # noqa: S608
        (name, msgspec.json.encode(value)),
    )
    db.execute(
        f"DELETE FROM {table} WHERE name = ? AND id <= (SELECT id FROM {table} WHERE name = ? "  # noqa: S608
        "ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (name, name, most),
    )
