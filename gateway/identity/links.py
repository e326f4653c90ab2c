"""Which visitor each userId belongs to, in an SQLite file that the workers of a gateway share.

A link is written once: who comes second finds the first one. Rows are numbered in the order in
which they were written, so that a worker reads what others have added; what is erased is counted,
and whoever finds that count changed reads all of them again.

The file also says up to where the queue of each shard has been learned from. Both are written in
one transaction, so that what a crash or a power loss takes back of the links is learned again from
the queue. All methods block: they are for one thread.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from gateway.errors import StateError
from gateway.events.subjects import Subjects

__all__ = ["FILE_NAME", "LinkFile", "Mark", "News"]

FILE_NAME = "identity.sqlite"
"""In the data directory."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE links (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL UNIQUE,
    visitor TEXT NOT NULL
);
CREATE TABLE marks (      -- events of that queue before the offset have been learned from
    shard INTEGER PRIMARY KEY,
    queue_id TEXT NOT NULL,
    next_offset INTEGER NOT NULL
);
CREATE TABLE erasures (number INTEGER NOT NULL);
INSERT INTO erasures VALUES (0);
"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_ADVICE = (
    "; restore the file from a copy, or move it away to begin anew: users are then linked again "
    "when they are next seen with an anonymousId"
)
_SCRUB_ATTEMPTS = 5
_SCRUB_AGAIN_SECONDS = 0.2


class Mark(NamedTuple):
    """Up to where a shard's queue has been learned from."""

    queue_id: str
    offset: int


class News(NamedTuple):
    """Links of the file.

    Attributes:
        links: userId to visitor.
        anew: they are all that there are; else those that were not read before.
    """

    links: dict[str, str]
    anew: bool


class LinkFile:
    """The file.

    Args:
        path: it is made by the first `open`, along with its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._read = 0
        self._erasures = -1

    def open(self) -> None:
        """Open the file, making it where there is none.

        Raises:
            StateError: it cannot be opened, or is of another release.
        """
        if self._connection is not None:
            return
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Who is who is nobody else's business.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL, 0o600))
            self._connection = _connect(self.path)
        self._read, self._erasures = 0, -1

    def close(self) -> None:
        """Let go of it. Safe twice and without `open`."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def news(self) -> News:
        """What the file has that was not read before."""
        with self._explained(), self._transaction("DEFERRED") as db:
            (erasures,) = db.execute("SELECT number FROM erasures").fetchone()
            anew = erasures != self._erasures
            rows = db.execute(
                "SELECT number, user, visitor FROM links WHERE number > ? ORDER BY number",
                (0 if anew else self._read,),
            ).fetchall()
        self._erasures = erasures
        if rows:
            self._read = rows[-1][0]
        return News({user: visitor for _, user, visitor in rows}, anew)

    def add(self, links: Iterable[tuple[str, str]], shard: int, mark: Mark) -> None:
        """Add links of users who have none, and say how far a shard has come."""
        with self._explained(), self._transaction("IMMEDIATE") as db:
            db.executemany("INSERT OR IGNORE INTO links (user, visitor) VALUES (?, ?)", links)
            db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (shard, *mark))

    def mark(self, shard: int) -> Mark | None:
        """How far a shard has come; None if nothing was ever learned from it."""
        with self._explained(), self._transaction("DEFERRED") as db:
            query = "SELECT queue_id, next_offset FROM marks WHERE shard = ?"
            row = db.execute(query, (shard,)).fetchone()
        return None if row is None else Mark(*row)

    def erase(self, subjects: Subjects) -> int:
        """Take out the links of users, and those to visitors, who are to be forgotten.

        Returns:
            How many there were. By then no byte of the file names them, nor of its journal.
        """
        with self._explained(), self._transaction("IMMEDIATE") as db:
            db.execute("CREATE TEMP TABLE them (id TEXT PRIMARY KEY, is_user INTEGER)")
            everybody = subjects.users | subjects.anonymous
            rows = [(id_, id_ in subjects.users) for id_ in everybody]
            db.executemany("INSERT INTO temp.them VALUES (?, ?)", rows)
            found = db.execute(
                "DELETE FROM links WHERE user IN (SELECT id FROM temp.them WHERE is_user) "
                "OR visitor IN (SELECT id FROM temp.them)"
            ).rowcount
            db.execute("DROP TABLE temp.them")
            db.execute("UPDATE erasures SET number = number + 1")
        for _attempt in range(_SCRUB_ATTEMPTS):
            with self._explained():
                busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return found
            time.sleep(_SCRUB_AGAIN_SECONDS)
        raise StateError(f"{self.path}: its journal is being read by another process")

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self.path} is not open")
        return self._connection

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        db = self._db
        db.execute(f"BEGIN {kind}")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            advice = _ADVICE if code & 0xFF in _DAMAGED else ""
            raise StateError(f"{self.path}: {error}{advice}") from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")  # who is erased leaves no trace
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("BEGIN IMMEDIATE")  # of several workers, one makes the tables
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise StateError(f"{path}: has version {version}, this release reads {_VERSION}")
        if not version:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db
