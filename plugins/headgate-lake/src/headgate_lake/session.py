"""An open lake: its manifest, a folder to write in, and DuckDB; for one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from headgate_lake.folder import Folder, Writing, place_of
from headgate_lake.manifest import MANIFEST, DataFile, Kind, LakeError, Manifest, Span
from headgate_lake.parquet import Contents, Engine
from headgate_lake.storage import Storage, as_storage
from headgate_lake.storage.lost import LostFile

__all__ = ["Session"]


class Session:
    """An open lake.

    Attributes:
        storage: where its files are.
        left: number of files of a crash that were removed when it was opened.

    Args:
        place: the folder of the lake, made if it does not exist; or where its files are.
        memory_bytes: bound on DuckDB's memory.
        clock: wall clock in milliseconds.

    Raises:
        LakeError: it cannot be used.
        OSError, sqlite3.Error: it cannot be written.
        StorageError: its manifest is in object storage only, which cannot be used.
    """

    def __init__(self, place: Path | Storage, memory_bytes: int, clock: Callable[[], int]) -> None:
        self.storage = as_storage(place)
        self.folder = Folder(self.storage.root)
        self.clock = clock
        self.storage.prepare(writes=True)
        self.folder.make()
        self.manifest = _manifest(self.folder)
        try:
            with self.manifest.transaction():
                self.left = self.folder.remove_leftovers(self.manifest.holds)
            self.writing = Writing(self.folder)
        except BaseException:
            self.manifest.close()
            raise
        self.engine = Engine(memory_bytes, self.writing.spill)

    def close(self) -> None:
        """Closes it; safe twice."""
        self.engine.close()
        self.writing.close()
        self.manifest.close()

    def reading(self, files: Sequence[DataFile]) -> AbstractContextManager[list[Path]]:
        """Gives the local paths of files of the lake, which stay there until the context ends."""
        return self.storage.reading(files)

    def problem(self, file: DataFile) -> str:
        """Reads a file as a whole; returns why it cannot be used, or nothing."""
        problem = self._problem(file)
        if problem and self.storage.forget_copy(file):
            return self._problem(file)  # only the copy here was damaged
        return problem

    def _problem(self, file: DataFile) -> str:
        try:
            with self.reading([file]) as (path,):
                return self.engine.problem(path, file.rows)
        except LostFile as error:
            return str(error)

    def sealed(
        self, name: str, day: str, contents: Contents, *, kind: Kind = "fresh", level: int = 0
    ) -> DataFile:
        """Brings a written file to stable storage, and returns its entry for the manifest."""
        size, checksum = self.writing.seal(name)
        return DataFile(
            path=place_of(name),
            day=day,
            kind=kind,
            level=level,
            rows=contents.rows,
            first_ms=contents.first_ms,
            last_ms=contents.last_ms,
            first_received_ms=contents.first_received_ms,
            last_received_ms=contents.last_received_ms,
            bytes=size,
            sha256=checksum,
            spans=tuple(Span(*span) for span in contents.spans),
            persons=contents.persons,
        )

    def enter(self, files: Sequence[DataFile]) -> None:
        """Moves sealed files to their places and adds them, within a transaction."""
        for file in files:
            self.writing.place(Path(file.path).name)
        self.manifest.add(files)

    def swap(
        self,
        parts: Sequence[DataFile],
        files: Sequence[DataFile],
        note: Callable[[Manifest], None] = lambda _: None,
    ) -> bool:
        """Puts sealed files in the place of others, in one transaction.

        Args:
            note: changes more in the same transaction.

        Returns:
            False if a part is no longer in the lake, as another process was faster; then nothing
            has changed.
        """
        names = [Path(file.path).name for file in files]
        done = False
        try:
            with self.manifest.transaction():
                done = self.manifest.drop([part.path for part in parts], self.clock())
                if done:
                    self.enter(files)
                    note(self.manifest)
        except BaseException:
            self.discard(names)
            raise
        if done:
            self.settled(names)
        else:
            self.discard(names)
        return done

    def set_aside(self, file: DataFile) -> None:
        """Takes a broken file out of the lake, and keeps it in the folder ``aside``."""
        self.swap([file], [], lambda manifest: manifest.deleted([file.path]))
        self.folder.set_aside(file.path)

    def settled(self, names: Sequence[str]) -> None:
        """Notes that the manifest has these files."""
        for name in names:
            self.writing.placed(name)

    def discard(self, names: Sequence[str]) -> None:
        """Removes files that the manifest does not get."""
        for name in names:
            self.writing.discard(name)


def _manifest(folder: Folder) -> Manifest:
    """Opens the manifest; makes it unless there are files that it must have known."""
    held = next(folder.on_disk(), None)
    if held is not None and not (folder.root / MANIFEST).exists():
        raise LakeError(
            f"{folder.root}: {MANIFEST} is missing, and there are files such as {held}; put it "
            "back from the backup, make it anew with `gateway lake rebuild`, or move the files away"
        )
    return Manifest(folder.root, writes=True, create=True)
