"""Encodes and decodes segments and frames, in the format that `gateway.queue` describes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import zstandard

from gateway.components.store import Frame
from gateway.errors import QueueDamaged

__all__ = [
    "FRAME_HEADER",
    "SEGMENT_HEADER",
    "Codec",
    "FrameHeader",
    "find_frame",
    "joined",
    "parse_header",
    "parse_segment_header",
    "segment_header",
]

_FRAME = struct.Struct("<4sIQQIIIII")
_SEGMENT = struct.Struct("<4sIQI")
_FRAME_MAGIC = b"HGFR"
_SEGMENT_MAGIC = b"HGQ1"
_VERSION = 1
_CRC_BYTES = 4

FRAME_HEADER = _FRAME.size
SEGMENT_HEADER = _SEGMENT.size


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """A frame's header that passed its checksum."""

    offset: int
    count: int
    time_ms: int
    payload_bytes: int
    raw_bytes: int
    payload_crc: int

    @property
    def end(self) -> int:
        """Offset after the last event."""
        return self.offset + self.count

    @property
    def size(self) -> int:
        """Bytes of the whole frame, with its header."""
        return FRAME_HEADER + self.payload_bytes


class Codec:
    """Encodes and decodes frames. Two threads must not share one.

    Args:
        level: level of zstd.
    """

    def __init__(self, level: int = 1) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=False)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, offset: int, count: int, time_ms: int, raw: bytes) -> bytes:
        """Returns a whole frame."""
        payload = self._compressor.compress(raw)
        head = _FRAME.pack(
            _FRAME_MAGIC, count, offset, time_ms, len(payload), len(raw), zlib.crc32(payload), 0, 0
        )[:-_CRC_BYTES]
        return b"".join((head, zlib.crc32(head).to_bytes(_CRC_BYTES, "little"), payload))

    @staticmethod
    def check(header: FrameHeader, payload: bytes) -> None:
        """Checks that a payload is what was written.

        Raises:
            QueueDamaged: it is not.
        """
        if len(payload) != header.payload_bytes or zlib.crc32(payload) != header.payload_crc:
            raise QueueDamaged(f"payload of the frame at offset {header.offset} is damaged")

    def decode(self, header: FrameHeader, payload: bytes) -> Frame:
        """Returns the frame of a header and its payload.

        Raises:
            QueueDamaged: the payload is not what was written.
        """
        self.check(header, payload)
        try:
            raw = self._decompressor.decompress(payload, max_output_size=header.raw_bytes)
        except zstandard.ZstdError as error:  # the checksum is right, so it was written wrong
            raise QueueDamaged(f"frame at offset {header.offset}: {error}") from error
        return Frame(header.offset, header.count, header.time_ms, raw)


def joined(chunks: Iterable[bytes]) -> bytes:
    """Joins JSON arrays to one."""
    return b"".join((b"[", b",".join([memoryview(chunk)[1:-1] for chunk in chunks]), b"]"))


def parse_header(data: bytes, position: int = 0) -> FrameHeader | None:
    """Returns the frame header at `position`, or None if there is no good one."""
    if len(data) - position < FRAME_HEADER or data[position : position + 4] != _FRAME_MAGIC:
        return None
    _, count, offset, time_ms, payload, raw, crc, _, head_crc = _FRAME.unpack_from(data, position)
    if zlib.crc32(data[position : position + FRAME_HEADER - _CRC_BYTES]) != head_crc:
        return None
    return FrameHeader(offset, count, time_ms, payload, raw, crc)


def find_frame(read: Callable[[int, int], bytes], start: int, end: int) -> int | None:
    """Returns the position of the first good frame header from `start` on, before `end`.

    Args:
        read: returns bytes of the file for a position and a size.
    """
    step = 1 << 20
    position = start
    while position < end:
        # Chunks overlap by a header, so that no header is cut in two.
        chunk = read(position, min(step + FRAME_HEADER, end - position))
        at = chunk.find(_FRAME_MAGIC)
        while at != -1:
            if parse_header(chunk, at) is not None:
                return position + at
            at = chunk.find(_FRAME_MAGIC, at + 1)
        position += step
    return None


def segment_header(offset: int) -> bytes:
    """Returns the header of a segment."""
    head = _SEGMENT.pack(_SEGMENT_MAGIC, _VERSION, offset, 0)[:-_CRC_BYTES]
    return head + zlib.crc32(head).to_bytes(_CRC_BYTES, "little")


def parse_segment_header(data: bytes) -> int | None:
    """Returns the first offset of a segment, or None if the header is damaged.

    Raises:
        QueueDamaged: this release cannot read the file's version.
    """
    if len(data) < SEGMENT_HEADER:
        return None
    magic, version, offset, crc = _SEGMENT.unpack_from(data)
    if magic != _SEGMENT_MAGIC or zlib.crc32(data[: SEGMENT_HEADER - _CRC_BYTES]) != crc:
        return None
    if version != _VERSION:
        raise QueueDamaged(f"segment format {version} is unknown; this release reads {_VERSION}")
    return int(offset)
