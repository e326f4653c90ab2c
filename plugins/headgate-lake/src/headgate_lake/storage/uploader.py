"""Uploads the files of a running gateway's lake, again and again.

Delivery does not wait for object storage: while that fails, files wait in the folder, up to
`waiting_max_bytes`. Then delivery waits, and the events are in the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from gateway import DeliveryError, Retryable
from headgate_lake.failures import explained
from headgate_lake.manifest import Manifest
from headgate_lake.retention import GRACE_MS
from headgate_lake.storage.port import Storage, Synced
from headgate_lake.storage.settings import StorageConfig

if TYPE_CHECKING:
    from gateway import Context

__all__ = ["Uploader"]

_T = TypeVar("_T")


class Uploader:
    """The uploads of one lake; does nothing without object storage."""

    def __init__(self, storage: Storage, config: StorageConfig, context: Context) -> None:
        self._storage = storage
        self._config = config
        self._context = context
        self._thread: ThreadPoolExecutor | None = None
        self._rounds: asyncio.Task[None] | None = None
        self._waiting_bytes = 0
        self._problem = ""

    async def start(self) -> None:
        """Claims object storage, and begins to upload.

        Raises:
            Misconfigured: another gateway writes there, or the settings are wrong.
        """
        if not self._storage.url:
            return
        self._thread = ThreadPoolExecutor(1, "lake-sync")
        try:
            await self._run(self._storage.claim)
        except Retryable as error:
            self._tell(error)
        self._waiting_bytes = await self._run(self._measured)
        self._rounds = asyncio.create_task(self._repeat())

    async def stop(self) -> None:
        """Ends after the upload that is under way; safe twice."""
        if self._rounds is not None:
            rounds, self._rounds = self._rounds, None
            rounds.cancel()
            await asyncio.wait({rounds})
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(None, thread.shutdown)

    def check_room(self) -> None:
        """Checks the bound on what waits.

        Raises:
            Retryable: too much waits for its upload.
        """
        if self._waiting_bytes >= self._config.waiting_max_bytes:
            why = f"; {self._problem}" if self._problem else ""
            raise Retryable(
                f"{self._waiting_bytes:,} bytes in {self._storage.root} wait for their upload, and "
                f"`waiting_max_bytes` is {self._config.waiting_max_bytes:,}{why}"
            )

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._config.upload_seconds)
            with suppress(DeliveryError):  # it is in the log
                await self.round()

    async def round(self) -> None:
        """Uploads everything that waits now.

        Raises:
            Retryable: object storage cannot be reached.
            Misconfigured: it refuses, or another gateway writes there.
        """
        try:
            while (await self._run(self._sync)).more:
                pass
        except DeliveryError as error:
            self._tell(error)
            raise
        finally:
            self._waiting_bytes = await self._run(self._measured)
        if self._problem:
            self._problem = ""
            self._context.log.info("lake: uploads work again", url=self._storage.url)

    def _tell(self, error: DeliveryError) -> None:
        if str(error) != self._problem:
            self._problem = str(error)
            self._context.log.warning("lake: uploads fail; files wait", error=self._problem)

    def _sync(self) -> Synced:
        done = self._storage.sync(self._context.clock(), grace_ms=GRACE_MS)
        for path in done.lost:
            self._context.log.error("lake: a file is missing before its upload", path=path)
        return done

    def _measured(self) -> int:
        with closing(Manifest(self._storage.root)) as manifest:
            return sum(file.bytes for file in manifest.waiting())

    async def _run(self, work: Callable[[], _T]) -> _T:
        assert self._thread is not None
        call = partial(explained, self._storage.root, work)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
