"""Users whose events are not taken in: those who asked to be left alone, or to be forgotten.

As Segment's regulations of type SUPPRESS_ONLY and UNSUPPRESS, see
https://segment.com/docs/privacy/user-deletion-and-suppression/: by userId alone, for all sources.

The ids are kept in an SQLite file of their own, so that a command can change them beside a running
gateway; the gateway has them in memory and asks once a second whether the file has changed. What
`add` has returned from survives a power loss. All methods but the lookups block: they are for a
thread.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from gateway.errors import StateError

__all__ = ["FILE_NAME", "Suppressions", "checked"]

FILE_NAME = "suppressed.sqlite"
"""In the data directory."""

_VERSION = 1
_SCHEMA = "CREATE TABLE suppressed (user_id TEXT PRIMARY KEY) WITHOUT ROWID;"


class Suppressions(Collection[str]):
    """Suppressed user ids. As a collection it is what `refresh` has last read, without blocking.

    Each id takes about 150 bytes of memory. There is no bound on their number: only who runs the
    gateway adds to them, and to forget one would be to take in what must not be.

    Args:
        path: of the SQLite file, which the first `add` creates along with its folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, int, int] | None = None

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, user_ids: Iterable[str]) -> int:
        """Suppress users; returns how many were not before.

        Raises:
            ValueError: an id is blank, which no event's is, or has a lone surrogate or a NUL, which
                no event's has.
            StateError: the file cannot be written, or is of another release.
        """
        rows = [(checked(user_id),) for user_id in user_ids]
        return self._change("INSERT OR IGNORE INTO suppressed VALUES (?)", rows)

    def remove(self, user_ids: Iterable[str]) -> int:
        """Take users' events in again from now on; returns how many were suppressed.

        Raises:
            ValueError, StateError: as `add`.
        """
        rows = [(checked(user_id),) for user_id in user_ids]
        if not self._path.exists():
            return 0
        return self._change("DELETE FROM suppressed WHERE user_id = ?", rows)

    def list(self) -> tuple[str, ...]:
        """The ids in the file, sorted.

        Raises:
            StateError: the file cannot be read, or is of another release.
        """
        if not self._path.exists():
            return ()
        with self._explained(), closing(self._open()) as connection:
            return tuple(sorted(_read(connection)))

    def refresh(self) -> bool:
        """Read the ids into memory if the file has changed; returns whether it had.

        A file that is gone suppresses nobody.

        Raises:
            StateError: it cannot be read, or is of another release. What was read before holds.
        """
        with self._lock, self._explained():
            return self._refresh()

    def close(self) -> None:
        """Let go of the file; what was read before holds. Safe twice, and without `refresh`."""
        with self._lock:
            self._forget_file()

    def _refresh(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            changed = bool(self._ids)
            self._forget_file()
            self._ids = frozenset()
            return changed
        # While we hold the old file, one that takes its place has another number.
        file = (found.st_dev, found.st_ino)
        if self._connection is None or self._seen is None or self._seen[:2] != file:
            self._forget_file()
            self._connection = self._open()
        # Asked before reading: what is committed meanwhile is read twice rather than not at all.
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        seen = (*file, version)
        if seen == self._seen:
            return False
        self._ids = frozenset(_read(self._connection))
        self._seen = seen
        return True

    def _forget_file(self) -> None:
        self._seen = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _change(self, statement: str, rows: Iterable[tuple[str]]) -> int:
        # On a connection of its own: `PRAGMA data_version` tells of the changes of others.
        with self._explained():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Who asked to be forgotten is nobody else's business.
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            with closing(self._open()) as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA secure_delete = ON")  # who is removed leaves no trace
                db.execute("BEGIN IMMEDIATE")
                if not _is_ready(db):
                    db.execute(_SCHEMA)
                    db.execute(f"PRAGMA user_version = {_VERSION}")
                changed = db.executemany(statement, rows).rowcount
                db.execute("COMMIT")  # closing without it rolls back
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return max(0, changed)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=5.0,
            isolation_level=None,
            check_same_thread=False,  # the lock sees to it
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, _WrongVersion) as error:
            raise StateError(f"{self._path}: {error}") from error


class _WrongVersion(Exception):
    pass


def _is_ready(connection: sqlite3.Connection) -> bool:
    """Whether the file has its table; one that is just being made has none yet."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise _WrongVersion(f"has version {version}, this release reads {_VERSION}")
    return bool(version)


def _read(connection: sqlite3.Connection) -> Iterable[str]:
    if not _is_ready(connection):
        return ()
    return (user_id for (user_id,) in connection.execute("SELECT user_id FROM suppressed"))


def checked(user_id: str) -> str:
    """The id, if events can have it.

    Raises:
        ValueError: it is blank, or no text.
    """
    if not user_id or user_id.isspace():
        raise ValueError("a user id is blank")
    if "\0" in user_id or any("\ud800" <= char <= "\udfff" for char in user_id):
        raise ValueError(f"the user id {user_id!r} is not text in UTF-8 without NUL")
    return user_id
