"""Helpers for SQLite connections: transactions, table versions and emptying the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

__all__ = ["WrongVersion", "create_tables", "has_tables", "transaction", "truncate_journal"]


class WrongVersion(sqlite3.DatabaseError):
    """Another release wrote the file."""


@contextmanager
def transaction(
    db: sqlite3.Connection, kind: Literal["DEFERRED", "IMMEDIATE"] = "IMMEDIATE"
) -> Iterator[None]:
    """Runs a transaction: commits it on leaving, and rolls it back on an error."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def has_tables(db: sqlite3.Connection, version: int) -> bool:
    """Tells whether the tables of this version exist; a new file has none.

    Raises:
        WrongVersion: the file has tables of another version.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found not in (0, version):
        raise WrongVersion(f"has version {found}, this release reads {version}")
    return bool(found)


def create_tables(db: sqlite3.Connection, schema: str, version: int) -> None:
    """Creates the tables of a new file, within the caller's transaction.

    Args:
        schema: statements, separated by semicolons.

    Raises:
        WrongVersion: the file has tables of another version.
    """
    if not has_tables(db, version):
        for statement in filter(str.strip, schema.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")


def truncate_journal(db: sqlite3.Connection) -> bool:
    """Empties the write-ahead log; False while another process reads it."""
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
