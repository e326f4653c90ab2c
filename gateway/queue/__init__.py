"""The batching queue: what intake puts in, what destinations read, and what survives a crash.

**Front** (`batching`). Intake hands over the events of a request and waits for a future. Whatever
arrives while a write is under way goes into the next write: one write, one fsync, many answers.
Bytes waiting are bounded; over the bound `put` raises `QueueFull` and the caller sheds.

**Feed** (`feed`). The newest events stay in memory, bounded in bytes, so that a destination that is
caught up never touches the disk.

**Store** (`disk`, `memory`, or a plugin's). Gives each event an offset and keeps it until every
destination has finished with it *and* retention has passed.

On disk
-------
``<data_dir>/queue/`` holds *segments*, each a file named after the offset of its first event::

    00000000000000000000.seg     magic "HGQ1" + u32 version + u64 first offset + u32 crc of those
        frame                    header, then payload; a frame is what one write stored
        frame
        ...

A frame's header is 44 bytes, little-endian: magic ``HGFR``, u32 number of events, u64 first offset,
u64 time of writing in ms, u32 bytes of payload, u32 bytes before compression, u32 CRC-32 of the
payload, u32 reserved, u32 CRC-32 of the header before it. The payload is a JSON array of events,
some of them sealed together (`gateway.events.envelope.sealed`), compressed with zstd: ``zstd -d``
and any JSON tool can read what is left of a queue.

``identity`` beside the segments names the queue (`gateway.queue.identity`): in a folder that was
emptied offsets begin at 0 again, and destinations must be able to tell.

Invariants
----------
1. Offsets are dense within a segment, never reused, and grow with time.
2. A frame is acknowledged only after the fsync that covers it returned.
3. A segment ends where the next one begins: a frame at or past the next segment's first offset was
   never acknowledged and does not exist.
4. Only the newest segment is written to. After a failed write or fsync nothing more is appended to
   that file (its pages may be gone from memory without having reached the disk): it is cut back to
   its last acknowledged frame and a new segment begins.
5. A segment is removed only when all destinations have finished with it.
6. A finished segment changes only by being replaced, as a whole, with a copy from which events were
   erased (`gateway.queue.rewrite`).

Recovery
--------
Opening the store scans the newest segment. Bytes after the last good frame that hold no further
good frame are a *torn tail*, the trace of a crash: cut off, as they were never acknowledged. A bad
frame with good ones after it is *damage*: its bytes are copied to ``queue/quarantine/``, the loss
is reported with its offsets, and readers go on after it. What was found good is synced before it
counts: a process that was killed may have left frames that are in memory only. Older segments are
checked frame by frame as they are read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.events.subjects import Redacted

__all__ = ["Erased", "Frame", "Reader", "Store", "StoreStatus"]


@dataclass(frozen=True, slots=True)
class Frame:
    """Events as stored by one write.

    Attributes:
        offset: of the first event.
        count: how many there are.
        time_ms: when they were written.
        payload: JSON array of the events, which `gateway.events.envelope.sealed` reads.
    """

    offset: int
    count: int
    time_ms: int
    payload: bytes

    @property
    def end(self) -> int:
        """Offset of the event after the last one."""
        return self.offset + self.count


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What health and metrics say of a store.

    Attributes:
        first, end: offsets of the oldest event kept and of the next one to come.
        stored_bytes: bytes that count against the store's bound.
        problem: why it takes no events now, or empty.
        damaged_events: events lost to damage since the start.
    """

    first: int
    end: int
    stored_bytes: int
    problem: str = ""
    damaged_events: int = 0


@dataclass(slots=True)
class Erased:
    """What `Store.erase` did.

    Attributes:
        ids: source and message id of each event that was taken out.
        detail: what else is to be known of it, in words.
    """

    ids: list[tuple[str, str]] = field(default_factory=list)
    detail: str = ""


class Reader(ABC):
    """Reads a store forward from an offset. Used by one thread at a time."""

    @abstractmethod
    def next(self) -> Frame | None:
        """The frame that holds the position, moving past it; None at the end.

        The first frame may begin before the position: the caller skips. A frame may also begin
        after it, where events were removed or damaged.
        """

    @abstractmethod
    def close(self) -> None:
        """Release files."""


class Store(ABC):
    """Keeps events. Every method blocks and runs in a thread; `write` always in the same one."""

    @abstractmethod
    def open(self) -> None:
        """Recover and get ready; `QueueDamaged` only if nothing can be read at all."""

    @abstractmethod
    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        """Append one frame made of `chunks`, each a JSON array that holds so many events.

        What is in the arrays is `gateway.events.envelope.sealed`'s affair: the payload of the frame
        is their elements in one array.

        Returns:
            The offset of the first event; with `sync` only once the frame is on stable storage.

        Raises:
            QueueFull: no room; nothing was stored and the store stays usable.
            QueueClosed: the store failed; nothing of it counts as stored.
        """

    @abstractmethod
    def sync(self) -> None:
        """Bring everything written to stable storage."""

    @abstractmethod
    def reader(self, offset: int) -> Reader:
        """A reader that begins at `offset`."""

    @abstractmethod
    def release(self, offset: int, now_ms: int) -> int:
        """Everything below `offset` is finished with: remove what retention lets go.

        Returns:
            The oldest offset that is left.
        """

    @abstractmethod
    def recent(self, since_ms: int, limit: int) -> Iterable[Frame]:
        """Frames written since then, newest first, until they hold `limit` events."""

    @abstractmethod
    def identity(self) -> str:
        """Names the queue, once it is open: a pair of this and an offset is never another event's.

        It stays as long as offsets go on, over restarts too, and changes when they begin anew.
        """

    @abstractmethod
    def status(self) -> StoreStatus:
        """Numbers for health and metrics; cheap, and safe from any thread."""

    def seal(self) -> None:  # noqa: B027 - a store that can erase without it need not have it
        """What is stored by now is added to no more, so that `erase` may take its time over it.

        Runs in the thread that writes; `erase` follows in another, beside writes.
        """

    def erase(
        self, redact: Callable[[bytes], Redacted | None], progress: Callable[[int, int], None]
    ) -> Erased:
        """Take events out of all that was stored before `seal`; offsets and counts stay.

        A reader that is open may still give frames as they were: readers are opened anew before
        what it gives is relied on. Doing it again, also after a crash, does no harm.

        Args:
            redact: from the payload of a frame to what takes its place; None leaves it as it is.
            progress: called with how much is done, and how much there is to do.

        Raises:
            NotImplementedError: this store cannot.
            OSError: it failed, and may be tried again.
        """
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Sync and release; safe twice and without `open`."""
