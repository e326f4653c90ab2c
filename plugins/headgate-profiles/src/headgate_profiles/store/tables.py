"""The tables of the graph, and opening the file.

===========  =====================================================================================
identifiers  each identifier, its profile, the time of its first fact and that of its last
facts        the log: sets of identifiers that were seen together, each once, at its first time
members      for each identifier its facts, those that joined it apart from those that did not
refusals     identifiers that a rule left out of a fact
met          how many different people an identifier was seen with, up to the bound
merges       how often profiles became one, for those that did
choices      merges and partings by a person, in their order
cursors      for each queue, the offset up to which its events are in the graph
counters     the last number of an identifier, and how often profiles changed or were erased
===========  =====================================================================================

Only `facts` and `choices` say something of their own; the rest can be made from them anew. What
people did and what is known of them stands in the same file: `headgate_profiles.traits.tables`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway import GatewayError, open_database
from headgate_profiles.traits.tables import KEPT

__all__ = ["GraphError", "open_graph", "open_to_read"]

_VERSION = 1

_TABLES = (
    """CREATE TABLE identifiers (
        number INTEGER PRIMARY KEY, type TEXT NOT NULL, value TEXT NOT NULL,
        profile INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
        common INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE UNIQUE INDEX identifiers_by_value ON identifiers (value, type)",
    "CREATE INDEX identifiers_by_profile ON identifiers (profile)",
    """CREATE TABLE facts (
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, message_id TEXT NOT NULL,
        members BLOB NOT NULL, forced INTEGER NOT NULL, kept INTEGER NOT NULL,
        joined INTEGER NOT NULL
    )""",
    "CREATE UNIQUE INDEX facts_by_members ON facts (members, forced)",
    """CREATE TABLE members (
        identifier INTEGER NOT NULL, kept INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        fact INTEGER NOT NULL, PRIMARY KEY (identifier, kept, at_ms, fact)
    ) WITHOUT ROWID""",
    """CREATE TABLE refusals (
        identifier INTEGER NOT NULL, at_ms INTEGER NOT NULL, fact INTEGER NOT NULL,
        reason TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (identifier, at_ms, fact)
    ) WITHOUT ROWID""",
    """CREATE TABLE met (
        identifier INTEGER NOT NULL, type TEXT NOT NULL, other INTEGER NOT NULL,
        PRIMARY KEY (identifier, type, other)
    ) WITHOUT ROWID""",
    "CREATE INDEX met_by_other ON met (other)",
    "CREATE TABLE merges (profile INTEGER PRIMARY KEY, merges INTEGER NOT NULL)",
    """CREATE TABLE choices (
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,
        first INTEGER NOT NULL, second INTEGER NOT NULL
    )""",
    "CREATE TABLE cursors (queue_id TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO counters VALUES ('changes', 0), ('erasures', 0), ('numbers', 0)",
    *KEPT,
)


class GraphError(GatewayError):
    """The graph cannot be used; the text is for a person."""


def open_graph(path: Path) -> sqlite3.Connection:
    """Opens the file for writing; it is made if there is none.

    Raises:
        GraphError: it is of a newer release.
        sqlite3.Error, OSError: it cannot be opened, or is damaged.
    """
    return open_database(path, lambda db: _prepare(db, path), synchronous="FULL")


def open_to_read(path: Path) -> sqlite3.Connection:
    """Opens the file for reading alone.

    Raises:
        GraphError: there is none, or it is of a newer release.
    """
    if not path.is_file():
        raise GraphError(f"{path}: there is no identity graph yet: no event has been written to it")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, timeout=20.0, isolation_level=None, check_same_thread=False)
    try:
        if not _has_tables(db, path):
            raise GraphError(f"{path}: is empty; it is no identity graph")
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA secure_delete = ON")  # erased people are overwritten, not only unlinked
    if _has_tables(db, path):
        return  # without a lock, for which a busy worker could make others wait for long
    db.execute("BEGIN IMMEDIATE")
    try:
        if not _has_tables(db, path):
            for statement in _TABLES:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _has_tables(db: sqlite3.Connection, path: Path) -> bool:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > _VERSION:
        raise GraphError(
            f"{path}: a newer release wrote it (version {found}, this one reads up to {_VERSION})"
        )
    return bool(found)
