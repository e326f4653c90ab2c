"""Destination ``lake``: events as Parquet files, each exactly once.

One thread writes batches. Another one, with a lower priority, merges small files, closes days and
deletes what is old; see `headgate_lake.upkeep`. Both run beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway import Batch, Context, Destination
from headgate_lake.config import LakeConfig
from headgate_lake.failures import explained
from headgate_lake.writer import LakeWriter

__all__ = ["LakeDestination"]

_T = TypeVar("_T")


class LakeDestination(Destination):
    """Writes events to a lake."""

    def __init__(self, config: LakeConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._writer = LakeWriter(context.path(config.path), config.memory_bytes, context.clock)
        self._thread: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Opens the lake, and removes what a crash left.

        Raises:
            Misconfigured: the lake cannot be used.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lake")
        gone = await self._run(self._writer.open)
        if gone:
            self._context.log.info("lake: removed files that a crash left", files=gone)

    async def stop(self) -> None:
        """Closes the lake."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._writer.close)
            thread.shutdown()

    async def send(self, batch: Batch) -> None:
        """Adds the events that are not in the lake yet, all of them or none.

        Raises:
            Retryable: the disk is full or fails.
            Misconfigured: the lake cannot be written, or was moved.
        """
        wrote = await self._run(lambda: self._writer.write(batch, self._context.shard))
        for what, number in (("known", wrote.known), ("retimed", wrote.retimed)):
            if number:
                self._context.count(what, number)

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._thread is None:
            raise RuntimeError("send() needs start() first")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, explained, self._writer.folder.root, work)
