"""What must outlive the process and is not an event waiting in the queue: an SQLite file.

One row for each destination's cursor and counts, the events that wait in its retry lane, and the
dead letters. A commit moves the cursor, adds to the counts and moves events into the lane or to the
dead letters in one transaction, so that after a crash they agree with each other to the event. The
journal is a write-ahead log with ``synchronous = NORMAL``: a killed process loses nothing; a power
loss may take back the newest commits, and those events are delivered again, as at-least-once
allows.

The counts of sources are there too, and what became of events that were not stored, and of each
attempt at delivery: what `gateway ledger` and `gateway why` read.

All access goes through one thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from gateway.errors import StateError
from gateway.state import reading, writing
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
_ADVICE = (
    "; restore the file from a copy, or move it away to begin anew: all that the queue still holds "
    "is then delivered again"
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_R = TypeVar("_R")


class State:
    """The state store.

    Args:
        path: of the SQLite file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None
        self._stopped = False

    async def start(self) -> None:
        """Open the file, creating it where there is none.

        Raises:
            StateError: it cannot be opened, is damaged, or is of a later release.
        """
        await self._run(self._open)

    async def stop(self) -> None:
        """Close the file. Safe twice and without `start`."""
        if self._connection is not None:
            await self._run(self._close)
        self._stopped = True
        self._thread.shutdown()

    # -- writing -------------------------------------------------------------

    async def begin(self, destination: str, offset: int) -> None:
        """Have a destination read from an offset, whatever came before."""
        await self.call(writing.begin, destination, offset)

    async def commit(self, commit: Commit, now_ms: int = 0) -> Written:
        """Write a commit, all of it or nothing."""
        return await self.call(writing.commit, commit, now_ms)

    async def add_tally(self, tally: Tally) -> None:
        """Add to the counts of sources."""
        await self.call(writing.add_tally, tally)

    async def rebase_sources(self, queue_id: str, next_offset: int) -> None:
        """Count the events of a queue from `next_offset` on."""
        await self.call(writing.rebase_sources, queue_id, next_offset)

    async def prune(self, first_offset: int, since_ms: int, max_discards: int) -> bool:
        """Forget some of what is about events no longer kept; True if there is more to do."""
        return await self.call(writing.prune, first_offset, since_ms, max_discards)

    # -- reading -------------------------------------------------------------

    async def cursors(self) -> dict[str, int]:
        """Cursor of each destination that ever had one."""
        return await self.call(reading.cursors)

    async def bases(self) -> dict[str, int]:
        """Destination to the offset that its counts began at."""
        return await self.call(reading.bases)

    async def counts(self) -> dict[str, DestinationCounts]:
        """Counts of each destination over all runs."""
        return await self.call(reading.counts)

    async def sources(self) -> dict[str, SourceCounts]:
        """Counts of each source over all runs."""
        return await self.call(reading.sources)

    async def counted(self) -> Counted | None:
        """Which events the counts of sources cover."""
        return await self.call(reading.counted)

    async def leaks(self) -> list[Leak]:
        """Commits that did not add up."""
        return await self.call(reading.leaks)

    async def dead_letters(self, destination: str, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters of a destination."""
        return await self.call(reading.dead_letters, destination, limit)

    async def standing(self, destination: str) -> tuple[int, DestinationCounts]:
        """How many events are in a destination's retry lane, and its counts."""
        return await self.call(reading.standing, destination)

    async def due(
        self, destination: str, now_ms: int, limit: int, latest_ms: int
    ) -> tuple[list[Waiting], int | None]:
        """Events of the retry lane whose time has come; if none has, the time of the next one."""
        return await self.call(reading.due, destination, now_ms, limit, latest_ms)

    async def waiting_at(self, destination: str, offsets: Iterable[int]) -> list[Waiting]:
        """The entries of the retry lane at these offsets."""
        return await self.call(reading.waiting_at, destination, offsets)

    async def waiting_index(
        self, destination: str
    ) -> list[tuple[int, int, str | None, str | None]]:
        """Offset, time when due, userId and anonymousId of all that wait."""
        return await self.call(reading.waiting_index, destination)

    async def call(
        self,
        work: Callable[Concatenate[sqlite3.Connection, _P], _R],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Do some work on the connection, in the store's thread.

        Raises:
            StateError: the file cannot be read or written.
        """
        return await self._run(lambda: work(self._db, *args, **kwargs))

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._stopped:
            raise StateError(f"{self._path} is closed")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            # What Python's module raises on its own account has no code.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            advice = _ADVICE if code & 0xFF in _DAMAGED else ""
            raise StateError(f"{self._path}: {error}{advice}") from error

    def _open(self) -> None:
        self._connection = connect(self._path)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self._path} is not open")
        return self._connection
