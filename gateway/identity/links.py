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
from gateway.state import identity_links
from gateway.state.connection import transaction, truncate_journal

__all__ = ["FILE_NAME", "LinkFile", "Mark", "News"]

FILE_NAME = "identity.sqlite"
"""In the data directory."""

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
            self._connection = identity_links.connect(self.path)
        self._read, self._erasures = 0, -1

    def close(self) -> None:
        """Let go of it. Safe twice and without `open`."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def news(self) -> News:
        """What the file has that was not read before."""
        with self._explained(), transaction(self._db, "DEFERRED"):
            erasures = identity_links.erasures(self._db)
            anew = erasures != self._erasures
            rows = identity_links.links_after(self._db, 0 if anew else self._read)
        self._erasures = erasures
        if rows:
            self._read = rows[-1][0]
        return News({user: visitor for _, user, visitor in rows}, anew)

    def add(self, links: Iterable[tuple[str, str]], shard: int, mark: Mark) -> None:
        """Add links of users who have none, and say how far a shard has come."""
        with self._explained():
            identity_links.add(self._db, links, shard, *mark)

    def mark(self, shard: int) -> Mark | None:
        """How far a shard has come; None if nothing was ever learned from it."""
        with self._explained():
            found = identity_links.mark(self._db, shard)
        return None if found is None else Mark(*found)

    def erase(self, subjects: Subjects) -> int:
        """Take out the links of users, and those to visitors, who are to be forgotten.

        Returns:
            How many there were. By then no byte of the file names them, nor of its journal.
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
