"""Room on disk that is kept for the state store, so that deliveries can be recorded on a full disk.

The reserve is the file ``reserve`` in the data directory. When the disk is full, the state store
removes it (`release`) and goes on. While it is missing the queue takes no events, so that they do
not use up the room. The queue makes it again as soon as there is room.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["RESERVE_FILE", "Reserve", "release", "release_if_full"]

RESERVE_FILE = "reserve"

_SHARE = 16
"""A reserve takes this part of a small disk at most."""

_CHUNK = bytes(1_000_000)


class Reserve:
    """The reserve of one data directory.

    Attributes:
        whole: it is there; `fill` finds out.

    Args:
        size: in bytes; 0 keeps none.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._path = folder / RESERVE_FILE
        self._size = size
        self.whole = size == 0

    def fill(self) -> bool:
        """Makes the reserve if it is missing; returns True if it is there now."""
        self.whole = self._size == 0 or self._path.exists() or self._make()
        return self.whole

    def _make(self) -> bool:
        draft = self._path.with_suffix(".new")
        try:
            disk = os.statvfs(self._path.parent)
            size = min(self._size, disk.f_blocks * disk.f_frsize // _SHARE)
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                if sys.platform == "linux":
                    os.posix_fallocate(fd, 0, max(1, size))
                else:  # others cannot allocate without writing
                    for start in range(0, size, len(_CHUNK)):
                        os.write(fd, _CHUNK[: size - start])
                os.fsync(fd)
                complete = os.fstat(fd).st_size >= size
            finally:
                os.close(fd)
            if complete:
                draft.replace(self._path)
                return True
        except OSError:
            pass
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        return False


def release(folder: Path) -> bool:
    """Removes the reserve of a data directory; returns True if there was one."""
    try:
        (folder / RESERVE_FILE).unlink()
    except OSError:
        return False
    return True


def release_if_full(folder: Path, needed: int) -> None:
    """Removes the reserve if the disk has less room than is needed to start."""
    with suppress(OSError):
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < needed:
            release(folder)
