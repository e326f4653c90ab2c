"""Writes batches of events to a lake, each event exactly once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import parse_ms
from headgate_lake.arriving import Arriving
from headgate_lake.known import missing, new_ids
from headgate_lake.manifest import DataFile, LakeError, Manifest
from headgate_lake.parquet import Staged
from headgate_lake.session import Session
from headgate_lake.storage import Storage, as_storage

if TYPE_CHECKING:
    from gateway import Batch

__all__ = ["MOST_DAYS", "SETTLE_MS", "LakeWriter", "Wrote"]

MOST_DAYS = 16
"""Most days of one batch that get a file each. The events of further days share a file, so that
clients with odd clocks do not make thousands of files."""

SETTLE_MS = 5_000
"""Allowance for events that were received before others and stored after them."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """The result of writing a batch.

    Attributes:
        added: events that are new in the lake.
        retimed: those of them whose own time could not be used.
        known: events that were in the lake already.
        most_files: number of files of the day that has most, among those written to.
        broken: files that could not be read and were set aside, with the reason.
    """

    added: int = 0
    retimed: int = 0
    known: int = 0
    most_files: int = 0
    broken: tuple[tuple[str, str], ...] = ()


class LakeWriter:
    """Writes to a lake. All calls come from one thread.

    Args:
        place: the folder of the lake, or where its files are.
        memory_bytes: bound on DuckDB's memory.
        clock: wall clock in milliseconds.
        most_days: most days of one batch that get a file each.
    """

    def __init__(
        self,
        place: Path | Storage,
        memory_bytes: int,
        clock: Callable[[], int],
        *,
        most_days: int = MOST_DAYS,
    ) -> None:
        self._storage = as_storage(place)
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._most_days = most_days
        self._session: Session | None = None

    def open(self) -> Session:
        """Opens or makes the lake, or opens it anew if its manifest was moved.

        Raises:
            LakeError: it cannot be used.
            OSError, sqlite3.Error: it cannot be written.
        """
        if self._session is None or self._session.manifest.moved():
            self.close()
            self._session = Session(self._storage, self._memory_bytes, self._clock)
        return self._session

    def close(self) -> None:
        """Closes it; safe twice, and without `open`."""
        if self._session is not None:
            session, self._session = self._session, None
            session.close()

    def write(self, batch: Batch, shard: int | None = None, *, by_id: bool = False) -> Wrote:
        """Adds the events of a batch that are not in the lake yet, all of them or none.

        Args:
            shard: whose progress the batch is.
            by_id: look up all events by source and message id, as their offsets tell nothing.

        Raises:
            LakeError: the lake cannot be used.
            OSError, sqlite3.Error, duckdb.Error: it cannot be written.
        """
        session = self.open()
        manifest = session.manifest
        cursor = manifest.cursor(batch.queue_id)
        broken: list[tuple[str, str]] = []

        def aside(file: DataFile, why: str) -> None:
            session.set_aside(file)
            broken.append((file.path, why))

        places = new_ids(session, batch, aside) if by_id else missing(session, batch, cursor, aside)
        names: list[str] = []
        staged: list[Staged] = []
        try:
            files: list[DataFile] = []
            if places:
                staged = self._stage(session, batch, places)
                files = self._written(session, staged, names)
            with manifest.transaction():
                if manifest.cursor(batch.queue_id) != cursor:
                    raise LakeError(
                        f"{self._storage.root}: another process writes events of this queue"
                    )
                session.enter([_entering(manifest, file, self._clock()) for file in files])
                manifest.advance(batch.queue_id, max(batch.offsets) + 1)
                if shard is not None:
                    manifest.progress(shard, _until_ms(batch), self._clock())
        except BaseException:
            session.discard(names)
            raise
        finally:
            session.engine.unstage()
        session.settled(names)
        return Wrote(
            len(places),
            sum(one.retimed for one in staged),
            len(batch) - len(places),
            max((manifest.files_of(file.day) for file in files), default=0),
            tuple(broken),
        )

    def progress(self, shard: int, until_ms: int | None) -> None:
        """Notes the progress of a shard that has no events to write.

        Args:
            until_ms: all events that it accepted before are in the lake; None if that is unknown.
        """
        manifest = self.open().manifest
        with manifest.transaction(durable=False):
            manifest.progress(shard, until_ms, self._clock())

    def _stage(self, session: Session, batch: Batch, places: Sequence[int]) -> list[Staged]:
        events, offsets = batch.events, batch.offsets
        if len(places) < len(batch):
            events = [events[place] for place in places]
            offsets = [offsets[place] for place in places]
        return session.engine.stage(Arriving(events, offsets), batch.queue_id, self._clock())

    def _written(
        self, session: Session, staged: Sequence[Staged], names: list[str]
    ) -> list[DataFile]:
        """Writes the staged events to files; notes each name before its file is there."""
        days = [(one.day, [one]) for one in staged[: self._most_days]]
        if len(staged) > self._most_days:
            days.append(("", list(staged[self._most_days :])))
        files = []
        for day, held in days:
            names.append(session.writing.new_name(day))
            contents = session.engine.write_staged(held, session.writing.path / names[-1])
            files.append(session.sealed(names[-1], day, contents))
        return files


def _entering(manifest: Manifest, file: DataFile, now_ms: int) -> DataFile:
    """Notes the change of a closed day that a file belongs to; returns the file's entry."""
    if not manifest.closed(file.day):
        return file
    rows = manifest.rows_of(file.day)
    manifest.changed(file.day, rows, rows + file.rows, "late", now_ms)
    return replace(file, kind="late")


def _until_ms(batch: Batch) -> int | None:
    """Returns the time before which no event comes any more from the queue of a batch."""
    received_ms = parse_ms(max((event.received_at or "" for event in batch), default=""))
    return None if received_ms is None else received_ms - SETTLE_MS
