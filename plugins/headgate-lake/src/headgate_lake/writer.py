"""Writes batches of events to a lake, each event exactly once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway import parse_ms
from headgate_lake.folder import Folder, Writing, place_of
from headgate_lake.lines import lines_of
from headgate_lake.manifest import MANIFEST, DataFile, Kind, LakeError, Manifest, Span
from headgate_lake.parquet import Contents, Engine, Staged

if TYPE_CHECKING:
    from gateway import Batch, Event

__all__ = ["MOST_DAYS", "SETTLE_MS", "LakeWriter", "Wrote", "file_of"]

MOST_DAYS = 16
"""Most days of one batch that get a file each. The events of further days share a file, so that
clients with odd clocks do not make thousands of files."""

SETTLE_MS = 5_000
"""Allowance for events that were received before others and stored after them."""

_LINES = "lines.ndjson"


@dataclass(frozen=True, slots=True)
class Wrote:
    """The result of writing a batch.

    Attributes:
        added: events that are new in the lake.
        retimed: those of them whose own time could not be used.
        known: events that were in the lake already.
        days: the days that got a file.
    """

    added: int = 0
    retimed: int = 0
    known: int = 0
    days: tuple[str, ...] = ()


class _Opened(NamedTuple):
    manifest: Manifest
    writing: Writing
    engine: Engine


class LakeWriter:
    """Writes to a lake. All calls come from one thread.

    Attributes:
        folder: of the lake.

    Args:
        memory_bytes: bound on DuckDB's memory.
        clock: wall clock in milliseconds.
        most_days: most days of one batch that get a file each.
    """

    def __init__(
        self,
        root: Path,
        memory_bytes: int,
        clock: Callable[[], int],
        *,
        most_days: int = MOST_DAYS,
    ) -> None:
        self.folder = Folder(root)
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._most_days = most_days
        self._open: _Opened | None = None

    def open(self) -> int:
        """Opens or makes the lake; returns the number of a crash's files that were removed.

        Raises:
            LakeError: it cannot be used.
            OSError, sqlite3.Error: it cannot be written.
        """
        self.folder.make()
        manifest = _manifest(self.folder)
        try:
            with manifest.transaction():
                gone = self.folder.remove_leftovers(manifest.holds)
            writing = Writing(self.folder)
        except BaseException:
            manifest.close()
            raise
        self._open = _Opened(manifest, writing, Engine(self._memory_bytes, writing.spill))
        return gone

    def close(self) -> None:
        """Closes it; safe twice, and without `open`."""
        if self._open is not None:
            opened, self._open = self._open, None
            opened.engine.close()
            opened.writing.close()
            opened.manifest.close()

    @property
    def opened(self) -> _Opened:
        """The open lake; opened anew if its manifest was moved."""
        if self._open is None or self._open.manifest.moved():
            self.close()
            self.open()
        assert self._open is not None
        return self._open

    def write(self, batch: Batch, shard: int | None = None) -> Wrote:
        """Adds the events of a batch that are not in the lake yet, all of them or none.

        Args:
            shard: whose progress the batch is.

        Raises:
            LakeError: the lake cannot be used.
            OSError, sqlite3.Error, duckdb.Error: it cannot be written.
        """
        opened = self.opened
        manifest, writing, engine = opened
        cursor = manifest.cursor(batch.queue_id)
        places = self._missing(opened, batch, cursor)
        names: dict[str, tuple[str, Contents]] = {}
        retimed = 0
        try:
            if places:
                staged = self._stage(opened, batch, places)
                retimed = sum(day.retimed for day in staged)
                self._write_days(opened, staged, names)
            sealed = {name: writing.seal(name) for name in names}
            with manifest.transaction():
                if manifest.cursor(batch.queue_id) != cursor:
                    raise LakeError(
                        f"{self.folder.root}: another process writes events of the same queue"
                    )
                for name, (day, contents) in names.items():
                    self._enter(opened, name, day, contents, sealed[name])
                manifest.advance(batch.queue_id, max(batch.offsets) + 1)
                if shard is not None:
                    manifest.progress(shard, _until_ms(batch), self._clock())
        except BaseException:
            for name in names:
                writing.discard(name)
            raise
        finally:
            engine.unstage()
        for name in names:
            writing.placed(name)
        days = tuple(day for day, _ in names.values())
        return Wrote(len(places), retimed, len(batch) - len(places), days)

    def progress(self, shard: int, until_ms: int | None) -> None:
        """Notes the progress of a shard that has no events to write."""
        manifest = self.opened.manifest
        with manifest.transaction(durable=False):
            manifest.progress(shard, until_ms, self._clock())

    def _missing(self, opened: _Opened, batch: Batch, cursor: int) -> list[int]:
        """Returns the places of the events that are not in the lake."""
        old = [place for place, offset in enumerate(batch.offsets) if offset < cursor]
        if not old:
            return list(range(len(batch)))
        offsets = [batch.offsets[place] for place in old]
        known = set()
        held = opened.manifest.holding(batch.queue_id, min(offsets), max(offsets))
        if held:
            parts = [self.folder.path(path) for path in held]
            known = opened.engine.offsets_in(parts, batch.queue_id, offsets)
        left = [place for place in old if batch.offsets[place] not in known]
        if left:
            ids = self._ids_in_lake(opened, [batch[place] for place in left])
            left = [place for place in left if _id_of(batch[place]) not in ids]
        skipped = set(old) - set(left)
        return [place for place in range(len(batch)) if place not in skipped]

    def _ids_in_lake(self, opened: _Opened, events: Sequence[Event]) -> set[tuple[str, str]]:
        """Returns the ids of those events that came to the lake through another queue."""
        days = {(event.timestamp or "")[:10] for event in events}
        days |= {(event.received_at or "")[:10] for event in events} | {""}
        parts = [
            self.folder.path(file.path)
            for day in sorted(days)
            for file in opened.manifest.files(day=day)
        ]
        if not parts:
            return set()
        return opened.engine.ids_in(parts, [event.message_id for event in events])

    def _stage(self, opened: _Opened, batch: Batch, places: Sequence[int]) -> list[Staged]:
        path = opened.writing.path / _LINES
        chosen = [batch[place] for place in places]
        try:
            with path.open("wb") as file:
                file.writelines(lines_of(chosen, [batch.offsets[place] for place in places]))
            return opened.engine.stage(path, batch.queue_id, self._clock())
        finally:
            path.unlink(missing_ok=True)

    def _write_days(
        self, opened: _Opened, staged: Sequence[Staged], names: dict[str, tuple[str, Contents]]
    ) -> None:
        """Writes the staged events to files, and adds their names, with day and contents."""
        days = [(day.day, [day.day]) for day in staged[: self._most_days]]
        if len(staged) > self._most_days:
            days.append(("", [day.day for day in staged[self._most_days :]]))
        for day, held in days:
            name = opened.writing.new_name(day)
            contents = opened.engine.write_staged(held, opened.writing.path / name)
            names[name] = day, contents

    def _enter(
        self, opened: _Opened, name: str, day: str, contents: Contents, sealed: tuple[int, str]
    ) -> None:
        """Moves a file to its place and adds it to the manifest, within a transaction."""
        manifest = opened.manifest
        kind: Kind = "fresh"
        if manifest.closed(day):
            kind = "late"
            rows = manifest.rows_of(day)
            manifest.changed(day, rows, rows + contents.rows, "late", self._clock())
        opened.writing.place(name)
        manifest.add([file_of(name, day, kind, 0, contents, sealed)])


def file_of(
    name: str, day: str, kind: Kind, level: int, contents: Contents, sealed: tuple[int, str]
) -> DataFile:
    """Returns the manifest's entry for a file."""
    rows, first_ms, last_ms, first_received_ms, last_received_ms, spans = contents
    return DataFile(
        place_of(name),
        day,
        kind,
        level,
        rows,
        first_ms,
        last_ms,
        first_received_ms,
        last_received_ms,
        *sealed,
        spans=tuple(Span(*span) for span in spans),
    )


def _manifest(folder: Folder) -> Manifest:
    """Opens the manifest; makes it unless there are files that it must have known."""
    held = next(folder.on_disk(), None)
    if held is not None and not (folder.root / MANIFEST).exists():
        raise LakeError(
            f"{folder.root}: {MANIFEST} is missing, and there are files such as {held}; put it "
            "back, or move the files away"
        )
    return Manifest(folder.root, writes=True, create=True)


def _id_of(event: Event) -> tuple[str, str]:
    return event.source_id, event.message_id


def _until_ms(batch: Batch) -> int | None:
    """Returns the time before which no event comes any more from the queue of a batch."""
    received = max((event.received_at or "" for event in batch), default="")
    received_ms = parse_ms(received)
    return None if received_ms is None else received_ms - SETTLE_MS
