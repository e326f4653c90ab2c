"""SQLite files that several processes open."""

from __future__ import annotations

import sqlite3
import time

__all__ = ["use_wal"]

_SECONDS = 10.0
_PAUSE_SECONDS = 0.01


def use_wal(db: sqlite3.Connection) -> None:
    """Gives a file a write-ahead log, also while other processes do the same.

    SQLite does not wait for the lock that this change needs, whatever the time-out of the
    connection: of two processes that open a new file, one would fail with ``database is locked``.

    Raises:
        sqlite3.Error: the file is locked for longer, or is damaged.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
