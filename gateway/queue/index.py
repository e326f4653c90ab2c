"""Finds events by message id in a queue on disk.

The newest segment, which still grows, is searched frame by frame. Each finished segment has an
index in the file ``index/<first offset>.ids``, which the first search makes::

    magic "HGIX", u32 version, u64 first offset, u32 number of events, u32 CRC-32 of what follows,
    then for each event in the order of offsets the CRC-32 of its message id, u32, little-endian

Events that the index finds are read and compared, so two ids with the same checksum only cost time.
A damaged index is made again. The index costs nothing when events are stored.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from gateway.components.store import Frame
from gateway.events.envelope.sealed import stored_events
from gateway.events.envelope.stored_ids import briefs
from gateway.events.event import encode_events
from gateway.queue.offline import QueueFolder
from gateway.queue.segment import Segment

__all__ = ["find", "index_path", "matches"]

_HEADER = struct.Struct("<4sIQII")
_MAGIC = b"HGIX"
_VERSION = 1
_ENTRY = 4

_Hash = Callable[[bytes], int]


def index_path(segment: Path) -> Path:
    """Returns the path of a segment's index."""
    return segment.parent / "index" / f"{segment.stem}.ids"


def find(
    queue: QueueFolder, message_id: str, hash_: _Hash = zlib.crc32, *, keep: bool = True
) -> Iterator[tuple[int, bytes]]:
    """Yields offset and stored JSON of each event with this id, newest first.

    Args:
        keep: make missing indexes. Otherwise nothing is written, and a segment without an index is
            searched frame by frame each time.
    """
    if keep:
        _remove_orphans(queue)
    for segment in reversed(queue.segments):
        if segment is queue.segments[-1] or not (keep or index_path(segment.path).exists()):
            found = [hit for frame in queue.frames(segment) for hit in matches(frame, message_id)]
        else:
            found = _look_up(queue, segment, message_id, hash_)
        yield from reversed(found)


def matches(frame: Frame, message_id: str) -> list[tuple[int, bytes]]:
    """Returns offset and stored JSON of the events in a frame with this id, oldest first."""
    # Without escapes in the payload, the id is there as text or not at all.
    payload = frame.payload
    if msgspec.json.encode(message_id) not in payload and b"\\" not in payload:
        return []
    places = [n for n, brief in enumerate(briefs(payload)) if brief.message_id == message_id]
    events = stored_events(payload) if places else []
    return [(frame.offset + place, encode_events([events[place]])[1:-1]) for place in places]


def _look_up(
    queue: QueueFolder, segment: Segment, message_id: str, hash_: _Hash
) -> list[tuple[int, bytes]]:
    hashes = _load(segment)
    if hashes is None:
        hashes = _build(queue, segment, hash_)
    wanted = hash_(message_id.encode("utf-8", "surrogatepass")).to_bytes(_ENTRY, "little")
    found: list[tuple[int, bytes]] = []
    at = hashes.find(wanted)
    done = segment.first
    while at != -1:
        offset = segment.first + at // _ENTRY
        if at % _ENTRY == 0 and offset >= done:
            for frame in queue.frames(segment, offset):
                found += matches(frame, message_id)
                done = frame.end
                break
        at = hashes.find(wanted, at + 1)
    return found


def _load(segment: Segment) -> bytes | None:
    """Returns the checksums of a segment's ids, or None if there is no good index."""
    try:
        data = index_path(segment.path).read_bytes()
        magic, version, first, count, crc = _HEADER.unpack_from(data)
    except (OSError, struct.error):
        return None
    hashes = data[_HEADER.size :]
    good = (
        (magic, version, first) == (_MAGIC, _VERSION, segment.first)
        and len(hashes) == _ENTRY * count == _ENTRY * (segment.end - segment.first)
        and zlib.crc32(hashes) == crc
    )
    return hashes if good else None


def _build(queue: QueueFolder, segment: Segment, hash_: _Hash) -> bytes:
    hashes = bytearray(_ENTRY * (segment.end - segment.first))  # damaged events stay 0
    for frame in queue.frames(segment):
        numbers = [
            hash_(brief.message_id.encode("utf-8", "surrogatepass"))
            for brief in briefs(frame.payload)
        ]
        start = _ENTRY * (frame.offset - segment.first)
        hashes[start : start + _ENTRY * len(numbers)] = struct.pack(f"<{len(numbers)}I", *numbers)
    count = segment.end - segment.first
    header = _HEADER.pack(_MAGIC, _VERSION, segment.first, count, zlib.crc32(hashes))
    path = index_path(segment.path)
    # Without an index the next search takes as long as this one; that is no reason to fail.
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(header + hashes)
        draft.replace(path)
    return bytes(hashes)


def _remove_orphans(queue: QueueFolder) -> None:
    """Removes the indexes of segments that retention has removed."""
    kept = {index_path(segment.path).name for segment in queue.segments}
    with contextlib.suppress(OSError):
        for path in (queue.path / "index").glob("*.ids"):
            if path.name not in kept:
                path.unlink(missing_ok=True)
