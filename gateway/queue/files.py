"""The few file operations that the disk store needs, so that tests can make each of them fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

__all__ = ["FileSystem", "RealFileSystem"]


class FileSystem(Protocol):
    """Blocking file operations on descriptors; every one may raise OSError."""

    def make_dir(self, path: Path) -> None:
        """Create a folder and the ones above it."""

    def list_dir(self, path: Path) -> list[str]:
        """Names in a folder."""

    def create(self, path: Path) -> int:
        """Open an empty file for writing, discarding what was there."""

    def open(self, path: Path) -> int:
        """Open a file for reading."""

    def write(self, fd: int, data: bytes) -> None:
        """Append all of `data`."""

    def read(self, fd: int, position: int, size: int) -> bytes:
        """Up to `size` bytes from `position`; fewer only at the end of the file."""

    def size(self, path: Path) -> int:
        """Length of a file in bytes."""

    def modified_ms(self, path: Path) -> int:
        """When the file was last written."""

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file back and bring that to stable storage."""

    def sync(self, fd: int) -> None:
        """Bring a file's contents to stable storage."""

    def sync_dir(self, path: Path) -> None:
        """Bring a folder's list of names to stable storage."""

    def close(self, fd: int) -> None:
        """Close a descriptor."""

    def remove(self, path: Path) -> None:
        """Unlink a file; none there is no error."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file over another, at once or not at all, keeping the time of the other."""


class RealFileSystem:
    """The operating system's files."""

    def make_dir(self, path: Path) -> None:
        """See `FileSystem`."""
        path.mkdir(parents=True, exist_ok=True)

    def list_dir(self, path: Path) -> list[str]:
        """See `FileSystem`."""
        return os.listdir(path)  # noqa: PTH208 - names, not paths

    def create(self, path: Path) -> int:
        """See `FileSystem`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)

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

    def replace(self, source: Path, target: Path) -> None:
        """See `FileSystem`."""
        found = target.stat()
        os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))
        source.replace(target)
