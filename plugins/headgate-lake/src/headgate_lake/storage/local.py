"""A lake whose files are in its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headgate_lake.folder import Folder
from headgate_lake.manifest import DataFile
from headgate_lake.storage.port import Storage, Synced

__all__ = ["LocalStorage"]


class LocalStorage(Storage):
    """All files are in the folder of the lake."""

    def prepare(self, *, writes: bool) -> None:
        """Does nothing."""

    @contextmanager
    def reading(
        self,
        files: Sequence[DataFile],
        *,
        bounded: bool = False,
        given_up: Callable[[], bool] = lambda: False,
    ) -> Iterator[list[Path]]:
        """Gives the paths of files."""
        yield [self.root / file.path for file in files]

    def remove(self, paths: Iterable[str]) -> list[str]:
        """Deletes files that left the lake; returns all of them."""
        folder = Folder(self.root)
        gone = list(paths)
        for path in gone:
            folder.remove(path)
        return gone

    def sync(self, now_ms: int, *, grace_ms: int, wait: bool = False) -> Synced:
        """Does nothing."""
        return Synced()

    def probe(self) -> None:
        """Does nothing."""

    def claim(self) -> None:
        """Does nothing."""

    def forget_copy(self, file: DataFile) -> bool:
        """Returns False: the file is no copy."""
        return False

    def search_strays(self, wanted: Callable[[Path], bool]) -> int:
        """Returns 0: there are no objects."""
        return 0

    def strays(self) -> list[str]:
        """Returns nothing: there are no objects."""
        return []
