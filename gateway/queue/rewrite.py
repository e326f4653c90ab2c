"""Erases events from a finished segment: writes a copy of the file without them.

Why not encrypt each user's events with a key of their own, and throw the key away? The key of each
event would have to be found before the first byte is stored, on the hot path, and events of many
users share a compressed frame. Keys would have to be kept as safely as the queue itself, and
destroying a key on disk means rewriting a file, as here. Erasing is rare and may be slow. Storing
is not.

The copy replaces the segment in four steps. After a crash between any two steps the queue opens:

1. The copy is written beside the segment, with ``.erasing`` added to the name. That is not the name
   of a segment, and the file is removed when the queue is opened.
2. The copy is synced.
3. It is renamed over the segment, which is atomic. It keeps the segment's time of writing, which
   retention goes by.
4. The folder is synced. A crash before this may bring the old segment back. The erasure was not
   reported as done then, and is done again.

Frames keep their offsets, numbers and times. Frames without the subjects' events are copied as they
are. Damaged bytes cannot be searched and are left out. Readers find the same gap there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.events.subjects import Redacted
from gateway.queue.files import FileSystem
from gateway.queue.record import SEGMENT_HEADER, Codec, FrameHeader, segment_header
from gateway.queue.segment import Damage, Segment, SegmentReader

__all__ = ["SUFFIX", "Redact", "Rewritten", "draft_path", "write_draft"]

SUFFIX = ".erasing"
"""Suffix of a segment's copy while it is written."""

_CHUNK_BYTES = 1 << 20

Redact = Callable[[bytes], Redacted | None]
"""Returns the new payload for a frame's payload; None leaves the frame as it is."""


@dataclass(slots=True)
class Rewritten:
    """The result of rewriting a segment.

    Attributes:
        size: bytes of the copy; None if nothing had to change, so that there is no copy.
        ids: source and message id of each event that was erased.
        damaged: bytes that could not be searched and were left out.
    """

    size: int | None = None
    ids: list[tuple[str, str]] = field(default_factory=list)
    damaged: int = 0


def draft_path(segment: Path) -> Path:
    """Returns the path of a segment's copy while it is written."""
    return segment.with_name(segment.name + SUFFIX)


def write_draft(files: FileSystem, segment: Segment, codec: Codec, redact: Redact) -> Rewritten:
    """Writes a copy of the segment and syncs it, if anything has to change.

    Raises:
        OSError: the segment cannot be read, or the copy cannot be written. The copy is removed if
            possible.
    """
    done = Rewritten()
    draft = _Draft(files, segment)
    reader = SegmentReader(files, segment.path, codec, expected=segment.first)
    try:
        while (step := reader.next_header(segment.size, segment.end)) is not None:
            start = reader.position
            loaded = step if isinstance(step, Damage) else reader.load(step)
            reader.skip(step)
            if isinstance(loaded, Damage):
                if reader.position > start:  # a gap in the offsets has no bytes
                    done.damaged += reader.position - start
                    draft.leave_out(start, reader.position)
                continue
            assert isinstance(step, FrameHeader)
            redacted = redact(loaded.payload)
            if redacted is not None:
                done.ids += redacted.ids
                frame = codec.encode(step.offset, step.count, step.time_ms, redacted.payload)
                draft.leave_out(start, reader.position)
                draft.write(frame)
        done.size = draft.finish(reader.position)
    except BaseException:
        draft.drop()
        raise
    finally:
        reader.close()
    return done


class _Draft:
    """A copy of a segment, which is created when the first difference is written."""

    def __init__(self, files: FileSystem, segment: Segment) -> None:
        self._files = files
        self._segment = segment
        self._path = draft_path(segment.path)
        self._fd: int | None = None
        self._size = 0
        self._copied_to = SEGMENT_HEADER

    def leave_out(self, start: int, stop: int) -> None:
        """Copies all bytes up to `start`, and skips those up to `stop`."""
        if self._fd is None:
            self._fd = self._files.create(self._path)
            self.write(segment_header(self._segment.first))
        self._copy_to(start)
        self._copied_to = stop

    def write(self, data: bytes) -> None:
        assert self._fd is not None
        self._files.write(self._fd, data)
        self._size += len(data)

    def finish(self, end: int) -> int | None:
        """Copies the rest and syncs; returns the size, or None if there is no copy."""
        if self._fd is None:
            return None
        self._copy_to(end)
        self._files.sync(self._fd)
        self._close()
        return self._size

    def drop(self) -> None:
        """Removes the copy."""
        self._close()
        self._files.remove(self._path)

    def _copy_to(self, end: int) -> None:
        source = self._files.open(self._segment.path)
        try:
            while self._copied_to < end:
                size = min(_CHUNK_BYTES, end - self._copied_to)
                data = self._files.read(source, self._copied_to, size)
                if len(data) < size:
                    raise OSError(f"{self._segment.path} has become shorter")
                self.write(data)
                self._copied_to += size
        finally:
            self._files.close(source)

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._files.close(fd)
