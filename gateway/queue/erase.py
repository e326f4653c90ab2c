"""Erases events from the disk store, segment after segment, while it is written to and read.

The store's lock guards its list of segments. A segment that retention has removed meanwhile does
not come back. A segment that is replaced gets a new entry in the list, so that a reader of the old
file still sees the old file's size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from gateway.components.store import Erased
from gateway.queue.files import FileSystem
from gateway.queue.index import index_path
from gateway.queue.record import Codec
from gateway.queue.rewrite import Redact, draft_path, write_draft
from gateway.queue.segment import Segment

__all__ = ["Eraser"]


class Eraser:
    """Runs one erasure.

    Args:
        segments: the store's own list, oldest first.
        lock: guards the list.
    """

    def __init__(
        self, files: FileSystem, folder: Path, segments: list[Segment], lock: threading.Lock
    ) -> None:
        self._files = files
        self._folder = folder
        self._segments = segments
        self._lock = lock
        self._codec = Codec()

    def run(self, redact: Redact, progress: Callable[[int, int], None]) -> Erased:
        """See `Store.erase`."""
        with self._lock:
            segments = list(self._segments)
        erased = Erased()
        damaged = 0
        for number, segment in enumerate(segments):
            progress(number, len(segments))
            try:
                done = write_draft(self._files, segment, self._codec, redact)
            except FileNotFoundError:
                continue  # retention has removed the segment
            erased.ids += done.ids
            damaged += done.damaged
            if done.size is not None:
                self._swap(segment, done.size)
        progress(len(segments), len(segments))
        self._files.sync_dir(self._folder)
        quarantined = self._empty_quarantine()
        notes = []
        if damaged:
            notes.append(f"{damaged} damaged bytes, which cannot be searched, are gone as well")
        if quarantined:
            notes.append(f"{quarantined} files in quarantine, which cannot be searched, are gone")
        erased.detail = "; ".join(notes)
        return erased

    def _swap(self, segment: Segment, size: int) -> None:
        """Replaces the segment with its copy, unless the segment is gone."""
        draft = draft_path(segment.path)
        with self._lock:
            place = next((i for i, s in enumerate(self._segments) if s is segment), None)
            if place is None:
                self._files.remove(draft)
                return
            self._files.replace(draft, segment.path)
            self._segments[place] = Segment(
                segment.path, segment.first, segment.end, size, segment.last_ms
            )
        # The index has checksums of the message ids. The next search makes it anew.
        self._files.remove(index_path(segment.path))

    def _empty_quarantine(self) -> int:
        folder = self._folder / "quarantine"
        try:
            names = self._files.list_dir(folder)
        except FileNotFoundError:
            return 0
        for name in names:
            self._files.remove(folder / name)
        return len(names)
