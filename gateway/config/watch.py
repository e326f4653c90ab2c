"""Notices that a file has changed, also by an editor that replaces it, or a link to another.

Looked at is what the file system says of it (inode, time of change, size), and only if that has
changed its content. A file that is being written may be valid while half of it is missing: it is
taken once it has stayed the same from one look to the next.
"""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import hash_of

__all__ = ["FileWatch"]

_Stamp = tuple[int, int, int, int] | None


class FileWatch:
    """One file.

    Attributes:
        known: the hash of the content that was dealt with last.
    """

    def __init__(self, path: Path, known: str) -> None:
        self._path = path
        self.known = known
        self._seen: _Stamp = None
        self._settled: _Stamp = None

    def look(self) -> bool:
        """Whether there is a new content, which has stayed the same since the last look."""
        stamp = self._stamp()
        before, self._seen = self._seen, stamp
        if stamp is None or stamp != before or stamp == self._settled:
            return False
        self._settled = stamp
        known = self.known
        self.take()
        return self.known != known

    def take(self) -> None:
        """What is there now is dealt with, whoever told of it."""
        try:
            self.known = hash_of(self._path.read_bytes())
        except OSError:
            return  # it is gone again: there is nothing to deal with

    def _stamp(self) -> _Stamp:
        try:
            found = self._path.stat()
        except OSError:
            return None  # between the removal of the old one and the new one
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
