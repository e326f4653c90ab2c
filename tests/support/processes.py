"""Looks at processes, and runs the command line in this one."""

from __future__ import annotations

import psutil

__all__ = ["is_alive"]


def is_alive(pid: int) -> bool:
    """Whether a process still runs.

    One that has ended is in the list until its parent asks for its exit code. The parent of an
    orphan is process 1, which in a container may never ask.
    """
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
