"""Stores: where a queue keeps its events."""

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


@dataclass(frozen=True, slots=True)
class QueueSpec(Generic[C]):
    """Registers a type of queue store.

    Attributes:
        sharded: whether several worker processes may each have a store of their own, told apart by
            `Context.data_dir`. Without it ``server.workers`` is 1.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[C, Context], Store]
    sharded: bool = False
    api: int = API_VERSION
