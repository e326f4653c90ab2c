"""Opens a queue on disk without a gateway around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.queue.disk import DiskConfig, DiskStore

__all__ = ["open_store"]


def open_store(
    folder: Path, config: DiskConfig | None = None, clock: Callable[[], int] = lambda: 0
) -> DiskStore:
    """Makes a store in a folder and opens it; the caller closes it."""
    store = DiskStore(folder, config or DiskConfig(), clock, structlog.get_logger())
    store.open()
    return store
