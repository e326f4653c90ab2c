"""The store on local disk: append-only segments, as `gateway.queue` describes them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.components.store import Erased, Frame, Reader, Store, StoreStatus
from gateway.errors import QueueClosed, QueueFull
from gateway.queue.disk_config import DiskConfig
from gateway.queue.disk_reader import DiskReader
from gateway.queue.epochs import Epochs
from gateway.queue.erase import Eraser
from gateway.queue.files import PROBE_FILE, FileSystem, RealFileSystem, probe
from gateway.queue.index import index_path
from gateway.queue.quarantine import Quarantine
from gateway.queue.queue_id import store_identity, stored_identity
from gateway.queue.record import (
    SEGMENT_HEADER,
    Codec,
    joined,
    segment_header,
)
from gateway.queue.recovery import check_version, recover
from gateway.queue.reserve import Reserve
from gateway.queue.rewrite import SUFFIX as DRAFT_SUFFIX
from gateway.queue.rewrite import Redact
from gateway.queue.segment import Damage, Segment, recent

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["DiskConfig", "DiskStore"]

_HOUR_MS = 3_600_000
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_SPACE_RETRY_SECONDS = 10
_FULL_RETRY_SECONDS = 30


class DiskStore(Store):
    """Segments in a folder.

    Args:
        clock: wall clock in milliseconds.
        files: tests pass a file system that fails.
    """

    def __init__(
        self,
        folder: Path,
        config: DiskConfig,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        files: FileSystem | None = None,
        *,
        reserve: Reserve | None = None,
    ) -> None:
        self.files = files or RealFileSystem()
        self._reserve = reserve
        self._folder = folder
        self._config = config
        self._clock = clock
        self._log = log
        self._quarantine = Quarantine(self.files, folder, log)
        self._codec = Codec(config.compression_level)
        self._lock = threading.Lock()  # guards the fields below, which readers in other threads see
        self._identity = ""
        self._segments: list[Segment] = []
        self._end = 0
        self._finished = 0
        self._problem = ""
        self._epochs = Epochs(self.files, folder, "")
        self._epoch_begun = False
        self._refused_bytes = 0  # of the write that `_problem` is about
        self._fd: int | None = None  # of the newest segment; if None, the next write begins one

    # -- opening and closing -------------------------------------------------

    def open(self) -> None:
        """Recovers the queue; see `gateway.queue`."""
        self.files.make_dir(self._folder)
        names = self.files.list_dir(self._folder)
        for name in names:
            if name.endswith(DRAFT_SUFFIX) or name == PROBE_FILE:  # not finished
                self.files.remove(self._folder / name)
        offsets = [Segment.offset_of(name) for name in names]
        firsts = sorted(offset for offset in offsets if offset is not None)
        self._identity = stored_identity(self.files, self._folder, fresh=not firsts)
        self._epochs = Epochs(self.files, self._folder, self._identity)
        if firsts:
            self._epochs.load()
        for first, after in zip(firsts, [*firsts[1:], None], strict=False):
            path = self._folder / Segment.name(first)
            check_version(self.files, path)
            if after is None:
                segment = recover(self.files, path, first, self._codec, self._quarantine, self._log)
            else:
                modified = self.files.modified_ms(path)
                segment = Segment(path, first, after, self.files.size(path), modified)
            self._segments.append(segment)
            self._end = segment.end
        self._drop_if_empty()

    def _drop_if_empty(self) -> None:
        """Removes a newest segment without events; its name is where the next one begins.

        If it is the only one its file stays, as nothing else tells where offsets continue.
        """
        if self._segments and self._segments[-1].end == self._segments[-1].first:
            empty = self._segments.pop()
            if self._segments:
                self.files.remove(empty.path)

    def close(self) -> None:
        """See `Store`."""
        if self._fd is not None:
            try:
                self.files.sync(self._fd)
            finally:
                self._close_newest()

    def _close_newest(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self.files.close(fd)

    # -- writing -------------------------------------------------------------

    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        """See `Store`."""
        now_ms = self._clock()
        first, count = self._end, sum(counts)
        raw = joined(chunks)
        frame = self._codec.encode(first, count, now_ms, raw)
        needed = len(frame) + SEGMENT_HEADER
        self._make_room(needed)
        self._keep_reserve(needed)
        restored = False
        while True:
            try:
                if self._fd is None or self._newest_is_full(len(frame)):
                    self._begin_segment(first, now_ms)
                assert self._fd is not None
                self.files.write(self._fd, frame)
                if sync:
                    self.files.sync(self._fd)
                if self.files.is_at(self._fd, self._segments[-1].path):
                    break
                raise FileNotFoundError(errno.ENOENT, "the queue's files were moved or removed")
            except OSError as error:
                try:
                    if error.errno == errno.ENOENT and not restored:
                        restored = True
                        self._restore()
                        continue
                except OSError as again:
                    error = again
                self._abandon_newest()
                if error.errno in _NO_SPACE and self._remove_oldest():
                    continue
                self._refused_bytes = needed
                raise self._failed(error) from error
        with self._lock:
            newest = self._segments[-1]
            newest.size += len(frame)
            newest.end = self._end = first + count
            newest.last_ms = now_ms
            self._problem = ""
        return first

    def sync(self) -> None:
        """See `Store`."""
        if self._fd is None:
            return
        try:
            self.files.sync(self._fd)
        except OSError as error:
            # The bytes may or may not be on disk. This file is never synced again: the kernel
            # reports a lost page only once, and a later success would be a lie.
            self._close_newest()
            raise self._failed(error) from error

    def _newest_is_full(self, more: int) -> bool:
        newest = self._segments[-1]
        return newest.end > newest.first and newest.size + more > self._config.segment_bytes

    def _begin_segment(self, first: int, now_ms: int) -> None:
        if not self._epoch_begun:
            kept = self._segments[0].first if self._segments else first
            self._epochs.begin(kept, first)
            self._epoch_begun = True
        if self._fd is not None:
            self.files.sync(self._fd)
            self._close_newest()
        path = self._folder / Segment.name(first)
        fd = self.files.create(path)
        try:
            self.files.write(fd, segment_header(first))
            self.files.sync_dir(self._folder)
        except OSError:
            self.files.close(fd)  # the next attempt creates the file anew
            raise
        self._fd = fd
        with self._lock:
            self._segments.append(Segment(path, first, first, SEGMENT_HEADER, now_ms))

    def _abandon_newest(self) -> None:
        """Ends the newest segment after a failed write; see invariant 4 of `gateway.queue`."""
        if self._fd is None:
            return
        newest = self._segments[-1]
        try:
            self._close_newest()
            if newest.end == newest.first:
                with self._lock:
                    self._segments.pop()
                if self._segments:  # as in `_drop_if_empty`
                    self.files.remove(newest.path)
            else:
                self.files.truncate(newest.path, newest.size)
        except OSError:
            # Invariant 3 covers the bytes that stay: the next segment begins at the same offset.
            self._log.warning("queue: could not cut back after a failed write", exc_info=True)

    def _failed(self, error: OSError) -> QueueFull | QueueClosed:
        reason = error.strerror or str(error)
        with self._lock:
            first_time = self._problem == ""
            self._problem = f"the disk store cannot write: {reason}"
        if first_time:
            self._log.error("queue: cannot write; events are refused", reason=reason)
        if error.errno in _NO_SPACE:
            return QueueFull(self._problem, _NO_SPACE_RETRY_SECONDS)
        return QueueClosed(self._problem)

    def _make_room(self, needed: int) -> None:
        limit = self._config.max_bytes
        if self._stored_bytes() + needed <= limit:
            return
        self._remove_finished(lambda _: self._stored_bytes() + needed > limit)
        if self._stored_bytes() + needed > limit:
            self._part_with_newest()
        if self._stored_bytes() + needed > limit:
            with self._lock:
                self._problem = (
                    f"the queue holds queue.max_bytes = {limit} of events that not every "
                    "destination has finished with"
                )
            self._refused_bytes = needed
            raise QueueFull(self._problem, _FULL_RETRY_SECONDS)

    # -- reading and retention -----------------------------------------------

    def reader(self, offset: int) -> Reader:
        """See `Store`."""
        return DiskReader(self, offset, Codec())

    def release(self, offset: int, now_ms: int) -> int:
        """See `Store`."""
        with self._lock:
            self._finished = min(offset, self._end)
        oldest_ms = now_ms - int(self._config.retention_hours * _HOUR_MS)
        self._remove_finished(lambda segment: segment.last_ms < oldest_ms)
        with suppress(QueueFull, QueueClosed):
            if self._reserve is not None and not self._reserve.fill():
                self._keep_reserve(0)
        if self._problem:
            self._look_again()
        return self.status().first

    def _look_again(self) -> None:
        """Clears the problem once a write like the refused one would succeed.

        No write may ever come to find that out, as a load balancer sends nothing while the problem
        lasts.
        """
        try:
            self._make_room(self._refused_bytes)
            self._keep_reserve(self._refused_bytes)
            probe(self.files, self._folder, self._refused_bytes)
        except (OSError, QueueFull):
            return
        with self._lock:
            self._problem = ""
        self._log.info("queue: events can be stored again")

    def _restore(self) -> None:
        """Makes the folder again after files of it were moved or removed under the gateway.

        Events go to a new segment. Those in files that are gone are reported when they are read.
        """
        self._log.error("queue: files were moved or removed; a new segment begins")
        self._close_newest()
        if self._segments and self._segments[-1].end == self._segments[-1].first:
            with self._lock:
                self._segments.pop()
        self.files.make_dir(self._folder)
        store_identity(self.files, self._folder, self._identity)
        self._epoch_begun = False

    def _remove_oldest(self) -> bool:
        """Removes the oldest segment to make room on a full disk; False if it is still needed."""
        before = len(self._segments)
        self._remove_finished(lambda _: len(self._segments) == before)
        return len(self._segments) < before

    def _part_with_newest(self) -> None:
        """Removes the newest segment too, if it is finished: an empty one takes its place."""
        if not self._segments or not 0 < self._segments[-1].end <= self._finished:
            return
        try:
            self._begin_segment(self._end, self._clock())
        except OSError as error:
            raise self._failed(error) from error
        self._remove_finished(lambda segment: segment.end > segment.first)

    def _keep_reserve(self, needed: int) -> None:
        """Refuses a write while the reserve is missing, as the write would use its room."""
        while self._reserve is not None and not (self._reserve.whole or self._reserve.fill()):
            if not self._remove_oldest():
                self._refused_bytes = needed
                raise self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _remove_finished(self, wanted: Callable[[Segment], bool]) -> None:
        """Removes the oldest segments that all destinations have finished with.

        Args:
            wanted: returns True for a segment to remove; the first False ends the removal.
        """
        removed = False
        while len(self._segments) > 1:
            oldest = self._segments[0]
            if oldest.end > self._finished or not wanted(oldest):
                break
            with self._lock:
                self._segments.pop(0)
            self.files.remove(oldest.path)
            self.files.remove(index_path(oldest.path))
            removed = True
        if removed:
            self.files.sync_dir(self._folder)

    def recent(self, since_ms: int, limit: int) -> Iterator[Frame]:
        """See `Store`."""
        return recent(self.files, self.segments(), since_ms, limit)

    def seal(self) -> None:
        """See `Store`. The next write begins a segment."""
        self.sync()
        self._close_newest()

    def erase(self, redact: Redact, progress: Callable[[int, int], None]) -> Erased:
        """See `Store` and `gateway.queue.rewrite`."""
        return Eraser(self.files, self._folder, self._segments, self._lock).run(redact, progress)

    def identity(self) -> str:
        """See `Store`."""
        return self._identity

    def identity_at(self, offset: int) -> tuple[str, int | None]:
        """See `Store`."""
        return self._epochs.at(offset)

    def status(self) -> StoreStatus:
        """See `Store`."""
        with self._lock:
            first = self._segments[0].first if self._segments else self._end
            return StoreStatus(
                first,
                self._end,
                self._stored_bytes(),
                self._problem,
                self._quarantine.damaged_events,
            )

    def segments(self) -> list[Segment]:
        """Returns the current segments, oldest first. Their fields keep changing."""
        with self._lock:
            return list(self._segments)

    def extent(self, segment: Segment) -> tuple[int, int]:
        """Returns size and end of a segment that may be growing, read together."""
        with self._lock:
            return segment.size, segment.end

    def _stored_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def report(self, damage: Damage) -> None:
        """Reports damage that a reader found."""
        self._quarantine.report(damage)
