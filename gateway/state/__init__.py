"""Everything that outlives the process beside the queue: SQLite files, and all SQL that uses them.

`State` is the state store of one shard, ``state.sqlite``. It holds each destination's cursor and
counts, the events of its retry lane and its dead letters. A commit changes all of them in one
transaction, so that they agree after a crash. It also holds the counts of sources, the events that
were not stored and the attempts at delivery, which `gateway ledger` and `gateway why` read. The
journal is a write-ahead log with ``synchronous = NORMAL``: a killed process loses nothing; a power
loss may undo the newest commits, whose events are then delivered again. All access goes through one
thread.

`schema`, `reading`, `writing`, `erasing`, `replays`, `regulations` and `jobs` are functions on a
connection to that file; `identity_links`, `rollouts` and `suppressed_users` are functions on files
of their own. `dead_letters`, `trace`, `offline` and `audit_trail` serve commands and the admin API,
`ledger` holds the counts, `live_tail` shows events as they pass.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from gateway.errors import StateError
from gateway.queue.reserve import release
from gateway.state import reading, writing
from gateway.state.connection import truncate_journal
from gateway.state.files import Located
from gateway.state.ledger.counts import DestinationCounts, SourceCounts
from gateway.state.reading import Counted
from gateway.state.records import (
    Attempt,
    Commit,
    DeadLetter,
    Discard,
    Leak,
    Offsets,
    Tally,
    Waiting,
)
from gateway.state.schema import connect
from gateway.state.writing import ALREADY_WAITING, Written

__all__ = [
    "ALREADY_WAITING",
    "STATE_FILE",
    "Attempt",
    "Commit",
    "Counted",
    "DeadLetter",
    "Discard",
    "Leak",
    "Offsets",
    "State",
    "Tally",
    "Waiting",
    "Written",
]

STATE_FILE = "state.sqlite"
"""Its name in the data directory."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_ADVICE = (
    "; restore the file from a copy, or move it away to begin anew: all that the queue still holds "
    "is then delivered again"
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_R = TypeVar("_R")


class State:
    """The state store of one shard.

    Args:
        path: of the SQLite file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None
        self._located: Located | None = None
        self._stopped = False

    async def start(self) -> None:
        """Opens the file, and creates it where there is none.

        Raises:
            StateError: it cannot be opened, is damaged, or is of a later release.
        """
        await self._run(self._open)

    async def stop(self) -> None:
        """Closes the file. Safe twice and without `start`."""
        if self._connection is not None:
            await self._run(self._close)
        self._stopped = True
        self._thread.shutdown()

    # -- writing -------------------------------------------------------------

    async def begin(self, destination: str, offset: int) -> None:
        """Sets a destination's cursor to any offset."""
        await self.call(writing.begin, destination, offset)

    async def commit(self, commit: Commit, now_ms: int = 0) -> Written:
        """Writes a commit in one transaction."""
        return await self.call(writing.commit, commit, now_ms)

    async def add_tally(self, tally: Tally) -> None:
        """Adds to the counts of sources."""
        await self.call(writing.add_tally, tally)

    async def rebase_sources(self, queue_id: str, next_offset: int) -> None:
        """Counts the events of a queue from `next_offset` on."""
        await self.call(writing.rebase_sources, queue_id, next_offset)

    async def prune(self, first_offset: int, since_ms: int, max_discards: int) -> bool:
        """Deletes some records of events that are no longer kept; True if more are left."""
        return await self.call(writing.prune, first_offset, since_ms, max_discards)

    # -- reading -------------------------------------------------------------

    async def cursors(self) -> dict[str, int]:
        """Returns the cursor of each destination that ever had one."""
        return await self.call(reading.cursors)

    async def bases(self) -> dict[str, int]:
        """Returns the offset at which the counts of each destination began."""
        return await self.call(reading.bases)

    async def counts(self) -> dict[str, DestinationCounts]:
        """Returns the counts of each destination over all runs."""
        return await self.call(reading.counts)

    async def sources(self) -> dict[str, SourceCounts]:
        """Returns the counts of each source over all runs."""
        return await self.call(reading.sources)

    async def counted(self) -> Counted | None:
        """Returns which events the counts of sources cover; None before there were any."""
        return await self.call(reading.counted)

    async def leaks(self) -> list[Leak]:
        """Returns the commits that did not add up."""
        return await self.call(reading.leaks)

    async def dead_letters(self, destination: str, limit: int = 100) -> list[DeadLetter]:
        """Returns the newest dead letters of a destination."""
        return await self.call(reading.dead_letters, destination, limit)

    async def standing(self, destination: str) -> tuple[int, DestinationCounts]:
        """Returns how many events a destination's retry lane has, and its counts."""
        return await self.call(reading.standing, destination)

    async def due(
        self, destination: str, now_ms: int, limit: int, latest_ms: int
    ) -> tuple[list[Waiting], int | None]:
        """Returns the events of the retry lane that are due; without any, the next one's time."""
        return await self.call(reading.due, destination, now_ms, limit, latest_ms)

    async def waiting_at(self, destination: str, offsets: Iterable[int]) -> list[Waiting]:
        """Returns the entries of the retry lane at these offsets."""
        return await self.call(reading.waiting_at, destination, offsets)

    async def waiting_index(
        self, destination: str
    ) -> list[tuple[int, int, str | None, str | None]]:
        """Returns offset, due time, userId and anonymousId of each waiting event."""
        return await self.call(reading.waiting_index, destination)

    async def call(
        self,
        work: Callable[Concatenate[sqlite3.Connection, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Calls a function with the connection, in the store's thread.

        Raises:
            StateError: the file cannot be read or written.
        """
        return await self._run(lambda: work(self._db, *args, **kwargs))

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._stopped:
            raise StateError(f"{self._path} is closed")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._with_reserve, work)
        except sqlite3.Error as error:
            # Errors that Python's module itself raises have no code.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            advice = _ADVICE if code & 0xFF in _DAMAGED else ""
            raise StateError(f"{self._path}: {error}{advice}") from error

    def _with_reserve(self, work: Callable[[], _T]) -> _T:
        """Does work; on a full disk it takes the room that is kept for this, and tries again."""
        self._reopen_if_moved()
        try:
            return work()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code & 0xFF not in _NO_ROOM or not release(self._path.parent):
                raise
            return work()

    def _reopen_if_moved(self) -> None:
        """Begins a new file if the old one was moved or removed, as nobody would find it again."""
        if self._connection is None or self._located is None or not self._located.has_moved():
            return
        with suppress(sqlite3.Error):  # what is in the journal only goes to the moved file
            truncate_journal(self._db)
        self._close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        try:
            self._connection = connect(self._path)
        except OSError as error:
            raise StateError(f"{self._path}: {error.strerror}") from error
        self._located = Located(self._path)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self._path} is not open")
        return self._connection
