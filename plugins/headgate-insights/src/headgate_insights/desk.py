"""Computes figures within a gateway, so many at once as queries may run and wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import headgate_lake
from headgate_insights.lakes import StoredLake

__all__ = ["Desk", "desk_of"]

_RETRY_AFTER_SECONDS = 5
_KEPT = 8  # lakes, and limits of each that a reload brought

T = TypeVar("T")


class Desk:
    """The figures of one lake.

    Each is computed in a thread of its own, so that figures which wait for their queries hold up
    nothing else. More than may run and wait by ``[sql]`` are refused at once.
    """

    def __init__(self, lake: headgate_lake.Lake, limits: headgate_lake.Limits) -> None:
        self._lake = lake
        self._runner = headgate_lake.Runner(lake, limits)
        most = limits.at_once + limits.max_waiting
        self._room = threading.Semaphore(most)
        self._threads = ThreadPoolExecutor(most, "figure")

    async def compute(self, work: Callable[[StoredLake], T], people: headgate_lake.People) -> T:
        """Returns what `work` makes of the lake; a cancelled call ends its query.

        Args:
            people: who is who in its events.

        Raises:
            QueriesBusy: too many figures are being computed.
            GatewayError: as `work` does.
        """
        if not self._room.acquire(blocking=False):
            raise headgate_lake.QueriesBusy(
                "too many figures are being computed", _RETRY_AFTER_SECONDS
            )
        cancelled = threading.Event()
        done = self._threads.submit(
            lambda: work(StoredLake(self._lake, self._runner, people, cancelled=cancelled))
        )
        done.add_done_callback(lambda _: self._room.release())
        try:
            return await asyncio.wrap_future(done)
        finally:
            cancelled.set()


@lru_cache(maxsize=_KEPT)
def desk_of(folder: Path, limits: headgate_lake.Limits) -> Desk:
    """Returns the desk of the lake in a folder."""
    return Desk(headgate_lake.Lake(folder), limits)
