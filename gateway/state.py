"""What must outlive the process and is not an event waiting in the queue: an SQLite file.

One row for each destination's cursor and counts, the events that wait in its retry lane, and the
dead letters. A commit moves the cursor, adds to the counts and moves events into the lane or to the
dead letters in one transaction, so that after a crash they agree with each other to the event. The
journal is a write-ahead log with ``synchronous = NORMAL``: a killed process loses nothing; a power
loss may take back the newest commits, and those events are delivered again, as at-least-once
allows.

All access goes through one thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from gateway.errors import StateError
from gateway.event import Event, encode_events
from gateway.ledger import DestinationCounts

__all__ = ["Commit", "DeadLetter", "State", "Waiting"]

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
CREATE TABLE waiting (
    destination TEXT NOT NULL,
    queue_offset INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    alone INTEGER NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (destination, queue_offset)
);
CREATE INDEX waiting_by_time ON waiting (destination, next_ms);
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

    @classmethod
    def of(
        cls,
        event: Event,
        offset: int,
        reason: str,
        detail: str,
        attempts: int,
        first_ms: int,
        last_ms: int,
    ) -> DeadLetter:
        """The dead letter of an event."""
        return cls(
            offset,
            event.source_id,
            event.message_id,
            reason,
            detail,
            attempts,
            first_ms,
            last_ms,
            encode_events([event])[1:-1],
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event in the retry lane.

    Attributes:
        attempts: those that failed through the event's own fault.
        next_ms: when it is due.
        alone: whether it is to be sent on its own, as batches with it have failed.
        event: as stored in the queue, a JSON object.
    """

    offset: int
    source_id: str
    message_id: str
    detail: str
    attempts: int
    first_ms: int
    last_ms: int
    next_ms: int
    alone: bool
    event: bytes

    @classmethod
    def of(
        cls,
        event: Event,
        offset: int,
        *,
        detail: str,
        attempts: int,
        first_ms: int,
        last_ms: int,
        next_ms: int,
        alone: bool = False,
    ) -> Waiting:
        """The entry of an event."""
        stored = encode_events([event])[1:-1]
        return cls(
            offset,
            event.source_id,
            event.message_id,
            detail,
            attempts,
            first_ms,
            last_ms,
            next_ms,
            alone,
            stored,
        )

    def later(self, last_ms: int, next_ms: int, attempts: int, detail: str, alone: bool) -> Waiting:
        """The entry after another attempt."""
        return replace(
            self, last_ms=last_ms, next_ms=next_ms, attempts=attempts, detail=detail, alone=alone
        )

    def dead(self, reason: str) -> DeadLetter:
        """The entry as a dead letter."""
        return DeadLetter(
            self.offset,
            self.source_id,
            self.message_id,
            reason,
            self.detail,
            self.attempts,
            self.first_ms,
            self.last_ms,
            self.event,
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """The end of some events for one destination, or of an attempt at them.

    Attributes:
        cursor: offset of the next event that the destination needs; None leaves it where it is.
        lost: events that were damaged in the queue; counted as dead, with nothing left to keep.
        waiting: events that are in the retry lane from now on, or are there with another time.
        settled: offsets of events that leave the retry lane.
    """

    destination: str
    cursor: int | None = None
    delivered: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    dead: Sequence[DeadLetter] = ()
    lost: int = 0
    waiting: Sequence[Waiting] = ()
    settled: Sequence[int] = ()

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
        self._stopped = False

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
        self._stopped = True
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

    async def standing(self, destination: str) -> tuple[int, Counter[str]]:
        """How many events are in a destination's retry lane, and how many are dead, by reason."""
        return await self._run(self._read_standing, destination)

    async def due(
        self, destination: str, now_ms: int, limit: int
    ) -> tuple[list[Waiting], int | None]:
        """Events of the retry lane whose time has come; if none has, the time of the next one."""
        return await self._run(self._read_due, destination, now_ms, limit)

    async def _run(self, work: Callable[..., _T], *args: object) -> _T:
        if self._stopped:
            raise StateError(f"{self._path} is closed")
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
            if commit.cursor is not None:
                db.execute(
                    "INSERT INTO cursors VALUES (?, ?) "
                    "ON CONFLICT (destination) DO UPDATE SET next_offset = excluded.next_offset",
                    (commit.destination, commit.cursor),
                )
            db.executemany(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?) "
                "ON CONFLICT (destination, outcome, reason) "
                "DO UPDATE SET events = events + excluded.events",
                [(commit.destination, *outcome) for outcome in outcomes if outcome[2]],
            )
            db.executemany(
                "INSERT INTO dead_letters (destination, queue_offset, source_id, message_id, "
                "reason, detail, attempts, first_ms, last_ms, event) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(commit.destination, *_row(letter)) for letter in commit.dead],
            )
            db.executemany(
                "DELETE FROM waiting WHERE destination = ? AND queue_offset = ?",
                [(commit.destination, offset) for offset in commit.settled],
            )
            db.executemany(
                "INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(commit.destination, *_row(entry)) for entry in commit.waiting],
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

    def _read_standing(self, destination: str) -> tuple[int, Counter[str]]:
        db = self._db
        query = "SELECT count(*) FROM waiting WHERE destination = ?"
        (waiting,) = db.execute(query, (destination,)).fetchone()
        query = "SELECT reason, events FROM outcomes WHERE destination = ? AND outcome = 'dead'"
        dead = {reason: events for reason, events in db.execute(query, (destination,)) if events}
        return int(waiting), Counter(dead)

    def _read_due(
        self, destination: str, now_ms: int, limit: int
    ) -> tuple[list[Waiting], int | None]:
        rows = self._db.execute(
            "SELECT queue_offset, source_id, message_id, detail, attempts, first_ms, last_ms, "
            "next_ms, alone, event FROM waiting WHERE destination = ? "
            "ORDER BY next_ms, queue_offset LIMIT ?",
            (destination, limit),
        )
        entries = [Waiting(*(*row[:8], bool(row[8]), row[9])) for row in rows]
        due = [entry for entry in entries if entry.next_ms <= now_ms]
        return due, entries[0].next_ms if entries and not due else None


def _row(entry: DeadLetter | Waiting) -> tuple[object, ...]:
    """Its fields in the order of the table's columns."""
    return astuple(entry)
