"""Notices that a file has changed, also where an editor replaces it, or a link leads elsewhere.

A look compares the file's inode, time and size; only a change there makes it read the content. A
half-written file may be valid, so a change counts only after two looks at the same state.
"""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import hash_of

__all__ = ["FileWatch"]

_Stamp = tuple[int, int, int, int] | None


class FileWatch:
    """Watches one file.

    Attributes:
        known: the hash of the content that was used last.
    """

    def __init__(self, path: Path, known: str) -> None:
        self._path = path
        self.known = known
        self._seen: _Stamp = None
        self._settled: _Stamp = None

    def look(self) -> bool:
        """Tells whether there is a new content, unchanged since the last look."""
        stamp = self._stamp()
        before, self._seen = self._seen, stamp
        if stamp is None or stamp != before or stamp == self._settled:
            return False
        self._settled = stamp
        known = self.known
        self.take()
        return self.known != known

    def take(self) -> None:
        """Marks the current content as used."""
        try:
            self.known = hash_of(self._path.read_bytes())
        except OSError:
            return  # there is no file at the moment

    def _stamp(self) -> _Stamp:
        try:
            found = self._path.stat()
        except OSError:
            return None  # the old file is gone and the new one not there yet
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
