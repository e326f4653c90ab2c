"""Loads events with their original times into a lake, past the gateway's queue.

Each load has a queue id of its own, by which its rows are found again: a load that was interrupted
goes on where it stopped, and `unload` takes exactly its rows back. A gateway may write to the same
lake meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway import Batch, Event, now_ms
from headgate_lake.manifest import DataFile
from headgate_lake.parquet import Chosen
from headgate_lake.removal import remove_rows
from headgate_lake.retention import delete_removed
from headgate_lake.session import Session
from headgate_lake.storage import Storage, as_storage
from headgate_lake.writer import LakeWriter

__all__ = ["BATCH_EVENTS", "Loader", "queue_ids", "unload"]

BATCH_EVENTS = 100_000
"""Events that are written, and held in memory, at once."""

_MEMORY_BYTES = 512_000_000
_MOST_DAYS = 4_000
_LAST_OFFSET = 2**63 - 1


class Loader:
    """Writes the events of one load; a context manager.

    Args:
        folder: of the lake, made if it does not exist; or where its files are.
        queue_id: names the load.
        memory_bytes: bound on DuckDB's memory.
        batch_events: events that are written at once.
        clock: wall clock in milliseconds.

    Raises:
        LakeError: the lake cannot be used.
        OSError, sqlite3.Error: it cannot be written.
    """

    def __init__(
        self,
        folder: Path | Storage,
        queue_id: str,
        *,
        memory_bytes: int = _MEMORY_BYTES,
        batch_events: int = BATCH_EVENTS,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._queue_id = queue_id
        self._batch_events = batch_events
        self._writer = LakeWriter(folder, memory_bytes, clock, most_days=_MOST_DAYS)
        self._writer.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()

    @property
    def position(self) -> int:
        """The number of events of this load that are in the lake."""
        return self._writer.open().manifest.cursor(self._queue_id)

    def load(self, events: Iterable[Event]) -> Iterator[int]:
        """Adds the events after `position`, and yields the new position after each batch.

        Args:
            events: without those that are in the lake already.
        """
        offset = self.position
        rest = iter(events)
        while batch := list(islice(rest, self._batch_events)):
            following = offset + len(batch)
            self._writer.write(Batch(batch, range(offset, following), queue_id=self._queue_id))
            offset = following
            yield offset

    def complete_up_to(self, moment_ms: int) -> None:
        """Notes up to which time the lake is complete, unless a gateway does so itself."""
        if not self._writer.open().folder.was_owned:
            self._writer.progress(0, moment_ms)


def queue_ids(folder: Path | Storage) -> list[str]:
    """Returns the ids of the queues and loads whose events are in a lake; none without a lake."""
    from headgate_lake.manifest import MANIFEST, Manifest

    storage = as_storage(folder)
    storage.prepare(writes=False)
    if not (storage.root / MANIFEST).exists():
        return []
    manifest = Manifest(storage.root)
    try:
        return manifest.queue_ids()
    finally:
        manifest.close()


def unload(
    folder: Path | Storage,
    queue_id: str,
    *,
    memory_bytes: int = _MEMORY_BYTES,
    clock: Callable[[], int] = now_ms,
    broken: Callable[[str, str], None] = lambda _path, _why: None,
) -> int:
    """Takes the events of a load back, and returns their number; a gateway may run.

    Args:
        broken: is given the path of each file that cannot be read, and the reason. Such a file is
            set aside, and the others go on.

    Raises:
        LakeError: the lake cannot be used.
        OSError, sqlite3.Error, duckdb.Error: it cannot be read or written.
    """
    chosen = Chosen("queue_id = $queue_id", {"queue_id": queue_id})

    def aside(file: DataFile, why: str) -> None:
        session.set_aside(file)
        broken(file.path, why)

    session = Session(folder, memory_bytes, clock)
    try:
        with session.folder.maintaining(wait=True):
            files = session.manifest.holding(queue_id, 0, _LAST_OFFSET)
            rows, _ = remove_rows(session, files, chosen, why="removed", aside=aside)
            with session.manifest.transaction():
                session.manifest.forget(queue_id)
            delete_removed(session, grace_ms=-1)
    finally:
        session.close()
    return rows
