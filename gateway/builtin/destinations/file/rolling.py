"""Appends lines to files that roll over by time and size. Everything here blocks.

A file is named ``events-<second of its creation, UTC>-<number within that second>.ndjson``, such as
``events-20261123T140003Z-000001.ndjson``. Names sort in the order in which lines were written. No
name is used twice, not even if finished files are moved elsewhere.

Invariants
----------
1. When `RollingFile.append` returns, its lines are whole and on stable storage (with ``sync``).
2. A file in use ends with a line end before anything is appended. After a failed append the file is
   cut back to its old size, and nothing more is appended to it, because after a failed fsync the
   pages in memory may differ from the disk. After a crash an incomplete line at the end of the
   newest file is cut off before the first append; no caller was told that it is stored.
3. A folder has one writer at a time, by a lock that ends with its process (flock on ``.lock``).
4. A finished file changes only by being replaced: with its compressed copy, after which the plain
   file is removed, once the copy is on stable storage under its final name; or with a copy from
   which lines were erased (`gateway.builtin.destinations.file.erase`).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.builtin.destinations.file.names import MODE, PARTIAL, FileName, compressed
from gateway.queue.files import FileSystem, RealFileSystem

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["RollingFile"]

_LOCK = ".lock"
_CHUNK_BYTES = 1 << 20


class RollingFile:
    """Appends to the newest file of a folder. Only one thread uses it at a time.

    Args:
        roll_bytes: a file that would grow beyond this is finished first. A file is larger only if
            a single append is.
        roll_seconds: length of the period of a file; periods begin at its multiples since 1970.
        sync: `append` returns only once the data is on stable storage.
        clock: wall clock in milliseconds.
        files: replaced in tests by a file system that fails.

    Attributes:
        finished: finished files that are not compressed, oldest first; the caller removes those
            that it has handled.
    """

    def __init__(
        self,
        folder: Path,
        *,
        roll_bytes: int,
        roll_seconds: int,
        sync: bool,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        files: FileSystem | None = None,
    ) -> None:
        self.finished: list[Path] = []
        self._folder = folder
        self._roll_bytes = roll_bytes
        self._roll_seconds = roll_seconds
        self._sync = sync
        self._clock = clock
        self._log = log
        self._files = files or RealFileSystem()
        self._lock: int | None = None
        self._fd: int | None = None
        self._name = FileName(0, 0)
        self._to_cut: tuple[Path, int] | None = None

    @property
    def path(self) -> Path:
        """The file of the last append."""
        return self._folder / str(self._name)

    def append(self, data: bytes) -> None:
        """Appends whole lines, all or nothing.

        Raises:
            OSError: nothing was appended.
        """
        self._get_ready()
        second = self._second()
        size = os.fstat(self._fd).st_size if self._fd is not None else 0
        late = second // self._roll_seconds != self._name.second // self._roll_seconds
        full = size + len(data) > self._roll_bytes
        if self._fd is None or late or full:
            self._roll(second)
            size = 0
        assert self._fd is not None
        try:
            self._files.write(self._fd, data)
            if self._sync:
                self._files.sync(self._fd)
        except BaseException:
            self._undo(size)
            raise

    def finish(self) -> None:
        """Finishes the current file; the next append begins a new one.

        Raises:
            OSError: the folder cannot be used, or another destination or process writes to it.
        """
        self._get_ready()
        if self._fd is not None:
            self._close_file()
            self.finished.append(self.path)

    def close(self) -> None:
        """Releases the file and the folder; safe twice and without an `append`."""
        self._close_file()
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)

    # -- getting ready -------------------------------------------------------

    def _get_ready(self) -> None:
        """Locks the folder, finds its newest file, and removes what a failed append has left."""
        if self._fd is not None and self._is_gone():
            self._log.warning("file: the current file was moved or removed", file=self.path.name)
            self.close()
        if self._lock is None:
            self._make_folder()
            self._lock = self._take_lock()
            try:
                self._cut()
                self._recover()
            except BaseException:
                self.close()
                raise
        else:
            self._cut()

    def _is_gone(self) -> bool:
        assert self._fd is not None
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._fd))
        except OSError:  # opening the folder anew raises the error, if it is still there
            return True

    def _make_folder(self) -> None:
        missing = [self._folder, *self._folder.parents]
        missing = [folder for folder in missing if not folder.exists()]
        self._files.make_dir(self._folder)
        if self._sync:
            for folder in missing:
                self._files.sync_dir(folder.parent)

    def _take_lock(self) -> int:
        lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            text = "another destination or process writes to this folder"
            raise BlockingIOError(errno.EWOULDBLOCK, text, str(self._folder)) from None
        except OSError:
            os.close(lock)
            raise
        return lock

    def _recover(self) -> None:
        """Finds the newest file, and completes or removes what an earlier run left unfinished."""
        self.finished.clear()
        plain: list[FileName] = []
        compressed: set[FileName] = set()
        for entry in self._files.list_dir(self._folder):
            name = FileName.parse(entry.removesuffix(PARTIAL))
            if name is None:
                continue
            if entry.endswith(PARTIAL):
                self._files.remove(self._folder / entry)
            elif entry.endswith(".gz"):
                compressed.add(name)
            else:
                plain.append(name)
        for name in set(plain) & compressed:
            self._files.remove(self._folder / str(name))
            plain.remove(name)
        plain.sort()
        self._name = max(self._name, *plain, *compressed, FileName(0, 0))
        if plain:
            self._cut_last_line(self._folder / str(plain[-1]))
        paths = [path for name in plain if (path := self._folder / str(name)).exists()]
        if self.path in paths:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            paths.remove(self.path)
        self.finished += paths

    def _cut_last_line(self, path: Path) -> None:
        """Cuts off an incomplete last line, which a crash leaves; removes a file without lines."""
        size = self._files.size(path)
        end = _end_of_last_line(self._files, path, size)
        if end < size:
            self._log.warning(
                "file: cut off half a line, the trace of a crash; its event is sent again",
                file=path.name,
                bytes=size - end,
            )
        self._cut_to(path, end, size)

    def _undo(self, size: int) -> None:
        """Finishes the current file, cut back to `size`."""
        self._to_cut = (self.path, size)
        self._close_file()
        with suppress(OSError):  # the disk is failing; it is tried again before the next append
            self._cut()

    def _cut(self) -> None:
        if self._to_cut is not None:
            path, size = self._to_cut
            with suppress(FileNotFoundError):
                self._cut_to(path, size, self._files.size(path))
                if size:
                    self.finished.append(path)
            self._to_cut = None

    def _cut_to(self, path: Path, size: int, found: int) -> None:
        if size == 0:
            self._files.remove(path)
        elif size < found:
            self._files.truncate(path, size)

    # -- rolling -------------------------------------------------------------

    def _second(self) -> int:
        """Returns the time, or that of the last name if the clock was set back a little."""
        now, last = self._clock() // 1000, self._name.second
        return last if 0 < last - now <= self._roll_seconds else now

    def _roll(self, second: int) -> None:
        if self._fd is not None:
            self._close_file()
            self.finished.append(self.path)
        number = self._name.number if second == self._name.second else 0
        self._name = FileName(second, number + 1)
        while self.path.exists() or compressed(self.path).exists():
            self._name = FileName(second, self._name.number + 1)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, MODE)
        if self._sync:
            try:
                self._files.sync_dir(self._folder)
            except BaseException:
                self._undo(0)
                raise

    def _close_file(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._files.close(fd)


def _end_of_last_line(files: FileSystem, path: Path, size: int) -> int:
    """Returns the position after the last line end; 0 where there is none."""
    fd = files.open(path)
    try:
        position = size
        while position > 0:
            start = max(0, position - _CHUNK_BYTES)
            found = files.read(fd, start, position - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            position = start
    finally:
        files.close(fd)
    return 0
