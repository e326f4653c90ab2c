"""Turns of queries: some may run at once, each with a private folder for what it spills.

A slot is a file that is locked while a query runs, so it counts the queries of all processes, and a
killed process gives its slot back. The folder beside it is emptied by whoever takes the slot next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headgate_lake.sql.errors import QueriesBusy, QueryCancelled, QueryError

__all__ = ["Slots"]

_POLL_SECONDS = 0.05
_RETRY_AFTER_SECONDS = 5


class Slots:
    """The turns of the queries of one lake.

    Args:
        folder: for the slots; it is made when the first query runs.
        count: queries at once.
        max_waiting: of this process.
    """

    def __init__(self, folder: Path, count: int, max_waiting: int) -> None:
        self._folder = folder
        self._count = count
        self._room = threading.Semaphore(count + max_waiting)

    def sweep(self) -> None:
        """Removes what queries of killed processes left."""
        for lock in self._folder.glob("slot-*.lock"):
            with suppress(OSError):
                fd = _lock(lock)
                if fd is not None:
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    os.close(fd)

    @contextmanager
    def take(self, seconds: float, cancelled: threading.Event) -> Iterator[Path]:
        """Waits for a turn; yields a private, empty folder.

        Raises:
            QueriesBusy: the wait took too long, or too many wait.
            QueryCancelled: `cancelled` was set.
        """
        if not self._room.acquire(blocking=False):
            raise QueriesBusy("too many queries wait for their turn", _RETRY_AFTER_SECONDS)
        try:
            fd, folder = self._wait(time.monotonic() + seconds, cancelled)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(fd)
        finally:
            self._room.release()

    def _wait(self, until: float, cancelled: threading.Event) -> tuple[int, Path]:
        while True:
            for number in range(self._count):
                taken = self._try(number)
                if taken is not None:
                    return taken
            if time.monotonic() >= until:
                raise QueriesBusy(
                    f"{self._count} queries run already, and no turn came up in time",
                    _RETRY_AFTER_SECONDS,
                )
            if cancelled.wait(_POLL_SECONDS):
                raise QueryCancelled("the query was cancelled")

    def _try(self, number: int) -> tuple[int, Path] | None:
        path = self._folder / f"slot-{number}.lock"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = _lock(path)
            if fd is None:
                return None
            folder = path.with_suffix("")
            try:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(mode=0o700)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise QueryError(
                f"{self._folder}: queries need a folder of their own here ({error.strerror})"
            ) from error
        return fd, folder


def _lock(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
