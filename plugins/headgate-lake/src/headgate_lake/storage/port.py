"""The port to the files of a lake."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

from headgate_lake.manifest import DataFile

__all__ = ["Storage", "Synced", "as_storage", "portions"]


class Synced(Struct):
    """What a run of `Storage.sync` has done.

    Attributes:
        busy: another process was at it, so nothing was done.
        uploaded: number of files uploaded.
        bytes: their size.
        deleted: number of files deleted from object storage.
        more: further files wait; the next run takes them, and then uploads the manifest.
        lost: files that are missing in the folder, although they were not uploaded yet.
    """

    busy: bool = False
    uploaded: int = 0
    bytes: int = 0
    deleted: int = 0
    more: bool = False
    lost: list[str] = []


class Storage(ABC):
    """The files of one lake. Any thread may use it.

    Attributes:
        root: the local folder of the lake.
        url: names the object storage; empty without.
        most_bytes: bound on the files that can be here for readers at once; None for none.
    """

    url = ""
    most_bytes: int | None = None

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def prepare(self, *, writes: bool) -> None:
        """Brings the manifest to the local folder, if it is only in object storage.

        Args:
            writes: the caller is about to change the lake, not only to read it.

        Raises:
            StorageError: object storage cannot be used.
        """

    @abstractmethod
    def reading(
        self,
        files: Sequence[DataFile],
        *,
        bounded: bool = False,
        given_up: Callable[[], bool] = lambda: False,
    ) -> AbstractContextManager[list[Path]]:
        """Gives the local paths of files, which stay there until the context ends.

        Args:
            bounded: refuse files that do not fit into the bound on local copies.
            given_up: tells that nobody waits for the files any more.

        Raises:
            StorageError: a file cannot be brought here.
        """

    @abstractmethod
    def remove(self, paths: Iterable[str]) -> list[str]:
        """Deletes local files that left the lake; returns those that are nowhere else."""

    @abstractmethod
    def sync(self, now_ms: int, *, grace_ms: int, wait: bool = False) -> Synced:
        """Uploads what waits, then the manifest, and then deletes what left the lake.

        Args:
            grace_ms: files that left the lake stay for so long.
            wait: until another process that is at it has finished.

        Raises:
            StorageError: object storage cannot be used. What was uploaded until then is noted.
        """

    @abstractmethod
    def probe(self) -> None:
        """Proves that object storage can be written and read, without changing the lake there.

        Raises:
            StorageError: it cannot be used.
        """

    @abstractmethod
    def claim(self) -> None:
        """Claims object storage for this folder.

        Raises:
            StorageError: another gateway writes there, or it cannot be used.
        """

    @abstractmethod
    def forget_copy(self, file: DataFile) -> bool:
        """Deletes the local copy of an uploaded file; False if there is no other one."""

    @abstractmethod
    def search_strays(self, wanted: Callable[[Path], bool]) -> int:
        """Deletes objects that are no part of the lake and that are wanted; returns their number.

        Args:
            wanted: is given a copy of each.

        Raises:
            StorageError: object storage cannot be used.
        """

    @abstractmethod
    def strays(self) -> list[str]:
        """Returns the objects that are no part of the lake.

        Raises:
            StorageError: object storage cannot be used.
        """


def portions(files: Sequence[DataFile], most_bytes: int | None) -> Iterator[Sequence[DataFile]]:
    """Divides files into portions of half a bound at most, or of one file."""
    if most_bytes is None:
        most_bytes = sys.maxsize
    some: list[DataFile] = []
    size = 0
    for file in files:
        if some and size + file.bytes > most_bytes // 2:
            yield some
            some, size = [], 0
        some.append(file)
        size += file.bytes
    if some:
        yield some


def as_storage(place: Path | Storage) -> Storage:
    """Returns the storage of a lake; a path is a folder that has all of it."""
    if isinstance(place, Storage):
        return place
    from headgate_lake.storage.local import LocalStorage

    return LocalStorage(place)
