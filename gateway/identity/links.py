"""Keeps the visitor of each userId in an SQLite file that all workers of a gateway share.

The first link of a userId is kept, and later ones are ignored. Rows are numbered in the order of
writing, so a worker can read only what others have added. Erasures are counted. A worker that finds
the count changed reads all links again.

The file also has a mark for each shard: the queue offset up to which links have been learned. Links
and mark are written in one transaction. If a crash or power loss takes back links, it takes back
the mark as well, and the links are learned again from the queue.

All methods block, and must be called from one thread.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.errors import StateError
from gateway.events.subjects import Subjects
from gateway.state import identity_links
from gateway.state.connection import transaction, truncate_journal
from gateway.state.files import Located

__all__ = ["FILE_NAME", "LinkFile", "Mark", "NewLinks"]

FILE_NAME = "identity.sqlite"
"""Name in the data directory."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_ADVICE = (
    "; restore the file from a copy, or move it away to begin anew: users are then linked again "
    "when they are next seen with an anonymousId"
)
_SCRUB_ATTEMPTS = 5
_SCRUB_AGAIN_SECONDS = 0.2


class Mark(NamedTuple):
    """The offset up to which links have been learned from a shard's queue."""

    queue_id: str
    offset: int


class NewLinks(NamedTuple):
    """Links that were read from the file.

    Attributes:
        links: userId to visitor.
        complete: these are all links of the file; else those that were not read before.
    """

    links: dict[str, str]
    complete: bool


class LinkFile:
    """The file with the links.

    Args:
        path: the first `open` creates the file and its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._located: Located | None = None
        self._read = 0
        self._erasures = -1

    def open(self) -> None:
        """Opens the file, and creates it if there is none.

        Raises:
            StateError: the file cannot be opened, or is of another release.
        """
        if self._connection is not None:
            return
        with self._explained():
            self._connection = identity_links.connect(self.path)
            self._located = Located(self.path)
        self._read, self._erasures = 0, -1

    def reopen_if_moved(self) -> bool:
        """Begins a new file if the old one was moved or removed; tells whether it was.

        Raises:
            StateError: the new one cannot be opened.
        """
        if self._located is None or not self._located.has_moved():
            return False
        self.close()
        self.open()
        return True

    def close(self) -> None:
        """Closes the file. Does nothing if it is not open."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def read(self) -> NewLinks:
        """Reads the links that were not read before, or all of them after an erasure."""
        with self._explained(), transaction(self._db, "DEFERRED"):
            erasures = identity_links.erasures(self._db)
            complete = erasures != self._erasures
            rows = identity_links.links_after(self._db, 0 if complete else self._read)
        self._erasures = erasures
        if rows:
            self._read = rows[-1][0]
        return NewLinks({user: visitor for _, user, visitor in rows}, complete)

    def add(self, links: Iterable[tuple[str, str]], shard: int, mark: Mark) -> None:
        """Adds the links of users that have none yet, and sets a shard's mark."""
        with self._explained():
            identity_links.add(self._db, links, shard, *mark)

    def mark(self, shard: int) -> Mark | None:
        """Returns a shard's mark; None if nothing was ever learned from its queue."""
        with self._explained():
            found = identity_links.mark(self._db, shard)
        return None if found is None else Mark(*found)

    def erase(self, subjects: Subjects) -> int:
        """Removes all links of the subjects, whether they are users or visitors.

        When it returns, neither the file nor its journal has a byte of these links.

        Returns:
            Number of removed links.
        """
        with self._explained():
            found = identity_links.erase(self._db, subjects)
        for _attempt in range(_SCRUB_ATTEMPTS):
            with self._explained():
                if truncate_journal(self._db):
                    return found
            time.sleep(_SCRUB_AGAIN_SECONDS)
        raise StateError(f"{self.path}: its journal is being read by another process")

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self.path} is not open")
        return self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            advice = _ADVICE if code & 0xFF in _DAMAGED else ""
            raise StateError(f"{self.path}: {error}{advice}") from error
