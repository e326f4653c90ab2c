"""The SQL of ``suppressed.sqlite``: ids of users whose events are refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from gateway.state.connection import create_tables, has_tables, transaction, truncate_journal
from gateway.state.files import open_database

__all__ = ["add", "connect", "connect_to_existing", "data_version", "every_id", "remove"]

_VERSION = 1
_SCHEMA = "CREATE TABLE suppressed (user_id TEXT PRIMARY KEY) WITHOUT ROWID;"


def connect(path: Path) -> sqlite3.Connection:
    """Opens the file to change it, and creates it, with its folder and tables, if there is none.

    Raises:
        sqlite3.Error: it cannot be opened, is damaged, or is of another release.
        OSError: it cannot be created.
    """
    return open_database(path, _prepare, synchronous="FULL")


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA secure_delete = ON")  # removed ids leave no trace in the file
    with transaction(db):
        create_tables(db, _SCHEMA, _VERSION)


def connect_to_existing(path: Path) -> sqlite3.Connection:
    """Opens a file that exists, to read it; it may be one without tables."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=5.0,
        isolation_level=None,
        check_same_thread=False,  # callers hold a lock
    )


def data_version(db: sqlite3.Connection) -> int:
    """Returns a number that changes when another connection has changed the file."""
    (version,) = db.execute("PRAGMA data_version").fetchone()
    return int(version)


def every_id(db: sqlite3.Connection) -> Iterable[str]:
    """Returns all ids.

    Raises:
        sqlite3.Error: the file cannot be read, or is of another release.
    """
    if not has_tables(db, _VERSION):
        return ()
    return (user_id for (user_id,) in db.execute("SELECT user_id FROM suppressed"))


def add(db: sqlite3.Connection, user_ids: Iterable[str]) -> int:
    """Adds ids; returns how many are new."""
    return _change(db, "INSERT OR IGNORE INTO suppressed VALUES (?)", user_ids)


def remove(db: sqlite3.Connection, user_ids: Iterable[str]) -> int:
    """Removes ids; returns how many there were."""
    return _change(db, "DELETE FROM suppressed WHERE user_id = ?", user_ids)


def _change(db: sqlite3.Connection, statement: str, user_ids: Iterable[str]) -> int:
    with transaction(db):
        changed = db.executemany(statement, [(user_id,) for user_id in user_ids]).rowcount
    truncate_journal(db)
    return max(0, changed)
