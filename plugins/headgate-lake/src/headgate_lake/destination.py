"""Destination ``lake``: events as Parquet files, each exactly once.

A thread writes batches, another one erases users, and a process does the regular work of
`headgate_lake.upkeep`. The event loop waits for none of them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway import (
    Batch,
    Context,
    DeliveryError,
    Destination,
    Erasure,
    Misconfigured,
    Retryable,
    Subjects,
)
from headgate_lake.config import LakeConfig
from headgate_lake.erase import erase
from headgate_lake.failures import explained
from headgate_lake.place import storage_of
from headgate_lake.storage.uploader import Uploader
from headgate_lake.upkeep import Done, Round, is_due
from headgate_lake.writer import SETTLE_MS, LakeWriter, Wrote

__all__ = ["LakeDestination"]

_T = TypeVar("_T")

_UPKEEP_SECONDS = 60.0
_BUSY_SECONDS = 0.5
_PROGRESS_MS = 10_000
"""A shard without events says so this often."""


class LakeDestination(Destination):
    """Writes events to a lake."""

    def __init__(self, config: LakeConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._root = context.path(config.folder)
        self._storage = storage_of(self._root, config)
        self._uploader = Uploader(self._storage, config.storage, context)
        self._writer = LakeWriter(self._storage, config.memory_bytes, context.clock)
        self._owned = -1
        self._most_files = 0
        self._told_ms = 0
        self._writing: ThreadPoolExecutor | None = None
        self._erasing: ThreadPoolExecutor | None = None
        self._rounds: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    async def start(self) -> None:
        """Opens the lake, and removes what a crash left.

        Raises:
            Misconfigured: the lake cannot be used.
        """
        self._writing = ThreadPoolExecutor(1, "lake")
        self._erasing = ThreadPoolExecutor(1, "lake-erase")
        left = await self._run(self._open)
        if left:
            self._context.log.info("lake: removed files that a crash left", files=left)
        await self._uploader.start()
        self._rounds = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        """Closes the lake."""
        if self._rounds is not None:
            rounds, self._rounds = self._rounds, None
            rounds.cancel()
            await asyncio.wait({rounds})
        await self._uploader.stop()
        loop = asyncio.get_running_loop()
        if self._erasing is not None:
            erasing, self._erasing = self._erasing, None
            await loop.run_in_executor(None, erasing.shutdown)
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await loop.run_in_executor(writing, self._close)
            writing.shutdown()

    async def check(self) -> None:
        """Proves that folder and object storage can be written, without changing a lake there."""

        def prove() -> None:
            _probe(self._root)
            self._storage.probe()

        await asyncio.to_thread(explained, self._root, prove)

    async def send(self, batch: Batch) -> None:
        """Adds the events that are not in the lake yet, all of them or none.

        Raises:
            Retryable: the disk is full or fails, or too much waits for its upload.
            Misconfigured: the lake cannot be written, or was moved.
        """
        while self._most_files >= self._config.most_files:
            if (await self._round()).busy:
                await asyncio.sleep(_BUSY_SECONDS)
            self._most_files = await self._run(lambda: self._writer.open().manifest.most_files())
        self._uploader.check_room()
        wrote = await self._run(lambda: self._writer.write(batch, self._context.shard))
        self._note(wrote)

    def _note(self, wrote: Wrote) -> None:
        for what, number in (("known", wrote.known), ("retimed", wrote.retimed)):
            if number:
                self._context.count(what, number)
        self._tell_broken(wrote.broken)
        self._most_files = wrote.most_files
        if wrote.most_files >= self._config.merge_files:
            self._wanted.set()

    async def caught_up(self) -> None:
        """Notes that the lake holds everything that this shard has accepted."""
        now_ms = self._context.clock()
        if now_ms - self._told_ms >= _PROGRESS_MS:
            self._told_ms = now_ms
            await self._run(lambda: self._writer.progress(self._context.shard, now_ms - SETTLE_MS))

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Rewrites the files that hold these users, and deletes the old files at once.

        Raises:
            Retryable: the disk is full or fails, or object storage cannot be reached.
        """
        if self._erasing is None:
            raise RuntimeError("erase() needs start() first")
        work = partial(
            erase, self._storage, subjects, self._config.upkeep_memory_bytes, self._context.clock
        )
        loop = asyncio.get_running_loop()
        gone = await loop.run_in_executor(self._erasing, explained, self._root, work)
        self._tell_broken(gone.broken)
        detail = f"{gone.files} files written anew"
        if gone.unread:
            detail += (
                f"; {gone.unread} broken files in {self._root}/aside were not searched and may "
                "hold the users: delete them"
            )
        return Erasure("FINISHED", gone.rows, detail)

    def _tell_broken(self, files: Iterable[tuple[str, str]]) -> None:
        for path, why in files:
            self._context.log.error(
                "lake: a file cannot be read; it is in aside/", path=path, why=why
            )

    # -- threads -------------------------------------------------------------

    def _open(self) -> int:
        session = self._writer.open()
        if self._owned < 0:
            self._owned = session.folder.own(str(self._context.shared_dir))
        with session.manifest.transaction():
            session.manifest.progress(self._context.shard, None, self._context.clock())
        self._most_files = session.manifest.most_files()
        return session.left

    def _close(self) -> None:
        self._writer.close()
        if self._owned >= 0:
            os.close(self._owned)
            self._owned = -1

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._writing is None:
            raise RuntimeError("send() needs start() first")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writing, explained, self._root, work)

    async def _round(self) -> Done:
        """Does one round of upkeep in a process; its findings are logged."""
        order = Round(str(self._root), self._config, self._context.clock())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "headgate_lake.upkeep", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            out, err = await process.communicate(msgspec.json.encode(order))
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            lines = err.decode(errors="replace").splitlines()
            raise Retryable(lines[-1] if lines else f"upkeep ended with {process.returncode}")
        done = msgspec.json.decode(out, type=Done)
        self._tell_broken(done.broken)
        if done.closed:
            self._context.log.info("lake: closed days", days=done.closed)
        if done.removed:
            self._context.log.info("lake: removed the oldest files", files=done.removed)
        return done

    async def _keep_up(self) -> None:
        """Does a round when one is due; looks once a minute, and when small files are many."""
        failing = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_UPKEEP_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                if await self._run(self._is_due):
                    await self._round()
                failing = False
            except (DeliveryError, OSError) as error:
                if not failing:
                    self._context.log.warning("lake: upkeep fails", error=str(error))
                failing = True

    def _is_due(self) -> bool:
        manifest = self._writer.open().manifest
        return is_due(manifest, self._config, self._context.clock())


def _probe(root: Path) -> None:
    """Raises an error if a lake cannot be written here."""
    place = root
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise Misconfigured(f"{place}: is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise Misconfigured(f"{place}: cannot be written")
