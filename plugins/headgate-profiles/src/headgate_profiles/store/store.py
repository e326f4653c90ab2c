"""The graph of one gateway: all its workers write to the same file, and take turns."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headgate_profiles.graph.rules import Rules
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store.session import Session
from headgate_profiles.store.tables import GraphError, open_graph, open_to_read

__all__ = ["Store"]

_SCRUB_ATTEMPTS = 5
_SCRUB_AGAIN_SECONDS = 0.2


class Store:
    """An identity graph in a file. One thread at a time uses it.

    Args:
        path: the file; `open` makes it and its folder.
        reads: open it for reading alone.
    """

    def __init__(self, path: Path, rules: Rules, *, reads: bool = False) -> None:
        self.path = path
        self.rules = rules
        self._reads = reads
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def open(self) -> None:
        """Opens the file; does nothing if it is open.

        Raises:
            GraphError: it is missing, of a newer release, or no identity graph.
            sqlite3.Error, OSError: it cannot be opened, or is damaged.
        """
        if self._connection is None:
            self._connection = open_to_read(self.path) if self._reads else open_graph(self.path)
            self._file = self._found()

    def close(self) -> None:
        """Closes the file; safe twice."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    @property
    def db(self) -> sqlite3.Connection:
        """The open connection."""
        if self._connection is None:
            raise GraphError(f"{self.path} is not open")
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Runs a transaction, with the write lock from its begin.

        Raises:
            GraphError: the file was moved or removed.
        """
        db = self.db
        if self._found() != self._file:
            raise GraphError(f"{self.path}: was moved or removed while the gateway runs")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield Session(db, self.rules)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def scrub(self) -> None:
        """Takes what was erased out of the journal; the file itself is overwritten already.

        Raises:
            sqlite3.OperationalError: another process still reads it.
        """
        for left in reversed(range(_SCRUB_ATTEMPTS)):
            busy, _, _ = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            if left:
                time.sleep(_SCRUB_AGAIN_SECONDS)
        busy_error = sqlite3.OperationalError("the journal is being read by another process")
        busy_error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise busy_error

    def resolve(self, one: Identifier) -> int | None:
        """Returns the profile of an identifier; None if it was never seen."""
        row = self.db.execute(
            "SELECT profile FROM identifiers WHERE value = ? AND type = ?", (one.value, one.type)
        ).fetchone()
        return None if row is None else int(row[0])

    def person(self, ids: Sequence[Identifier], at_ms: int) -> int | None:
        """Returns the profile that an event belongs to; None if nobody knows whose it is.

        The identifier that says most decides. A device that several users share is its first
        user's until the second one is seen. From then on it alone says nothing, and neither does
        an identifier that many people share.

        Args:
            ids: the identifiers of the event, the one that says most first.
            at_ms: when the gateway received it.
        """
        for one in ids:
            row = self.db.execute(
                "SELECT profile, common, (SELECT min(at_ms) FROM refusals "
                "WHERE identifier = number AND reason = 'other_user') "
                "FROM identifiers WHERE value = ? AND type = ?",
                (one.value, one.type),
            ).fetchone()
            if row is None:
                continue
            profile, common, shared_ms = row
            is_shared = one.type != "user_id" and shared_ms is not None and at_ms >= shared_ms
            if not common and not is_shared:
                return int(profile)
        return None

    def identifiers(self, profile: int) -> list[Identifier]:
        """Returns the identifiers of a profile, the one that says most first."""
        rows = self.db.execute("SELECT type, value FROM identifiers WHERE profile = ?", (profile,))
        return list(self.rules.kinds.sort({Identifier(*row) for row in rows.fetchall()}))

    def counters(self) -> tuple[int, int]:
        """Returns how often profiles have changed, and how often people were erased."""
        rows: Iterable[tuple[str, int]] = self.db.execute("SELECT name, value FROM counters")
        found = dict(rows)
        return found["changes"], found["erasures"]

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
