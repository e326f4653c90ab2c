"""Reports damage in the disk store, and keeps the damaged bytes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.queue.files import FileSystem
from gateway.queue.segment import Damage

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Quarantine"]


class Quarantine:
    """Keeps damaged bytes in ``quarantine/`` beside the segments.

    Args:
        folder: the queue's folder.

    Attributes:
        damaged_events: number of events reported as lost.
    """

    def __init__(self, files: FileSystem, folder: Path, log: FilteringBoundLogger) -> None:
        self.damaged_events = 0
        self._files = files
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()  # readers in several threads report damage
        self._reported: set[tuple[Path, int]] = set()

    def report(self, damage: Damage) -> None:
        """Logs once that events are lost, and keeps the bytes that held them."""
        with self._lock:
            if (damage.path, damage.start) in self._reported:
                return
            self._reported.add((damage.path, damage.start))
            self.damaged_events += damage.end - damage.first
        kept = self.keep(damage, "damaged") if damage.stop > damage.start else None
        self._log.error(
            "queue: damaged frames; the events in them are lost, reading goes on after them",
            segment=damage.path.name,
            bytes=damage.stop - damage.start,
            first_offset=damage.first,
            events=damage.end - damage.first,
            quarantined=str(kept) if kept else None,
        )

    def keep(self, damage: Damage, kind: str) -> Path | None:
        """Copies damaged bytes to a file of their own.

        Args:
            kind: the end of the file's name.

        Returns:
            The file; None if it could not be written.
        """
        folder = self._folder / "quarantine"
        target = folder / f"{damage.path.stem}-{damage.start}.{kind}"
        try:
            self._files.make_dir(folder)
            source = self._files.open(damage.path)
            try:
                data = self._files.read(source, damage.start, damage.stop - damage.start)
            finally:
                self._files.close(source)
            fd = self._files.create(target)
            try:
                self._files.write(fd, data)
                self._files.sync(fd)
            finally:
                self._files.close(fd)
        except OSError:
            self._log.warning("queue: could not keep damaged bytes", exc_info=True)
            return None
        return target
