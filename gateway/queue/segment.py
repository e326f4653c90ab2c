"""Reads one segment file frame by frame, and finds its damage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gateway.components.store import Frame
from gateway.errors import QueueDamaged
from gateway.queue.files import FileSystem
from gateway.queue.record import (
    FRAME_HEADER,
    SEGMENT_HEADER,
    Codec,
    FrameHeader,
    find_frame,
    parse_header,
)

__all__ = ["Damage", "Scan", "Segment", "SegmentReader", "recent", "scan"]

_SUFFIX = ".seg"
_STEM = re.compile("[0-9]{20}")


@dataclass(slots=True)
class Segment:
    """A segment file and its extent.

    Attributes:
        first: offset of the first event.
        end: offset after the last acknowledged event.
        size: bytes up to the end of the last acknowledged frame.
        last_ms: time when it was last written to.
    """

    path: Path
    first: int
    end: int
    size: int
    last_ms: int

    @staticmethod
    def name(first: int) -> str:
        """Returns the file name of the segment that begins at an offset."""
        return f"{first:020d}{_SUFFIX}"

    @staticmethod
    def offset_of(name: str) -> int | None:
        """Returns the first offset that a file name contains, or None for other files."""
        stem = name.removesuffix(_SUFFIX)
        return int(stem) if name.endswith(_SUFFIX) and _STEM.fullmatch(stem) else None


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that should be frames and are not.

    Attributes:
        start, stop: place of the bytes in the file.
        first, end: offsets of the ``end - first`` events that were in them.
    """

    path: Path
    start: int
    stop: int
    first: int
    end: int


class SegmentReader:
    """Reads a segment's frames in order, and skips damage.

    Args:
        position: place in the file to begin at.
        expected: offset of the first event there.
    """

    def __init__(
        self,
        files: FileSystem,
        path: Path,
        codec: Codec,
        *,
        position: int = SEGMENT_HEADER,
        expected: int,
    ) -> None:
        self._files = files
        self._path = path
        self._codec = codec
        self._fd: int | None = files.open(path)
        self.position = position
        self.expected = expected

    def next_header(self, size: int, end: int) -> FrameHeader | Damage | None:
        """Returns the header of the frame at the position, without reading its payload.

        Args:
            size: number of bytes of the file that count.
            end: offset after the segment's last event.

        Returns:
            `Damage` if a frame should be here and is not; None at the end.
        """
        if self.position >= size or self.expected >= end:
            return None
        header = parse_header(self._read(self.position, FRAME_HEADER))
        if header is None or header.offset < self.expected:
            return self._damage(self.position + 1, size, end)
        if header.offset >= end:
            return None  # never acknowledged, as the next segment begins before it
        if header.offset > self.expected:
            return Damage(self._path, self.position, self.position, self.expected, header.offset)
        if self.position + header.size > size:
            return self._damage(self.position + 1, size, end)
        return header

    def skip(self, step: FrameHeader | Damage) -> None:
        """Moves past the frame or the damage that `next_header` returned."""
        if isinstance(step, Damage):
            self.position, self.expected = step.stop, step.end
        else:
            self.position += step.size
            self.expected = step.end

    def load(self, header: FrameHeader) -> Frame | Damage:
        """Returns the frame at the position, without moving."""
        try:
            return self._codec.decode(header, self._payload(header))
        except QueueDamaged:
            return self._damaged(header)

    def check(self, header: FrameHeader) -> Damage | None:
        """Checks the bytes of the frame at the position, without moving."""
        try:
            self._codec.check(header, self._payload(header))
        except QueueDamaged:
            return self._damaged(header)
        return None

    def newest_first(self, segment: Segment, since_ms: int) -> Iterator[Frame]:
        """Yields good frames written since a time, newest first, with one in memory at a time."""
        places: list[tuple[int, FrameHeader]] = []
        while (step := self.next_header(segment.size, segment.end)) is not None:
            if isinstance(step, FrameHeader) and step.time_ms >= since_ms:
                places.append((self.position, step))
            self.skip(step)
        for self.position, step in reversed(places):
            frame = self.load(step)
            if isinstance(frame, Frame):
                yield frame

    def close(self) -> None:
        """Closes the file; safe twice."""
        if self._fd is not None:
            self._files.close(self._fd)
            self._fd = None

    def _payload(self, header: FrameHeader) -> bytes:
        return self._read(self.position + FRAME_HEADER, header.payload_bytes)

    def _damaged(self, header: FrameHeader) -> Damage:
        stop = self.position + header.size
        return Damage(self._path, self.position, stop, header.offset, header.end)

    def _read(self, position: int, size: int) -> bytes:
        assert self._fd is not None
        return self._files.read(self._fd, position, size)

    def _damage(self, search_from: int, size: int, end: int) -> Damage:
        """Returns the damage from the position to the next possible frame, or to the end."""
        at: int | None = search_from
        while at is not None:
            at = find_frame(self._read, at, size)
            if at is not None:
                header = parse_header(self._read(at, FRAME_HEADER))
                if header is not None and self.expected <= header.offset < end:
                    return Damage(self._path, self.position, at, self.expected, header.offset)
                at += 1
        return Damage(self._path, self.position, size, self.expected, end)


@dataclass(frozen=True, slots=True)
class Scan:
    """The result of reading a whole segment.

    Attributes:
        end: offset after the last good frame.
        size: bytes up to the end of the last good frame; a torn tail may follow.
        frames, events: number of good frames, and of the events in them.
        damage: bad bytes with good frames after them.
    """

    end: int
    size: int
    frames: int
    events: int
    damage: tuple[Damage, ...]


def recent(
    files: FileSystem, segments: Sequence[Segment], since_ms: int, limit: int
) -> Iterator[Frame]:
    """Yields good frames written since a time, newest first, until they hold `limit` events."""
    for segment in reversed(segments):
        if segment.last_ms < since_ms or limit <= 0:
            return
        try:
            reader = SegmentReader(files, segment.path, Codec(), expected=segment.first)
        except FileNotFoundError:
            continue  # retention has removed the segment
        with closing(reader):
            for frame in reader.newest_first(segment, since_ms):
                yield frame
                limit -= frame.count
                if limit <= 0:
                    return


_NO_END = 1 << 63


def scan(
    files: FileSystem,
    path: Path,
    first: int,
    codec: Codec,
    end: int = _NO_END,
    *,
    unpack: bool = False,
) -> Scan:
    """Reads every frame of a segment and compares checksums.

    Args:
        end: first offset of the next segment; frames from there on do not count.
        unpack: also decompress the frames, which takes eight times as long and finds frames that
            were written wrong.
    """
    frames = events = 0
    damage: list[Damage] = []
    pending: list[Damage] = []
    good_end, good_size = first, SEGMENT_HEADER
    for step in _steps(files, path, first, codec, end, unpack=unpack):
        if isinstance(step, Damage):
            pending.append(step)
            continue
        # A good frame follows, so the bad bytes before it are damage and not a torn tail.
        damage += pending
        pending.clear()
        header, position = step
        frames += 1
        events += header.count
        good_end, good_size = header.end, position + header.size
    if end != _NO_END:
        damage += [d for d in pending if d.first < end]
    return Scan(good_end, good_size, frames, events, tuple(damage))


def _steps(
    files: FileSystem, path: Path, first: int, codec: Codec, end: int, *, unpack: bool
) -> Iterator[Damage | tuple[FrameHeader, int]]:
    size = files.size(path)
    if size <= SEGMENT_HEADER:
        return
    reader = SegmentReader(files, path, codec, expected=first)
    try:
        while (step := reader.next_header(size, end)) is not None:
            if isinstance(step, Damage):
                yield step
                reader.skip(step)
                continue
            found = reader.load(step) if unpack else reader.check(step)
            yield found if isinstance(found, Damage) else (step, reader.position)
            reader.skip(step)
    finally:
        reader.close()
