"""Takes events out of segments that are finished: each is written anew, without them.

Why rewrite, and not encrypt each user's events under a key of their own and throw the key away? A
key for each event would have to be found before the first byte is stored, on the hottest road there
is, and events of many users share a compressed frame. Keys would have to be kept as safely as the
queue itself, and what destroys them on the disk is the same rewriting of a file that this is. To
erase is rare and may take its time; to store is not.

A segment takes its new form in four steps, and a crash between any two leaves a queue that opens:

1. a copy is written beside it, named with ``.erasing`` added: not a segment's name, and removed
   when the queue is opened;
2. the copy is synced;
3. it takes the segment's place by a rename, which is atomic, and keeps its time of writing, which
   retention goes by;
4. the folder is synced. Until then a crash may bring the old segment back; whoever erases has not
   been told that it is done, and does it again.

Frames keep their offsets, numbers and times; those without the subjects' events are copied as they
are. Bytes that are damaged cannot be looked into and are left out: readers find the same gap.
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
"""Added to the name of a segment: of its copy, while that is being written."""

_CHUNK_BYTES = 1 << 20

Redact = Callable[[bytes], Redacted | None]
"""From the payload of a frame to what takes its place; None leaves it as it is."""


@dataclass(slots=True)
class Rewritten:
    """What rewriting a segment did.

    Attributes:
        size: bytes of the draft; None where nothing had to change and there is none.
        ids: source and message id of each event that was taken out.
        damaged: bytes that could not be looked into and were left out.
    """

    size: int | None = None
    ids: list[tuple[str, str]] = field(default_factory=list)
    damaged: int = 0


def draft_path(segment: Path) -> Path:
    """Where the copy of a segment is written."""
    return segment.with_name(segment.name + SUFFIX)


def write_draft(files: FileSystem, segment: Segment, codec: Codec, redact: Redact) -> Rewritten:
    """Write the segment's copy and sync it, if anything is to change.

    Raises:
        OSError: it cannot be read or written; what was written is removed, if that can be.
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
                if reader.position > start:  # a mere gap in the offsets takes up no bytes
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
    """A copy that begins with the first thing that differs, and is none without one."""

    def __init__(self, files: FileSystem, segment: Segment) -> None:
        self._files = files
        self._segment = segment
        self._path = draft_path(segment.path)
        self._fd: int | None = None
        self._size = 0
        self._copied_to = SEGMENT_HEADER

    def leave_out(self, start: int, stop: int) -> None:
        """Copy all up to `start`, and go on after `stop`."""
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
        """Copy the rest and sync; the size, or None where the copy never began."""
        if self._fd is None:
            return None
        self._copy_to(end)
        self._files.sync(self._fd)
        self._close()
        return self._size

    def drop(self) -> None:
        """Give the copy up."""
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
