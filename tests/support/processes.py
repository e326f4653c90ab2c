"""Inspects processes."""

from __future__ import annotations

import psutil

__all__ = ["is_alive"]


def is_alive(pid: int) -> bool:
    """Tells whether a process still runs.

    A process that has ended stays listed as a zombie until its parent reads its exit code. The
    parent of an orphan is process 1, which in a container may never do so.
    """
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
