"""The regular work on a lake: merges small files, closes days, removes what is old.

One process at a time does it, whichever comes first; a lock in the folder decides. So any number of
workers may start it, and `gateway lake compact` beside them.

The destination runs it as a process of its own (``python -m headgate_lake.upkeep``), at a low
priority. Sorting a day takes more memory than a gateway should hold for good, and whatever happens
there, delivery goes on. The process may be killed at any time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from headgate_lake.config import LakeConfig
from headgate_lake.manifest import DataFile, Manifest
from headgate_lake.merging import close_days, days_over, merge_small
from headgate_lake.origin import CLOSED_LEVEL
from headgate_lake.place import storage_of
from headgate_lake.retention import GRACE_MS, delete_removed, has_old, remove_old
from headgate_lake.session import Session
from headgate_lake.storage import Storage

__all__ = ["Done", "Round", "is_due", "keep_up", "main"]

_NICE = 10


class Done(Struct):
    """What a round has done.

    Attributes:
        busy: another process was at it, so nothing was done.
        merged: number of files that became part of others.
        closed: days that were closed.
        removed: number of files that were too old or too many.
        broken: files that could not be read and were set aside, with the reason.
    """

    busy: bool = False
    merged: int = 0
    closed: list[str] = []
    removed: int = 0
    broken: list[tuple[str, str]] = []


class Round(Struct):
    """The order to do a round: where, how, and at what time in milliseconds."""

    root: str
    config: LakeConfig
    now_ms: int


def is_due(manifest: Manifest, config: LakeConfig, now_ms: int) -> bool:
    """Tells whether a round would find anything to do; cheap."""
    return bool(
        manifest.crowded(config.merge_files, CLOSED_LEVEL)
        or manifest.overfull(config.most_files)
        or days_over(manifest, config.late_hours)
        or manifest.removed(now_ms - GRACE_MS)
        or has_old(manifest, config.retention_days, config.max_bytes, now_ms)
    )


def keep_up(place: Path | Storage, config: LakeConfig, clock: Callable[[], int]) -> Done:
    """Does one round.

    Args:
        clock: wall clock in milliseconds.

    Raises:
        LakeError: the lake cannot be used.
        OSError, sqlite3.Error, duckdb.Error: it cannot be read or written.
    """
    session = Session(place, config.upkeep_memory_bytes, clock)
    try:
        with session.folder.maintaining(wait=False) as mine:
            if not mine:
                return Done(busy=True)
            done = Done()

            def aside(file: DataFile, why: str) -> None:
                session.set_aside(file)
                done.broken.append((file.path, why))

            delete_removed(session)
            done.removed = remove_old(session, config.retention_days, config.max_bytes)
            done.merged = merge_small(session, config, aside)
            done.closed = close_days(session, config.late_hours, aside)
            return done
    finally:
        session.close()


def main() -> None:
    """Does the round that standard input orders, and prints what it has done."""
    from headgate_lake.failures import explained

    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Round)
    os.nice(_NICE)
    root = Path(order.root)
    storage = storage_of(root, order.config)
    try:
        done = explained(root, lambda: keep_up(storage, order.config, lambda: order.now_ms))
    except Exception as error:  # noqa: BLE001 - the text is all that the destination gets
        sys.exit(str(error) or repr(error))
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
