"""Errors of disk, SQLite and DuckDB, and their meaning for delivery."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway import DeliveryError, Misconfigured, Retryable
from headgate_lake.manifest import ANEW, LakeError
from headgate_lake.parquet import Unreadable
from headgate_lake.storage import StorageError

__all__ = ["explained", "meaning_of"]

_T = TypeVar("_T")

_SETTINGS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_ERRNO = re.compile(r'"errno": ?"(\d+)"')
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF  # bits of an extended error code that hold the primary one


def explained(root: Path, work: Callable[[], _T]) -> _T:
    """Runs work on a lake; its errors become those that delivery understands."""
    try:
        return work()
    except DeliveryError:
        raise
    except Exception as error:
        meaning = meaning_of(root, error)
        if meaning is None:
            raise
        raise meaning from error


def meaning_of(root: Path, error: Exception) -> DeliveryError | None:
    """Returns what an error means for delivery; None if it is a defect."""
    if isinstance(error, StorageError):
        return Retryable(str(error)) if error.passing else Misconfigured(str(error))
    if isinstance(error, LakeError):
        return Misconfigured(str(error))
    if isinstance(error, OSError):
        text = f"{error.filename or root}: {error.strerror or error}"
        return Misconfigured(text) if error.errno in _SETTINGS else Retryable(text)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
        text = f"{root}: manifest: {error}"
        if code in _DAMAGED:
            text += f"; {ANEW}"
        return Retryable(text) if code in _PASSING else Misconfigured(text)
    duckdb = sys.modules.get("duckdb")
    if duckdb is not None and isinstance(error, duckdb.IOException):
        number = _ERRNO.search(str(error))  # it is in JSON, after the place in the file
        if number is not None:
            return meaning_of(root, OSError(int(number[1]), os.strerror(int(number[1]))))
    if isinstance(error, Unreadable) or (duckdb is not None and isinstance(error, duckdb.Error)):
        return Retryable(f"{root}: {str(error).splitlines()[0]}")
    return None
