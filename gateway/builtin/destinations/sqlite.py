"""Destination ``sqlite``: events as rows of a table in an SQLite file, each exactly once.

The key of a row is the id of the gateway's queue and the event's offset in it, written in one
transaction with the event. A batch that is sent again, after a crash or a time-out, finds its rows
in the table and adds nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.components.context import Context
from gateway.components.destination import Batch, BatchPolicy, Destination, DestinationSpec, Erasure
from gateway.components.dry_run_destination import DryRunDestination
from gateway.components.hookmarkers import hookimpl
from gateway.config.private_files import private_database
from gateway.config.sqlite_files import use_wal
from gateway.errors import Misconfigured, Retryable
from gateway.events.event import Event
from gateway.events.subjects import Subjects

__all__ = ["Sqlite", "SqliteConfig", "register_destinations"]

_T = TypeVar("_T")

_COLUMNS = {
    "queue_id": "TEXT NOT NULL",
    "queue_offset": "INTEGER NOT NULL",
    "message_id": "TEXT NOT NULL",
    "type": "TEXT NOT NULL",
    "event": "TEXT",
    "user_id": "TEXT",
    "anonymous_id": "TEXT",
    "source_id": "TEXT NOT NULL",
    "timestamp": "TEXT",
    "received_at": "TEXT",
    "body": "TEXT NOT NULL",
}
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""Errors that pass by themselves, or once there is room."""

_PRIMARY = 0xFF
"""Bits of an extended error code that hold the primary one."""


class SqliteConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a destination with ``type = "sqlite"``.

    Attributes:
        path: the file, created if it does not exist; its folder must exist.
        table: the table, created if it does not exist.
        synchronous: with ``full`` rows are on stable storage when they count as delivered; with
            ``normal`` a power failure may lose the newest rows, a crash of the process does not.
        busy_timeout_seconds: time to wait for other writers of the file.
    """

    path: str
    table: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")] = "events"
    synchronous: Literal["full", "normal"] = "full"
    busy_timeout_seconds: Annotated[float, Meta(gt=0)] = 5.0


class Sqlite(Destination):
    """Writes events to a table. All access goes through one thread."""

    def __init__(self, config: SqliteConfig, context: Context) -> None:
        self._config = config
        self._path = context.path(config.path)
        self._thread: ThreadPoolExecutor | None = None
        self._log = context.log
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    async def start(self) -> None:
        """Opens the file and the table.

        Raises:
            Misconfigured: the file or the table cannot be used.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        await self._run(self._open)

    async def stop(self) -> None:
        """Closes the file."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown()

    async def send(self, batch: Batch) -> None:
        """Adds the events that are not in the table yet, all of them or none.

        Raises:
            Retryable: the file is locked, or its disk is full or fails.
            Misconfigured: the file or its table has changed.
        """
        rows = _rows(batch)
        await self._run(lambda: self._insert(rows))

    async def check(self) -> None:
        """Proves that the file can be opened and written, without changing it."""
        await asyncio.to_thread(self._explained, self._probe)

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Deletes the rows of these users, then rewrites the file, which still holds deleted data.

        Raises:
            Retryable: another process uses the file, or the disk has no room for a copy of it.
        """
        gone, in_use = await self._run(lambda: self._erase(subjects))
        if in_use:
            raise Retryable(f"{self._path}: the rows are deleted, and a reader keeps the journal")
        return Erasure("FINISHED", gone)

    # -- in the thread -------------------------------------------------------

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._thread is None:
            raise RuntimeError("send() needs start() first")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._explained, work)

    def _explained(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except sqlite3.Error as error:
            text = f"{self._path}: {error}"
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
            raise (Retryable(text) if code in _PASSING else Misconfigured(text)) from error

    def _open(self) -> None:
        self._make_private()
        db = self._connect(self._path)
        try:
            use_wal(db)
            db.execute(f"PRAGMA synchronous = {self._config.synchronous}")
            self._make_table(db)
        except BaseException:
            db.close()
            raise
        self._db, self._file = db, self._found()

    def _found(self) -> tuple[int, int] | None:
        """Returns which file is at the path now, if its journal is beside it."""
        try:
            found = self._path.stat()
            self._path.with_name(f"{self._path.name}-wal").stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _reopen_if_moved(self) -> None:
        """Opens the file anew if it was moved or removed; rows would go to a file without a name.

        Raises:
            Misconfigured: it cannot be opened any more.
        """
        if self._db is not None and self._file == self._found():
            return
        if self._db is not None:
            self._log.warning("sqlite: the file was moved or removed", path=str(self._path))
            db, self._db = self._db, None
            with suppress(sqlite3.Error):  # what is in the journal only goes to the moved file
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.close()
        self._open()

    def _make_private(self) -> None:
        """Creates the file for its owner alone; of an existing one, a group keeps its access."""
        try:
            private_database(self._path, closed_to=stat.S_IRWXO)
        except OSError as error:
            raise Misconfigured(f"{self._path}: {error.strerror}") from error

    def _connect(self, path: Path) -> sqlite3.Connection:
        return sqlite3.connect(
            path,
            timeout=self._config.busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )

    def _make_table(self, db: sqlite3.Connection) -> None:
        table = self._config.table
        columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {table} ({columns}, PRIMARY KEY (queue_id, queue_offset))"
        )
        self._check_table(db)
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_by_user ON {table} (user_id)")
        db.execute(f"CREATE INDEX IF NOT EXISTS {table}_by_event ON {table} (event, timestamp)")

    def _check_table(self, db: sqlite3.Connection) -> None:
        rows = db.execute(f"PRAGMA table_info({self._config.table})").fetchall()
        missing = _COLUMNS.keys() - {name for _, name, *_ in rows}
        key = {name for _, name, _, _, _, place in rows if place}
        if missing or key != {"queue_id", "queue_offset"}:
            raise Misconfigured(
                f"{self._path}: the table {self._config.table} is there and is not ours: "
                + (f"it lacks {', '.join(sorted(missing))}" if missing else "its key is another")
                + "; set `table` to another name"
            )

    def _insert(self, rows: list[tuple[object, ...]]) -> None:
        self._reopen_if_moved()
        db = self._db
        assert db is not None
        names, marks = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                f"INSERT INTO {self._config.table} ({names}) VALUES ({marks}) "  # noqa: S608
                "ON CONFLICT (queue_id, queue_offset) DO NOTHING",
                rows,
            )
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        if self._file != self._found():
            raise Retryable(f"{self._path}: the file was moved or removed")

    def _erase(self, subjects: Subjects) -> tuple[int, bool]:
        db = self._db
        assert db is not None
        table = self._config.table
        db.execute("BEGIN IMMEDIATE")
        try:
            users, anonymous = (
                msgspec.json.encode(sorted(ids)).decode()
                for ids in (subjects.users, subjects.anonymous)
            )
            gone = db.execute(
                f"DELETE FROM {table} WHERE "  # noqa: S608
                "user_id IN (SELECT value FROM json_each(:users)) OR "
                "anonymous_id IN (SELECT value FROM json_each(:anonymous)) OR (type = 'alias' AND "
                "json_extract(body, '$.previousId') IN (SELECT value FROM json_each(:users) "
                "UNION SELECT value FROM json_each(:anonymous)))",
                {"users": users, "anonymous": anonymous},
            ).rowcount
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        db.execute("VACUUM")
        (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return gone, bool(busy)

    def _probe(self) -> None:
        if not self._path.exists():
            if not self._path.parent.is_dir():
                raise Misconfigured(f"{self._path.parent}: there is no such folder")
            return
        with closing(self._connect(self._path)) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                if db.execute(f"PRAGMA table_info({self._config.table})").fetchone():
                    self._check_table(db)
            finally:
                db.execute("ROLLBACK")

    def _close(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            db.close()


def _rows(batch: Batch) -> list[tuple[object, ...]]:
    """Returns the values of `_COLUMNS` for each event."""
    return [
        _row(batch.queue_id, offset, event)
        for offset, event in zip(batch.offsets, batch.events, strict=True)
    ]


def _row(queue_id: str, offset: int, event: Event) -> tuple[object, ...]:
    texts = (
        event.message_id,
        event.type,
        event.event,
        event.user_id,
        event.anonymous_id,
        event.source_id,
        event.timestamp,
        event.received_at,
    )
    return (queue_id, offset, *map(_storable, texts), event.to_json().decode())


def _storable(text: str | None) -> str | None:
    """Replaces each lone surrogate, which no text encoding can hold, with U+FFFD."""
    return (
        None if text is None else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _build(config: SqliteConfig, context: Context) -> Destination:
    if context.rehearsal is None:
        return Sqlite(config, context)
    place = f"{context.path(config.path)}, table {config.table}"

    def writes(batch: Batch) -> Iterator[tuple[str, Any]]:
        for row in _rows(batch):
            yield place, dict(zip(_COLUMNS, row, strict=True))

    return DryRunDestination(context.rehearsal, writes)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``sqlite``."""
    register(
        DestinationSpec(
            "sqlite",
            SqliteConfig,
            _build,
            name="SQLite",
            storage=True,
            batch=BatchPolicy(max_events=2000, max_bytes=4_000_000, max_age_seconds=1.0),
            idempotent=True,
            atomic=True,
            rehearses=True,
        )
    )
