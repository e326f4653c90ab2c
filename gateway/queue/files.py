"""The file operations of the disk store, each of which tests can make fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

__all__ = ["PROBE_FILE", "FileSystem", "RealFileSystem", "probe"]

PROBE_FILE = "probe"


class FileSystem(Protocol):
    """Blocking file operations on descriptors. Each may raise OSError."""

    def make_dir(self, path: Path) -> None:
        """Creates a folder and its parents."""

    def list_dir(self, path: Path) -> list[str]:
        """Returns the names in a folder."""

    def create(self, path: Path) -> int:
        """Opens an empty file for writing; an existing file is emptied."""

    def open(self, path: Path) -> int:
        """Opens a file for reading."""

    def write(self, fd: int, data: bytes) -> None:
        """Appends all of `data`."""

    def read(self, fd: int, position: int, size: int) -> bytes:
        """Returns `size` bytes from `position`; fewer only at the end of the file."""

    def size(self, path: Path) -> int:
        """Returns the length of a file in bytes."""

    def modified_ms(self, path: Path) -> int:
        """Returns the time when a file was last written."""

    def truncate(self, path: Path, size: int) -> None:
        """Cuts a file back, and syncs it."""

    def sync(self, fd: int) -> None:
        """Brings a file's contents to stable storage."""

    def sync_dir(self, path: Path) -> None:
        """Brings a folder's list of names to stable storage."""

    def close(self, fd: int) -> None:
        """Closes a descriptor."""

    def remove(self, path: Path) -> None:
        """Removes a file; a missing file is no error."""

    def is_at(self, fd: int, path: Path) -> bool:
        """Tells whether an open file is still the one at a path."""

    def rename(self, source: Path, target: Path) -> None:
        """Renames a file, over another if there is one, at once or not at all."""

    def replace(self, source: Path, target: Path) -> None:
        """Renames a file over another, atomically. It keeps the other's time of writing."""


class RealFileSystem:
    """The operating system's files."""

    def make_dir(self, path: Path) -> None:
        """See `FileSystem`."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def list_dir(self, path: Path) -> list[str]:
        """See `FileSystem`."""
        return os.listdir(path)  # noqa: PTH208 - names, not paths

    def create(self, path: Path) -> int:
        """See `FileSystem`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        """See `FileSystem`."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes) -> None:
        """See `FileSystem`."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def read(self, fd: int, position: int, size: int) -> bytes:
        """See `FileSystem`."""
        data = os.pread(fd, size, position)
        while len(data) < size:
            more = os.pread(fd, size - len(data), position + len(data))
            if not more:
                break
            data += more
        return data

    def size(self, path: Path) -> int:
        """See `FileSystem`."""
        return path.stat().st_size

    def modified_ms(self, path: Path) -> int:
        """See `FileSystem`."""
        return path.stat().st_mtime_ns // 1_000_000

    def truncate(self, path: Path, size: int) -> None:
        """See `FileSystem`."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            self.sync(fd)
        finally:
            os.close(fd)

    if sys.platform == "darwin":

        def sync(self, fd: int) -> None:
            """See `FileSystem`; on macOS fsync alone leaves data in the drive's cache."""
            import fcntl

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

    else:

        def sync(self, fd: int) -> None:
            """See `FileSystem`; fdatasync also flushes a file's new length."""
            os.fdatasync(fd)

    def sync_dir(self, path: Path) -> None:
        """See `FileSystem`."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        """See `FileSystem`."""
        os.close(fd)

    def remove(self, path: Path) -> None:
        """See `FileSystem`."""
        path.unlink(missing_ok=True)

    def is_at(self, fd: int, path: Path) -> bool:
        """See `FileSystem`."""
        try:
            return os.path.samestat(os.fstat(fd), path.stat())
        except FileNotFoundError:
            return False

    def rename(self, source: Path, target: Path) -> None:
        """See `FileSystem`."""
        source.replace(target)

    def replace(self, source: Path, target: Path) -> None:
        """See `FileSystem`."""
        found = target.stat()
        os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))
        source.replace(target)


def probe(files: FileSystem, folder: Path, size: int) -> None:
    """Writes and removes a file of a size.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / PROBE_FILE
    fd = files.create(path)
    try:
        files.write(fd, bytes(size))
        files.sync(fd)
    finally:
        files.close(fd)
        files.remove(path)
