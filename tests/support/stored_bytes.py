"""Searches the files of a gateway for text, also inside compressed files."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import zstandard

from gateway.queue.record import FRAME_HEADER, SEGMENT_HEADER, parse_header

__all__ = ["contents", "files_with"]


def files_with(folder: Path, text: str) -> set[str]:
    """Returns the names of the files below a folder that contain a text."""
    return {path.name for path, data in contents(folder) if text.encode() in data}


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yields the bytes of every file below a folder, as stored and decompressed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path, data
            if path.suffix == ".gz":
                yield path, gzip.decompress(data)
            if path.suffix == ".seg":
                yield path, _payloads(data)


def _payloads(data: bytes) -> bytes:
    """Returns the payloads of a segment, and fails if it holds anything but whole frames."""
    at, found = SEGMENT_HEADER, b""
    while at < len(data):
        header = parse_header(data, at)
        assert header is not None
        payload = data[at + FRAME_HEADER : at + header.size]
        found += zstandard.ZstdDecompressor().decompress(payload, header.raw_bytes)
        at += header.size
    return found
