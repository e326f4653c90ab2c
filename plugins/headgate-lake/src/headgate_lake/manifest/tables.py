"""The tables of the manifest, and opening the file.

=========  =======================================================================================
lake       the id of this lake
files      each file: day, kind, rows, times, size, checksum, version of the columns
spans      the offsets of each queue that a file holds
cursors    for each queue, the offset from which on no event is in the lake
shards     for each shard, the time up to which its accepted events are in the lake
days       the days that are closed
changes    closed days that have changed, with the rows before and after
removed    files that are no longer part of the lake, to be deleted once no reader needs them
persons    which ids a file may hold, in parts; see `headgate_lake.persons`
uploads    files that are in object storage
=========  =======================================================================================
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from headgate_lake.manifest.records import LakeError

__all__ = ["ANEW", "MANIFEST", "PERSONS_SINCE", "UPLOADS_SINCE", "finish_copy", "open_manifest"]

MANIFEST = "manifest.sqlite"
"""Name of the file in the lake's folder."""

_BUSY_SECONDS = 20.0
ANEW = "`gateway lake rebuild` makes it anew from the files"
"""The way out of a manifest that cannot be used."""


_STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE lake (id TEXT NOT NULL)",
        """CREATE TABLE files (
        path TEXT PRIMARY KEY, day TEXT NOT NULL, kind TEXT NOT NULL, level INTEGER NOT NULL,
        rows INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
        first_received_ms INTEGER NOT NULL, last_received_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, schema_version INTEGER NOT NULL
    ) WITHOUT ROWID""",
        "CREATE INDEX files_by_day ON files (day, level)",
        "CREATE INDEX files_by_time ON files (last_ms)",
        """CREATE TABLE spans (
        path TEXT NOT NULL REFERENCES files ON DELETE CASCADE, queue_id TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (path, queue_id)
    ) WITHOUT ROWID""",
        "CREATE INDEX spans_by_queue ON spans (queue_id, last)",
        "CREATE TABLE cursors (queue_id TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE shards (
        shard INTEGER PRIMARY KEY, until_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL
    )""",
        "CREATE TABLE days (day TEXT PRIMARY KEY, closed_ms INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE changes (
        day TEXT NOT NULL, at_ms INTEGER NOT NULL, old_rows INTEGER NOT NULL,
        new_rows INTEGER NOT NULL, why TEXT NOT NULL, PRIMARY KEY (day, at_ms, why)
    ) WITHOUT ROWID""",
        "CREATE TABLE removed (path TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        """CREATE TABLE persons (
            part INTEGER NOT NULL, path TEXT NOT NULL REFERENCES files ON DELETE CASCADE,
            bits BLOB NOT NULL
        )""",
        "CREATE INDEX persons_by_part ON persons (part)",
        "CREATE INDEX persons_by_path ON persons (path)",
    ),
    (
        """CREATE TABLE uploads (
            path TEXT PRIMARY KEY REFERENCES files ON DELETE CASCADE
        ) WITHOUT ROWID""",
    ),
)
"""The statements that bring a manifest from each version to the next one."""

_VERSION = len(_STEPS)
PERSONS_SINCE = 2
"""The version from which on there is the table ``persons``."""
UPLOADS_SINCE = 3
"""The version from which on there is the table ``uploads``."""


def open_manifest(path: Path, *, writes: bool) -> tuple[sqlite3.Connection, int]:
    """Opens the file, and returns its version; for writing, it is made if there is none.

    Raises:
        LakeError: it is damaged, of a newer release or none of a lake.
        sqlite3.OperationalError: it cannot be read or written now.
    """
    if writes and not path.exists():
        _make(path)
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'rw' if writes else 'ro'}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if writes:
            version = _prepare(db, path)
        elif not (version := _version(db, path)):
            raise LakeError(f"{path}: is empty; {ANEW}")
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise LakeError(
            f"{path}: is damaged, or no manifest of a lake ({error}); {ANEW}"
        ) from error
    except BaseException:
        db.close()
        raise
    return db, version


def finish_copy(path: Path, lost: Sequence[str]) -> None:
    """Makes a copy of the manifest one of a lake of which all files are uploaded.

    Args:
        lost: files to leave out.
    """
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        # Who only reads it may have no right to make the files of a write-ahead log.
        db.execute("PRAGMA journal_mode = DELETE")
        with db:
            db.executemany("DELETE FROM files WHERE path = ?", [(file,) for file in lost])
            db.execute("INSERT OR IGNORE INTO uploads SELECT path FROM files")


def _make(path: Path) -> None:
    """Makes an empty manifest; it has its name once it is whole, so no reader meets half of it."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        beside.touch(mode=0o600)
        with closing(sqlite3.connect(beside, isolation_level=None)) as db:
            _prepare(db, beside)
        with suppress(FileExistsError):  # another process was faster
            path.hardlink_to(beside)
    finally:
        beside.unlink(missing_ok=True)


def _prepare(db: sqlite3.Connection, path: Path) -> int:
    _use_wal(db)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("BEGIN IMMEDIATE")
    version = _version(db, path)
    if not version:
        for statement in _STEPS[0]:
            db.execute(statement)
        db.execute("INSERT INTO lake VALUES (?)", (uuid.uuid4().hex,))
    for step in _STEPS[max(version, 1) :]:
        for statement in step:
            db.execute(statement)
    if version != _VERSION:
        db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")
    return _VERSION


def _version(db: sqlite3.Connection, path: Path) -> int:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > _VERSION:
        raise LakeError(
            f"{path}: a newer release wrote it (version {found}, this one reads up to {_VERSION})"
        )
    return int(found)


def _use_wal(db: sqlite3.Connection) -> None:
    """Gives the file a write-ahead log. SQLite does not wait for the lock that this needs."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
