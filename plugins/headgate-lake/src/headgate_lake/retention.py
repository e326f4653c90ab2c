"""Removes what is old: days beyond the retention or the size, and files that were replaced."""

from __future__ import annotations

from collections.abc import Callable

from headgate_lake.manifest import DataFile, Manifest
from headgate_lake.session import Session
from headgate_lake.storage import Storage

__all__ = ["GRACE_MS", "delete_removed", "has_old", "remove_old", "upload_all"]

GRACE_MS = 600_000
"""Time for which a replaced file stays on disk, for queries that began with it."""

_DAY_MS = 86_400_000


def has_old(manifest: Manifest, retention_days: int, max_bytes: int, now_ms: int) -> bool:
    """Tells whether `remove_old` may find something; cheap."""
    oldest_ms = now_ms - retention_days * _DAY_MS
    return bool(
        (retention_days and manifest.ended_before(oldest_ms))
        or (max_bytes and manifest.totals()[2] > max_bytes)
    )


def remove_old(session: Session, retention_days: int, max_bytes: int) -> int:
    """Takes old files out of the lake; returns their number.

    Args:
        retention_days: days whose events stay; 0 for all.
        max_bytes: bound on all files; 0 for none.
    """
    manifest = session.manifest
    files = sorted(manifest.files(), key=lambda file: file.last_ms)
    size = sum(file.bytes for file in files)
    oldest_ms = session.clock() - retention_days * _DAY_MS if retention_days else None
    gone: list[DataFile] = []
    for file in files:
        too_old = oldest_ms is not None and file.last_ms < oldest_ms
        if not too_old and not (max_bytes and size > max_bytes):
            break
        gone.append(file)
        size -= file.bytes
    if gone:
        session.swap(gone, [])
    return len(gone)


def delete_removed(session: Session, grace_ms: int = GRACE_MS) -> int:
    """Deletes files that left the lake long enough ago; returns their number.

    Objects in object storage stay until the next `headgate_lake.storage.Storage.sync`.
    """
    manifest = session.manifest
    paths = manifest.removed(session.clock() - grace_ms)
    gone = session.storage.remove(paths)
    if gone:
        with manifest.transaction():
            manifest.deleted(gone)
    return len(paths)


def upload_all(storage: Storage, clock: Callable[[], int]) -> None:
    """Uploads everything that waits; another process that uploads is waited for.

    Raises:
        StorageError: object storage cannot be used.
    """
    while storage.sync(clock(), grace_ms=GRACE_MS, wait=True).more:
        pass
