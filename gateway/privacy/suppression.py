"""Suppressed users: the gateway refuses their events, at their request or after an erasure.

Suppression follows Segment's regulations of type SUPPRESS_ONLY and UNSUPPRESS, see
https://segment.com/docs/privacy/user-deletion-and-suppression/: by userId alone, for all sources.

An SQLite file of its own holds the ids, so that a command can change them beside a running gateway.
The gateway keeps the ids in memory and checks once a second whether the file has changed. Ids that
`add` has stored survive a power loss. All methods but the lookups block: call them from a thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import structlog

from gateway.errors import StateError
from gateway.state import suppressed_users

__all__ = ["FILE_NAME", "Suppressions", "checked"]

FILE_NAME = "suppressed.sqlite"
"""Its name in the data directory."""


class Suppressions(Collection[str]):
    """Suppressed user ids. As a collection it holds what `refresh` has last read, without blocking.

    Each id takes about 150 bytes of memory. Their number has no bound: only operators add ids, and
    dropping one would let events in that must be refused.

    Args:
        path: of the SQLite file; the first `add` creates it along with its folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, int, int] | None = None

    @property
    def ids(self) -> frozenset[str]:
        """The ids in memory; `refresh` puts another set in their place."""
        return self._ids

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, user_ids: Iterable[str]) -> int:
        """Suppresses users; returns how many are new.

        Raises:
            ValueError: an id is blank, or has a lone surrogate or a NUL: no event has such an id.
            StateError: the file cannot be written, or is of another release.
        """
        return self._change(suppressed_users.add, [checked(user_id) for user_id in user_ids])

    def remove(self, user_ids: Iterable[str]) -> int:
        """Accepts users' events again from now on; returns how many users were suppressed.

        Raises:
            ValueError, StateError: as `add`.
        """
        ids = [checked(user_id) for user_id in user_ids]
        if not self._path.exists():
            return 0
        return self._change(suppressed_users.remove, ids)

    def list(self) -> tuple[str, ...]:
        """Returns the ids in the file, sorted.

        Raises:
            StateError: the file cannot be read, or is of another release.
        """
        if not self._path.exists():
            return ()
        with self._explained(), closing(suppressed_users.connect_to_existing(self._path)) as db:
            return tuple(sorted(suppressed_users.every_id(db)))

    def refresh(self) -> bool:
        """Reads the ids into memory if the file has changed; returns whether it had.

        Without a file nobody is suppressed, unless it has vanished: then it is written anew.

        Raises:
            StateError: it cannot be read, or is of another release. The ids in memory stay.
        """
        with self._lock, self._explained():
            return self._refresh()

    def close(self) -> None:
        """Closes the file; the ids in memory stay. Safe twice, and without `refresh`."""
        with self._lock:
            self._forget_file()

    def _refresh(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._forget_file()
            if not self._ids:
                return False
            structlog.get_logger().error(
                "the file of suppressed users was moved or removed; it is written anew",
                path=str(self._path),
            )
            with closing(suppressed_users.connect(self._path)) as db:
                suppressed_users.add(db, self._ids)
            found = self._path.stat()
        # While the old file is open, a file that replaces it has another inode.
        file = (found.st_dev, found.st_ino)
        if self._connection is None or self._seen is None or self._seen[:2] != file:
            self._forget_file()
            self._connection = suppressed_users.connect_to_existing(self._path)
        # Read before the ids: a commit in between is then read twice rather than not at all.
        seen = (*file, suppressed_users.data_version(self._connection))
        if seen == self._seen:
            return False
        self._ids = frozenset(suppressed_users.every_id(self._connection))
        self._seen = seen
        return True

    def _forget_file(self) -> None:
        self._seen = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _change(
        self, change: Callable[[sqlite3.Connection, Iterable[str]], int], user_ids: Iterable[str]
    ) -> int:
        # A connection of its own: the data version tells of changes by other connections only.
        with self._explained(), closing(suppressed_users.connect(self._path)) as db:
            return change(db, user_ids)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"{self._path}: {error}") from error


def checked(user_id: str) -> str:
    """Returns the id, if an event can have it.

    Raises:
        ValueError: it is blank, or no text.
    """
    if not user_id or user_id.isspace():
        raise ValueError("a user id is blank")
    if "\0" in user_id or any("\ud800" <= char <= "\udfff" for char in user_id):
        raise ValueError(f"the user id {user_id!r} is not text in UTF-8 without NUL")
    return user_id
