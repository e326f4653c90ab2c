"""The lake as its readers see it: which files hold a time range, and how far it is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headgate_lake.manifest import Change, DataFile, Day, Manifest, Shard
from headgate_lake.storage import Storage, as_storage, portions
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
        waiting_files, waiting_bytes: those that are not in object storage yet; 0 without any.
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
    waiting_files: int = 0
    waiting_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake, for reading. It holds nothing open; each answer is that of the moment.

    Files that were merged stay on disk for some minutes, so that a query can finish with the list
    that it began with. After an erasure they go at once, and a query may have to start again.

    Attributes:
        place: the folder of the lake, or where its files are.
    """

    place: Path | Storage

    @classmethod
    def open(cls, place: Path | Storage) -> Lake:
        """Returns the lake at a place; from object storage, its manifest is brought here.

        Raises:
            LakeError: there is none, or it is damaged or of a newer release.
            StorageError: object storage cannot be used.
        """
        lake = cls(place if isinstance(place, Storage) else place.absolute())
        lake.storage.prepare(writes=False)
        with lake._manifest():
            return lake

    @property
    def storage(self) -> Storage:
        """Where its files are."""
        return as_storage(self.place)

    @property
    def folder(self) -> Path:
        """Its local folder."""
        return self.storage.root

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
        """Returns the absolute paths of `files`, or of `files_of` some persons.

        Of a lake in object storage they may be missing; `reading` brings them.
        """
        files = self.files(start, end) if persons is None else self.files_of(persons, start, end)
        return tuple(self.folder / file.path for file in files)

    def portions(self, files: Sequence[DataFile]) -> Iterator[Sequence[DataFile]]:
        """Divides files into portions of which each can be on this machine at once."""
        return portions(files, self.storage.most_bytes)

    def reading(
        self, files: Sequence[DataFile], given_up: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[list[Path]]:
        """Gives the local paths of files, which stay there until the context ends.

        Args:
            given_up: tells that nobody waits for them any more.

        Raises:
            StorageError: a file cannot be brought here, or they are more than `cache_max_bytes`.
        """
        return self.storage.reading(files, bounded=True, given_up=given_up)

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
            waiting = manifest.waiting() if self.storage.url else []
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
                len(waiting),
                sum(file.bytes for file in waiting),
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
