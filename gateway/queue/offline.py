"""Reads the files of a disk queue without owning it: offline, or beside a running gateway.

It repairs and writes nothing. Bytes at the end of the newest segment that are no whole frame are
ignored, as a frame is being written there or was never acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.components.store import Frame
from gateway.config.model import Config
from gateway.errors import QueueDamaged
from gateway.events.envelope.stored_ids import briefs
from gateway.queue.files import FileSystem, RealFileSystem
from gateway.queue.record import Codec, FrameHeader
from gateway.queue.segment import Damage, Segment, SegmentReader, recent, scan

__all__ = ["QueueFolder", "queues_of"]


class QueueFolder:
    """The segments of a queue as they are when this is created.

    Args:
        path: the folder with the segments.

    Raises:
        QueueDamaged: there is no such folder.
    """

    def __init__(self, path: Path, files: FileSystem | None = None) -> None:
        self._files = files or RealFileSystem()
        self._codec = Codec()
        if not path.is_dir():
            raise QueueDamaged(f"there is no queue in {path.parent}")
        self.path = path
        self.segments = self._list()

    @property
    def first(self) -> int:
        """Offset of the oldest event kept."""
        return self.segments[0].first if self.segments else 0

    @property
    def end(self) -> int:
        """Offset of the next event to come."""
        return self.segments[-1].end if self.segments else 0

    @property
    def stored_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def steps(self, segment: Segment) -> Iterator[FrameHeader | Damage]:
        """Yields the headers of a segment's frames, and the damage between them."""
        reader = self._open(segment)
        try:
            while (step := reader.next_header(segment.size, segment.end)) is not None:
                yield step
                reader.skip(step)
            if reader.expected < segment.end:
                size = segment.size
                yield Damage(segment.path, size, size, reader.expected, segment.end)
        finally:
            reader.close()

    def frames(self, segment: Segment, begin: int = 0) -> Iterator[Frame]:
        """Yields the good frames of a segment that end after offset `begin`, in order."""
        reader = self._open(segment)
        try:
            while (step := reader.next_header(segment.size, segment.end)) is not None:
                if isinstance(step, FrameHeader) and step.end > begin:
                    frame = reader.load(step)
                    if isinstance(frame, Frame):
                        yield frame
                reader.skip(step)
        finally:
            reader.close()

    def sources(self, begin: int) -> Iterator[str]:
        """Yields the source of each good event from an offset on."""
        for segment in self.segments:
            if segment.end > begin:
                for frame in self.frames(segment, begin):
                    skip = max(0, begin - frame.offset)
                    yield from (brief.source_id for brief in briefs(frame.payload)[skip:])

    def recent(self, since_ms: int, limit: int) -> Iterator[Frame]:
        """Yields frames written since a time, newest first, until they hold `limit` events."""
        return recent(self._files, self.segments, since_ms, limit)

    def _open(self, segment: Segment) -> SegmentReader:
        return SegmentReader(self._files, segment.path, self._codec, expected=segment.first)

    def _list(self) -> list[Segment]:
        offsets = [Segment.offset_of(name) for name in self._files.list_dir(self.path)]
        firsts = sorted(offset for offset in offsets if offset is not None)
        found = []
        for index, first in enumerate(firsts):
            path = self.path / Segment.name(first)
            try:
                size, modified = self._files.size(path), self._files.modified_ms(path)
                if index + 1 < len(firsts):
                    found.append(Segment(path, first, firsts[index + 1], size, modified))
                else:
                    newest = scan(self._files, path, first, self._codec)
                    found.append(Segment(path, first, newest.end, newest.size, modified))
            except FileNotFoundError:
                continue  # retention has removed the segment
        return found


def queues_of(shards: Iterable[Config]) -> list[QueueFolder]:
    """Returns the queues of shards that are on disk and have been written to."""
    folders = (one.data_dir / "queue" for one in shards if one.queue[0].type == "disk")
    return [QueueFolder(folder) for folder in folders if folder.is_dir()]
