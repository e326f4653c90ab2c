"""The epochs of a disk queue: which name its events have at destinations that take each event once.

An offset may be given out twice: after a power loss took the tail of the queue, or when a backup of
the queue was restored. A destination that has the first event must not take the second for it. So
each run of the gateway gives the events that it writes a name of their own, an epoch.

The file ``epochs`` in the queue's folder has a line for each epoch: the offset of its first event
and its name. It is written and synced before the first event of a run is stored. Events before the
first epoch have the name of the queue.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

from gateway.queue.files import FileSystem
from gateway.queue.queue_id import new_identity

__all__ = ["Epochs"]

_NAME = "epochs"
_DRAFT = "epochs.new"
_LINE = re.compile(rb"([0-9]{1,19}) ([0-9a-f]{32})")
_MOST_BYTES = 10_000_000


class Epochs:
    """The epochs of the queue in a folder.

    Args:
        identity: the name of the queue.
    """

    def __init__(self, files: FileSystem, folder: Path, identity: str) -> None:
        self._files = files
        self._folder = folder
        self._identity = identity
        self._firsts: list[int] = []
        self._names: list[str] = []

    def load(self) -> None:
        """Reads the file; lines that are damaged are left out."""
        if _NAME not in self._files.list_dir(self._folder):
            return
        fd = self._files.open(self._folder / _NAME)
        try:
            content = self._files.read(fd, 0, _MOST_BYTES)
        finally:
            self._files.close(fd)
        for line in content.split(b"\n"):
            found = _LINE.fullmatch(line)
            if found and (not self._firsts or int(found[1]) > self._firsts[-1]):
                self._firsts.append(int(found[1]))
                self._names.append(found[2].decode())

    def begin(self, first_kept: int, end: int) -> None:
        """Begins an epoch at `end`; it is on stable storage when this returns.

        Args:
            first_kept: offset of the oldest event; epochs that end before it are forgotten.

        Raises:
            OSError: it cannot be written.
        """
        known = [
            (first, name)
            for place, (first, name) in enumerate(zip(self._firsts, self._names, strict=True))
            if first < end
            and (place + 1 == len(self._firsts) or self._firsts[place + 1] > first_kept)
        ]
        known.append((end, new_identity()))
        draft = self._folder / _DRAFT
        fd = self._files.create(draft)
        try:
            self._files.write(fd, "".join(f"{first} {name}\n" for first, name in known).encode())
            self._files.sync(fd)
        finally:
            self._files.close(fd)
        self._files.rename(draft, self._folder / _NAME)
        self._files.sync_dir(self._folder)
        self._firsts = [first for first, _ in known]
        self._names = [name for _, name in known]

    def at(self, offset: int) -> tuple[str, int | None]:
        """Returns the name of the event at an offset, and where the next epoch begins, if any."""
        firsts, names = self._firsts, self._names
        place = bisect_right(firsts, offset)
        after = firsts[place] if place < len(firsts) else None
        return (names[place - 1] if place else self._identity), after
