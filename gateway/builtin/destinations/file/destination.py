"""Writes newline-delimited JSON to local disk, for archives and for loading elsewhere."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event as Flag
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.builtin.destinations.file.compress import compress_file
from gateway.builtin.destinations.file.erase import erase_lines
from gateway.builtin.destinations.file.names import FileName
from gateway.builtin.destinations.file.rolling import RollingFile
from gateway.components.context import Context
from gateway.components.destination import Batch, Destination, Erasure
from gateway.errors import DeliveryError, Misconfigured, Retryable
from gateway.events.ndjson import encode_ndjson
from gateway.events.subjects import Subjects
from gateway.queue.files import FileSystem

__all__ = ["FileConfig", "FileDestination", "folder_of"]

T = TypeVar("T")

_SETTINGS_WRONG = {
    errno.EACCES,
    errno.EEXIST,  # a file where the folder should be
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""Errors that a person has to correct. All others may pass, a full or failing disk included."""


class FileConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a destination with ``type = "file"``.

    Attributes:
        path: folder for the files of this destination alone; created if it does not exist. The
            first worker writes here, the others to ``worker-1``, ... below it.
        roll_bytes: a file is finished when the next batch would make it larger than this.
        roll_seconds: a file is also finished by the first batch after each multiple of this since
            1970 (UTC).
        compress: ``gzip`` compresses finished files in the background.
        fsync: events count as delivered once they are on stable storage; if False, once the
            operating system has them.
    """

    path: str
    roll_bytes: Annotated[int, Meta(ge=1_000_000)] = 128_000_000
    roll_seconds: Annotated[int, Meta(ge=60, le=2_678_400)] = 3600
    compress: Literal["none", "gzip"] = "none"
    fsync: bool = True


def folder_of(config: FileConfig, context: Context) -> Path:
    """Returns the folder that this worker process writes to; each folder has one writer."""
    folder = context.path(config.path)
    return folder / f"worker-{context.shard}" if context.shard else folder


class FileDestination(Destination):
    """Appends each batch to a file, with one write.

    It writes in its own thread, so that a disk that hangs delays no other destination. A cancelled
    attempt may still be written: delivery is at least once.

    Args:
        files: replaced in tests by a file system that fails.
    """

    stores_by_shard = True

    def __init__(
        self, config: FileConfig, context: Context, files: FileSystem | None = None
    ) -> None:
        self._folder = folder_of(config, context)
        self._gzip = config.compress == "gzip"
        self._log = context.log
        self._file = RollingFile(
            self._folder,
            roll_bytes=config.roll_bytes,
            roll_seconds=config.roll_seconds,
            sync=config.fsync,
            clock=context.clock,
            log=context.log,
            files=files,
        )
        self._writer = ThreadPoolExecutor(1, f"file-{context.id}")
        self._compressor = ThreadPoolExecutor(1, f"gzip-{context.id}")
        self._stopping = Flag()

    async def start(self) -> None:
        """Refuses a folder that cannot be written for a reason that will not pass."""
        try:
            await self.check()
        except Retryable as error:
            self._log.warning("file: cannot write yet", error=str(error))

    async def stop(self) -> None:
        """Closes the file; cancels a running compression, which the next start repeats."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        try:
            await self._run(self._file.close)
        finally:
            self._writer.shutdown(wait=False, cancel_futures=True)
            self._compressor.shutdown(wait=False, cancel_futures=True)

    async def send(self, batch: Batch) -> None:
        """Appends the events; see `RollingFile.append`."""
        # Encoded here, not in the thread, because other destinations use the same events.
        self._compress(await self._run(self._append, encode_ndjson(batch)))

    async def check(self) -> None:
        """Creates the folder, and writes and removes a small file in it."""
        await self._run(self._probe)

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Rewrites each file that has lines of these users, compressed files included.

        It does not reach files that were moved out of the folder.
        """
        finished, names = await self._run(self._finish)
        loop = asyncio.get_running_loop()
        # In the thread that compresses, because only one of the two may replace a file.
        work = partial(erase_lines, self._folder, names, _LinesOf(subjects), self._stopping)
        try:
            gone = await loop.run_in_executor(self._compressor, work)
        except OSError as error:
            raise _delivery_error(error) from error
        self._compress(finished)
        detail = "files that were moved out of its folder are not covered"
        return Erasure("FINISHED", gone, detail)

    def _finish(self) -> tuple[list[Path], list[FileName]]:
        """Finishes the current file; returns the files to compress, and the names of all files."""
        self._file.finish()
        names = {FileName.parse(path.name) for path in self._folder.iterdir()}
        return self._take_finished(), sorted(name for name in names if name is not None)

    def _take_finished(self) -> list[Path]:
        finished = self._file.finished[:]
        self._file.finished.clear()
        return finished

    def _compress(self, finished: list[Path]) -> None:
        if self._gzip:
            for path in finished:
                future = self._compressor.submit(compress_file, path, self._stopping)
                future.add_done_callback(partial(self._compressed, path))

    def _append(self, data: bytes) -> list[Path]:
        self._file.append(data)
        return self._take_finished()

    def _probe(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._folder, prefix=".check-") as file:
            file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._writer, function, *args)
        except OSError as error:
            raise _delivery_error(error) from error

    def _compressed(self, path: Path, future: Future[bool]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._log.warning(
                "file: not compressed; tried again after the next start",
                file=path.name,
                error=str(error),
            )


class _LinesOf:
    """Recognises the lines of data subjects; a line that is not an event is nobody's."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects

    def __call__(self, line: bytes) -> bool:
        try:
            return self._subjects.owns_json(line)
        except msgspec.DecodeError:
            return False


def _delivery_error(error: OSError) -> DeliveryError:
    kind = Misconfigured if error.errno in _SETTINGS_WRONG else Retryable
    return kind(str(error))
