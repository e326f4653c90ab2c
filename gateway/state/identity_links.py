"""The SQL of ``identity.sqlite``: which visitor each userId belongs to.

`links` numbers its rows in the order in which they were written, so that each worker can read
what the others have added. `erasures` counts erasures: a worker that finds another number reads all
links again. `marks` says up to which offset each shard's queue has been read for links.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from gateway.events.subjects import Subjects
from gateway.state.connection import create_tables, transaction
from gateway.state.files import open_database

__all__ = ["add", "connect", "erase", "erasures", "links_after", "mark"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE links (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL UNIQUE,
    visitor TEXT NOT NULL
);
CREATE TABLE marks (      -- events of that queue before the offset have been read
    shard INTEGER PRIMARY KEY,
    queue_id TEXT NOT NULL,
    next_offset INTEGER NOT NULL
);
CREATE TABLE erasures (number INTEGER NOT NULL);
INSERT INTO erasures VALUES (0);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Opens the file and creates it, with its folder and tables, where there is none.

    Raises:
        sqlite3.Error: it cannot be opened, is damaged, or is of another release.
        OSError: it cannot be created.
    """
    return open_database(path, _prepare)


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA secure_delete = ON")  # erased ids leave no trace in the file
    db.execute("PRAGMA temp_store = MEMORY")
    with transaction(db):  # of several workers, one creates the tables
        create_tables(db, _SCHEMA, _VERSION)


def erasures(db: sqlite3.Connection) -> int:
    """Returns how often links have been erased."""
    (number,) = db.execute("SELECT number FROM erasures").fetchone()
    return int(number)


def links_after(db: sqlite3.Connection, number: int) -> list[tuple[int, str, str]]:
    """Returns number, userId and visitor of each link with a higher number, in order."""
    query = "SELECT number, user, visitor FROM links WHERE number > ? ORDER BY number"
    return db.execute(query, (number,)).fetchall()


def add(
    db: sqlite3.Connection,
    links: Iterable[tuple[str, str]],
    shard: int,
    queue_id: str,
    next_offset: int,
) -> None:
    """Adds links for users that have none, and moves a shard's mark, in one transaction."""
    with transaction(db):
        db.executemany("INSERT OR IGNORE INTO links (user, visitor) VALUES (?, ?)", links)
        db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (shard, queue_id, next_offset))


def mark(db: sqlite3.Connection, shard: int) -> tuple[str, int] | None:
    """Returns queue id and offset of a shard's mark; None for a shard without one."""
    query = "SELECT queue_id, next_offset FROM marks WHERE shard = ?"
    found: tuple[str, int] | None = db.execute(query, (shard,)).fetchone()
    return found


def erase(db: sqlite3.Connection, subjects: Subjects) -> int:
    """Deletes links of the subjects, as users and as visitors; returns how many."""
    with transaction(db):
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
    return found
