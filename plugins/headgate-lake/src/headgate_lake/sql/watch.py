"""Ends the process of a query that takes too long or that nobody waits for."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headgate_lake.sql.errors import QueryCancelled, QueryError, QueryOutOfTime
from headgate_lake.sql.process import Child

__all__ = ["Watch"]

_WATCH_SECONDS = 0.02

_MOST_FETCH_SECONDS = 600.0
"""Time to bring files from object storage; it does not count as time of the query."""


class Watch(threading.Thread):
    """Ends a child when its time is over, or when its query is cancelled."""

    def __init__(self, child: Child, seconds: float, cancelled: threading.Event) -> None:
        super().__init__(name="lake-query-watch", daemon=True)
        self.error: QueryError | None = None
        self._child = child
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._cancelled = cancelled
        self._finished = threading.Event()

    def run(self) -> None:
        """Looks again and again, until `finish`."""
        while not self._finished.wait(_WATCH_SECONDS):
            if self._cancelled.is_set():
                self.error = QueryCancelled("the query was cancelled")
            elif time.monotonic() >= self._until:
                self.error = QueryOutOfTime(
                    f"the query took longer than it may, {self._seconds:g} s ([sql] seconds): take "
                    "a shorter time, or fewer rows"
                )
            else:
                continue
            self._child.kill()
            return

    @contextmanager
    def paused(self) -> Iterator[Callable[[], bool]]:
        """Stops the clock; gives a function that tells whether to give up."""
        started, until = time.monotonic(), self._until
        self._until = math.inf

        def give_up() -> bool:
            return self._cancelled.is_set() or time.monotonic() > started + _MOST_FETCH_SECONDS

        try:
            yield give_up
        finally:
            self._until = until + time.monotonic() - started

    def finish(self) -> None:
        """Ends the watch."""
        self._finished.set()
        self.join()
