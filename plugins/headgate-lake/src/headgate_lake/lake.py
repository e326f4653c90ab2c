"""The lake as its readers see it: which files hold a time range, and how far it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headgate_lake.manifest import Change, DataFile, Day, Manifest, Shard
from headgate_lake.watermark import watermark_ms

__all__ = ["Lake", "LakeState"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class LakeState:
    """What a lake holds, at one moment.

    Attributes:
        watermark: the time before which all accepted events are in the lake; None before any.
        first, last: times of the first and the last event.
        shards: the progress of each shard.
        changes: of closed days, the newest first.
    """

    id: str
    files: int
    rows: int
    bytes: int
    watermark: datetime | None
    first: datetime | None
    last: datetime | None
    days: tuple[Day, ...]
    shards: tuple[Shard, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake, for reading. It holds nothing open; each answer is that of the moment.

    Files that were merged stay on disk for some minutes, so that a query can finish with the list
    that it began with. After an erasure they go at once, and a query may have to start again.

    Attributes:
        folder: of the lake.
    """

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> Lake:
        """Returns the lake in a folder.

        Raises:
            LakeError: there is none, or it is damaged or of a newer release.
        """
        lake = cls(folder.absolute())
        with lake._manifest():
            return lake

    @property
    def id(self) -> str:
        """The id of this lake, which differs from that of any other."""
        with self._manifest() as manifest:
            return manifest.id

    @property
    def watermark(self) -> datetime | None:
        """The time before which all accepted events are in the lake; None before any."""
        with self._manifest() as manifest:
            until_ms = watermark_ms(manifest.shards())
        return None if until_ms is None else _moment(until_ms)

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The times of the first and the last event; None for an empty lake."""
        with self._manifest() as manifest:
            span = manifest.span()
        return None if span is None else (_moment(span[0]), _moment(span[1]))

    @property
    def rows(self) -> int:
        """The number of events."""
        with self._manifest() as manifest:
            return manifest.totals()[1]

    def files(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> tuple[DataFile, ...]:
        """Returns the files that may hold events from `start` to before `end`, in order."""
        with self._manifest() as manifest:
            return tuple(manifest.files(_ms(start), _ms(end)))

    def files_of(
        self, persons: Iterable[int], start: datetime | None = None, end: datetime | None = None
    ) -> tuple[DataFile, ...]:
        """Returns those of `files` that may hold one of some persons.

        Args:
            persons: their numbers in the column `person`, or `headgate_lake.person_of` a userId,
                anonymousId or previousId.
        """
        with self._manifest() as manifest:
            return tuple(manifest.holding_any(persons, _ms(start), _ms(end)))

    def paths(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        persons: Iterable[int] | None = None,
    ) -> tuple[Path, ...]:
        """Returns the absolute paths of `files`, or of `files_of` some persons."""
        files = self.files(start, end) if persons is None else self.files_of(persons, start, end)
        return tuple(self.folder / file.path for file in files)

    def changes(self) -> tuple[Change, ...]:
        """Returns the changes of closed days, the newest first."""
        with self._manifest() as manifest:
            return tuple(manifest.changes())

    def state(self) -> LakeState:
        """Returns what the lake holds."""
        with self._manifest() as manifest, manifest.snapshot():
            files, rows, size = manifest.totals()
            shards, span = manifest.shards(), manifest.span()
            until_ms = watermark_ms(shards)
            return LakeState(
                manifest.id,
                files,
                rows,
                size,
                None if until_ms is None else _moment(until_ms),
                None if span is None else _moment(span[0]),
                None if span is None else _moment(span[1]),
                tuple(manifest.days()),
                tuple(shards),
                tuple(manifest.changes()),
            )

    @contextmanager
    def _manifest(self) -> Iterator[Manifest]:
        manifest = Manifest(self.folder)
        try:
            yield manifest
        finally:
            manifest.close()


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"{moment}: has no time zone")
    return (moment - _EPOCH) // _MILLISECOND
