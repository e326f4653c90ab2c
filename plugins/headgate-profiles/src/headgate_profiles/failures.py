"""Errors of SQLite and the disk, and their meaning for delivery."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway import Misconfigured, Retryable
from headgate_profiles.store import GraphError

__all__ = ["explained"]

_T = TypeVar("_T")

_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_PRIMARY = 0xFF  # bits of an extended error code that hold the primary one


def explained(path: Path, work: Callable[[], _T]) -> _T:
    """Runs work on a graph; its errors become those that delivery understands."""
    try:
        return work()
    except GraphError as error:
        raise Misconfigured(str(error)) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
        text = f"{path}: {error}"
        raise (Retryable(text) if code in _PASSING else Misconfigured(text)) from error
    except OSError as error:
        raise Misconfigured(f"{error.filename or path}: {error.strerror or error}") from error
