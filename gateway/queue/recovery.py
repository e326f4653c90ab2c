"""Opens segments after a start: checks their version, and cuts a torn tail off the newest one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.queue.files import FileSystem
from gateway.queue.quarantine import Quarantine
from gateway.queue.record import SEGMENT_HEADER, Codec, parse_segment_header
from gateway.queue.segment import Damage, Segment, scan

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["check_version", "recover"]


def check_version(files: FileSystem, path: Path) -> None:
    """Reads the header of a segment.

    Raises:
        QueueDamaged: another release wrote it.
    """
    fd = files.open(path)
    try:
        # A damaged header does no harm, as the file's name has the offset too.
        parse_segment_header(files.read(fd, 0, SEGMENT_HEADER))
    finally:
        files.close(fd)


def recover(
    files: FileSystem,
    path: Path,
    first: int,
    codec: Codec,
    quarantine: Quarantine,
    log: FilteringBoundLogger,
) -> Segment:
    """Returns the newest segment, up to its last good frame; what follows is cut off."""
    found = scan(files, path, first, codec)
    size = files.size(path)
    modified_ms = files.modified_ms(path)
    for damage in found.damage:
        quarantine.report(damage)
    if size > found.size:
        quarantine.keep(Damage(path, found.size, size, found.end, found.end), "torn")
        log.warning(
            "queue: cut off a torn tail, the trace of a crash; it was never acknowledged",
            segment=path.name,
            bytes=size - found.size,
        )
    # This syncs even if nothing is cut off. Frames that a killed process did not sync count
    # from now on, and must not vanish with the next power loss.
    files.truncate(path, min(size, found.size))
    return Segment(path, first, found.end, min(size, found.size), modified_ms)
