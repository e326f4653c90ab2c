"""What must outlive the process and is not an event waiting in the queue: an SQLite file.

One row for each destination's cursor and counts, and the dead letters. A commit moves the cursor,
adds to the counts and stores dead letters in one transaction, so that after a crash the three agree
with each other to the event. The journal is a write-ahead log with ``synchronous = NORMAL``: a
killed process loses nothing; a power loss may take back the newest commits, and those events are
delivered again, as at-least-once allows.

All access goes through one thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gateway.errors import StateError
from gateway.ledger import DestinationCounts

__all__ = ["Commit", "DeadLetter", "State"]

_T = TypeVar("_T")
_VERSION = 1
_SCHEMA = """
CREATE TABLE cursors (destination TEXT PRIMARY KEY, next_offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE outcomes (
    destination TEXT NOT NULL,
    outcome TEXT NOT NULL,     -- delivered, filtered or dead
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (destination, outcome, reason)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    queue_offset INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    event BLOB NOT NULL
);
CREATE INDEX dead_letters_by_destination ON dead_letters (destination, last_ms);
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a destination will not get, and why.

    Attributes:
        reason: a short class of failure, for counting: ``rejected``, ``expired``, ``transform``.
        detail: the error in words, without secrets.
        event: as stored in the queue, a JSON object.
    """

    offset: int
    source_id: str
    message_id: str
    reason: str
    detail: str
    attempts: int
    first_ms: int
    last_ms: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """The end of some events for one destination.

    Attributes:
        cursor: offset of the next event that the destination needs.
        lost: events that were damaged in the queue; counted as dead, with nothing left to keep.
    """

    destination: str
    cursor: int
    delivered: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    dead: Sequence[DeadLetter] = ()
    lost: int = 0

    def dead_counts(self) -> Counter[str]:
        """Reason to number of dead events."""
        counts = Counter(letter.reason for letter in self.dead)
        if self.lost:
            counts["damaged"] += self.lost
        return counts


class State:
    """The state store.

    Args:
        path: of the SQLite file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None

    async def start(self) -> None:
        """Open the file, creating it where there is none.

        Raises:
            StateError: it cannot be opened, is damaged, or is of another release.
        """
        await self._run(self._open)

    async def stop(self) -> None:
        """Close the file. Safe twice and without `start`."""
        if self._connection is not None:
            await self._run(self._close)
        self._thread.shutdown()

    async def cursors(self) -> dict[str, int]:
        """Cursor of each destination that ever had one."""
        return await self._run(self._read_cursors)

    async def counts(self) -> dict[str, DestinationCounts]:
        """Counts of each destination over all runs."""
        return await self._run(self._read_counts)

    async def commit(self, commit: Commit) -> None:
        """Write a commit, all of it or nothing."""
        await self._run(self._commit, commit)

    async def dead_letters(self, destination: str, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters of a destination."""
        return await self._run(self._read_dead_letters, destination, limit)

    async def _run(self, work: Callable[..., _T], *args: object) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, *args)
        except sqlite3.Error as error:
            raise StateError(f"{self._path}: {error}") from error

    def _open(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA busy_timeout = 5000")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
                )
            elif version != _VERSION:
                raise StateError(
                    f"{self._path} has version {version}, this release reads {_VERSION}"
                )
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self._path} is not open")
        return self._connection

    def _read_cursors(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT destination, next_offset FROM cursors"))

    def _read_counts(self) -> dict[str, DestinationCounts]:
        counts: dict[str, DestinationCounts] = {}
        rows = self._db.execute("SELECT destination, outcome, reason, events FROM outcomes")
        for destination, outcome, reason, events in rows:
            entry = counts.setdefault(destination, DestinationCounts())
            if outcome == "delivered":
                entry.delivered = events
            elif outcome == "filtered":
                entry.filtered[reason] = events
            else:
                entry.dead[reason] = events
        return counts

    def _commit(self, commit: Commit) -> None:
        outcomes = [("delivered", "", commit.delivered)]
        outcomes += [("filtered", rule, number) for rule, number in commit.filtered.items()]
        outcomes += [("dead", reason, number) for reason, number in commit.dead_counts().items()]
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(
                "INSERT INTO cursors VALUES (?1, ?2) "
                "ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
                (commit.destination, commit.cursor),
            )
            db.executemany(
                "INSERT INTO outcomes VALUES (?1, ?2, ?3, ?4) "
                "ON CONFLICT DO UPDATE SET events = events + excluded.events",
                [(commit.destination, *outcome) for outcome in outcomes if outcome[2]],
            )
            db.executemany(
                "INSERT INTO dead_letters (destination, queue_offset, source_id, message_id, "
                "reason, detail, attempts, first_ms, last_ms, event) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        commit.destination,
                        letter.offset,
                        letter.source_id,
                        letter.message_id,
                        letter.reason,
                        letter.detail,
                        letter.attempts,
                        letter.first_ms,
                        letter.last_ms,
                        letter.event,
                    )
                    for letter in commit.dead
                ],
            )
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def _read_dead_letters(self, destination: str, limit: int) -> list[DeadLetter]:
        rows = self._db.execute(
            "SELECT queue_offset, source_id, message_id, reason, detail, attempts, "
            "first_ms, last_ms, event FROM dead_letters WHERE destination = ? "
            "ORDER BY id DESC LIMIT ?",
            (destination, limit),
        )
        return [DeadLetter(*row) for row in rows]
