"""Reads the events to compare, from the queues of all shards or from a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from gateway.config.data_dir import shards_of
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.queue.offline import QueueFolder, queues_of
from gateway.queue.record import FrameHeader

__all__ = ["MOST_LINE_BYTES", "Chunk", "count_stored", "lines", "stored"]

MOST_LINE_BYTES = 1_000_000
"""Bound on a line of a file."""

_EVENTS = 500
"""Number of events of a chunk, or more if a frame has more."""


class Chunk(Struct, frozen=True):
    """Events that are compared together: frames of a queue, or lines of a file.

    Attributes:
        frames: offset of the first event and payload of each.
        first: index of the first line in the file.
        left_out: number of the oldest events of the last frame that are beyond a limit.
    """

    frames: list[tuple[int, bytes]] = []
    lines: list[bytes] = []
    first: int = 0
    left_out: int = 0


def count_stored(config: Config, since_ms: int, limit: int) -> int:
    """Returns how many events `stored` will yield."""
    found = 0
    for folder in _folders(config):
        for segment in folder.segments:
            if since_ms <= 0:
                found += segment.end - segment.first
            elif segment.last_ms >= since_ms:
                found += sum(
                    step.end - step.offset
                    for step in folder.steps(segment)
                    if isinstance(step, FrameHeader) and step.time_ms >= since_ms
                )
    return min(found, limit)


def stored(config: Config, since_ms: int, limit: int) -> Iterator[Chunk]:
    """Yields the events of the queues since a time, the newest of each queue first."""
    folders = _folders(config)
    for place, folder in enumerate(folders):
        left = limit // len(folders) + (place < limit % len(folders))
        frames: list[tuple[int, bytes]] = []
        events = 0
        for frame in folder.recent(since_ms, left):
            frames.append((frame.offset, frame.payload))
            events += frame.count
            left -= frame.count
            if events >= _EVENTS or left <= 0:
                yield Chunk(frames, left_out=max(0, -left))
                frames, events = [], 0
        if frames:
            yield Chunk(frames)


def _folders(config: Config) -> list[QueueFolder]:
    if config.queue[0].type != "disk":
        raise GatewayError("only a queue on disk can be read: give the events with --file")
    folders = queues_of(shards_of(config))
    if not folders:
        raise GatewayError(
            f"there is no queue in {config.shared_dir}: has the gateway run here? "
            "Or give the events with --file"
        )
    return folders


def lines(path: Path, limit: int) -> Iterator[Chunk]:
    """Yields the first lines of a file, without empty ones."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error
    with file:
        taken: list[bytes] = []
        first = 0
        for line in islice(_bounded(file), limit):
            taken.append(line)
            if len(taken) >= _EVENTS:
                yield Chunk(lines=taken, first=first)
                first += len(taken)
                taken = []
        if taken:
            yield Chunk(lines=taken, first=first)


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """Yields lines; one that is too long is cut, and then not readable as an event."""
    while line := file.readline(MOST_LINE_BYTES + 1):
        rest = line
        while len(rest) > MOST_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MOST_LINE_BYTES + 1)
        if line.strip():
            yield line
