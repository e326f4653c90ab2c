"""Opens the gateway's SQLite files, and notices when one of them was moved or removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog

from gateway.config.private_files import private_database
from gateway.config.sqlite_files import use_wal

__all__ = ["Located", "open_database"]

_BUSY_SECONDS = 5.0


def open_database(
    path: Path,
    prepare: Callable[[sqlite3.Connection], None],
    *,
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    make_folder: bool = True,
) -> sqlite3.Connection:
    """Opens a file, and creates it where there is none; only its owner may read it.

    The connection may pass from thread to thread, and has no transaction until one is begun.

    Args:
        prepare: brings the tables up to date.
        make_folder: create the folder too.
        synchronous: ``FULL`` keeps each change also through a power loss.

    Raises:
        sqlite3.Error: it cannot be opened, or is damaged.
        OSError: it cannot be created.
    """
    if make_folder:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_database(path)
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        use_wal(db)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        prepare(db)
    except BaseException:
        db.close()
        raise
    return db


class Located:
    """The file that is at a path now; what is written to one that has left it is lost.

    Args:
        path: of a file that was just opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _at(path)

    def has_moved(self) -> bool:
        """Tells whether the path has no file now, or another one, and logs it."""
        if self._file == _at(self._path):
            return False
        structlog.get_logger().error(
            "state: the file was moved or removed; a new one is begun", path=str(self._path)
        )
        return True


def _at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
