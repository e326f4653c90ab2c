"""The contract of stores, which keep the events of a queue."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from gateway.components.component import API_VERSION, C
from gateway.components.context import Context
from gateway.events.subjects import Redacted

__all__ = ["Erased", "Frame", "QueueSpec", "Reader", "Store", "StoreStatus"]


@dataclass(frozen=True, slots=True)
class Frame:
    """The events of one write, as stored.

    Attributes:
        offset: offset of the first event.
        count: number of events.
        time_ms: wall clock of the write, in milliseconds.
        payload: JSON array of the events; `gateway.events.envelope.sealed` reads it.
    """

    offset: int
    count: int
    time_ms: int
    payload: bytes

    @property
    def end(self) -> int:
        """Offset that follows the last event."""
        return self.offset + self.count


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The numbers of a store for health and metrics.

    Attributes:
        first, end: offsets of the oldest event kept and of the next one to come.
        stored_bytes: bytes that count against the store's bound.
        problem: the reason why the store takes no events now; empty if it takes them.
        damaged_events: events lost to damage since the start.
    """

    first: int
    end: int
    stored_bytes: int
    problem: str = ""
    damaged_events: int = 0


@dataclass(slots=True)
class Erased:
    """The result of `Store.erase`.

    Attributes:
        ids: source and message id of each erased event.
        detail: anything else to report, in words.
    """

    ids: list[tuple[str, str]] = field(default_factory=list)
    detail: str = ""


class Reader(ABC):
    """Reads a store forward from an offset. Only one thread uses it at a time."""

    @abstractmethod
    def next(self) -> Frame | None:
        """Returns the frame at the position and moves past it; None at the end.

        The first frame may begin before the position; the caller skips those events. A frame may
        also begin after the position, where events were removed or damaged.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases files."""


class Store(ABC):
    """Keeps events. Every method blocks and runs in a thread; `write` always in the same one."""

    @abstractmethod
    def open(self) -> None:
        """Recovers and gets ready; raises `QueueDamaged` only if nothing can be read at all."""

    @abstractmethod
    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        """Appends one frame.

        Args:
            chunks: JSON arrays of events. The payload of the frame is one array of all their
                elements. The store does not look into them.
            counts: number of events in each chunk.
            sync: return only once the frame is on stable storage.

        Returns:
            The offset of the first event.

        Raises:
            QueueFull: there is no room; nothing was stored and the store stays usable.
            QueueClosed: the store failed; none of the events counts as stored.
        """

    @abstractmethod
    def sync(self) -> None:
        """Brings everything written to stable storage."""

    @abstractmethod
    def reader(self, offset: int) -> Reader:
        """Returns a reader that begins at `offset`."""

    @abstractmethod
    def release(self, offset: int, now_ms: int) -> int:
        """Removes what retention lets go; no destination needs the events below `offset`.

        The offset may be lower than the one before: a destination may be added that reads from the
        oldest event on. With `now_ms` 0 nothing is old enough to be removed.

        It is called once a second. It also finds out whether a problem in `status` is over, as no
        write may come to show that.

        Returns:
            The oldest offset that is left.
        """

    @abstractmethod
    def recent(self, since_ms: int, limit: int) -> Iterable[Frame]:
        """Returns frames written since then, newest first, until they hold `limit` events."""

    @abstractmethod
    def identity(self) -> str:
        """Returns the id of the queue, once it is open.

        It stays the same while offsets continue, over restarts too, and changes when they start
        again.
        """

    def identity_at(self, offset: int) -> tuple[str, int | None]:
        """Returns the id that destinations are given for an event, and the offset of another id.

        A pair of this id and an offset never names two events, even if offsets are given out again
        because the end of the queue was lost or a backup was restored. Destinations that take each
        event once rely on it. It is cheap, and safe from any thread.

        Returns:
            The id, and the offset from which on events have another one; None if they all have it.
        """
        return self.identity(), None

    @abstractmethod
    def status(self) -> StoreStatus:
        """Returns numbers for health and metrics; cheap, and safe from any thread."""

    def seal(self) -> None:  # noqa: B027 - a store may be able to erase without it
        """Ends the files that are being written, so that `erase` can work on them beside writes.

        It runs in the thread that writes; `erase` follows in another thread.
        """

    def erase(
        self, redact: Callable[[bytes], Redacted | None], progress: Callable[[int, int], None]
    ) -> Erased:
        """Erases events from all that was stored before `seal`; offsets and counts stay.

        An open reader may still return frames as they were; the caller opens readers anew before it
        relies on them. Repeating the call does no harm, also after a crash.

        Args:
            redact: maps the payload of a frame to its replacement; None leaves it as it is.
            progress: called with the amount done and the amount to do.

        Raises:
            NotImplementedError: this store cannot erase.
            OSError: erasing failed and may be tried again.
        """
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Syncs and releases files; safe twice and without `open`."""


@dataclass(frozen=True, slots=True)
class QueueSpec(Generic[C]):
    """Registers a type of queue store.

    Attributes:
        sharded: several worker processes may each have a store of their own, in their own
            `Context.data_dir`. Otherwise ``server.workers`` must be 1.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[C, Context], Store]
    sharded: bool = False
    api: int = API_VERSION
