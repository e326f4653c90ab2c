"""Remembers the message ids that each source has sent, so that an event sent again counts once.

There are two generations of ids, and new ids go into the current one. When it has covered the time
window, or would hold more than half of the allowed entries, it becomes the previous generation. The
generation before that is forgotten. So an id is remembered for one to two windows, or for less time
if the limit of entries is reached first. Memory has a limit that no client can change.

A generation is kept in parts. A growing Python set moves all its entries at once, and dropping a
set frees all its entries at once. With half a million ids both took 40 to 60 ms of processor time,
during which no request was answered. A part has few enough ids for 3 ms at most, and the ids of a
forgotten generation are freed a few at a time. This costs 0.2 to 0.3 µs an id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Protocol, TypeVar

__all__ = ["Identified", "RecentIds", "Watcher"]


class Identified(Protocol):
    """An object with a message id."""

    message_id: str


E = TypeVar("E", bound=Identified)

_MESSAGE_ID = attrgetter("message_id")
_PART_IDS = 65_536
_HASH_BITS = 40
_FREED_PER_ID = 4
_FREED_PER_CALL = 64


class Watcher(Protocol):
    """Follows the ids of events that come in, to pass them to other workers."""

    def taken(self, source_id: str, ids: set[str]) -> None:
        """Takes new ids, whose events are on their way to the queue. The watcher owns the set."""

    def forgotten(self, source_id: str, ids: Sequence[str]) -> None:
        """Takes ids that were passed to `taken`, and whose events were then not stored."""


class RecentIds:
    """The recent message ids of each source.

    Args:
        window_ms: shortest time for which an id is remembered.
        max_entries: limit of ids for all sources together. At least the newest half of that number
            is remembered.

    Attributes:
        watcher: is told about new and forgotten ids.
    """

    def __init__(self, window_ms: int, max_entries: int) -> None:
        self._window_ms = window_ms
        self._half = max(1, max_entries // 2)
        self._parts = _power_of_two(self._half // _PART_IDS)
        self._none = _Ids(self._parts)
        self._current: dict[str, _Ids] = {}
        self._previous: dict[str, _Ids] = {}
        self._forgotten: list[set[str]] = []
        self._count = 0
        self._since_ms = 0
        self.watcher: Watcher | None = None

    def __len__(self) -> int:
        return self._count + sum(map(len, self._previous.values()))

    def knows(self, source_id: str, message_id: str) -> bool:
        """Tells whether an id is remembered, without remembering it."""
        generations = (self._current, self._previous)
        return any(
            message_id in ids.get(source_id, self._none).part_of(message_id) for ids in generations
        )

    def take_all(self, source_id: str, events: Sequence[Identified], now_ms: int) -> bool:
        """Remembers the ids of all these events if all are new; else none of them.

        This is the usual case, and takes only a few calls for a whole batch.

        Returns:
            True if all were new.
        """
        current, previous = self._generations(source_id, len(events), now_ms)
        arriving = set(map(_MESSAGE_ID, events))
        if len(arriving) != len(events):
            return False
        if len(arriving) == 1:  # as in most requests; not splitting into parts saves some µs
            (id_,) = arriving
            part = current.part_of(id_)
            if id_ in part or id_ in previous.part_of(id_):
                return False
            part.add(id_)
            self._taken(source_id, arriving)
            return True
        parted = current.parted(arriving)
        if current.overlaps(parted) or previous.overlaps(parted):
            return False
        current.add(parted)
        self._taken(source_id, arriving)
        return True

    def take_new(self, source_id: str, events: Sequence[E], now_ms: int) -> list[E]:
        """Returns the events with new ids, and remembers these ids.

        The caller must call `forget` for events that are not stored after all.
        """
        if self.take_all(source_id, events, now_ms):
            return list(events)
        current, previous = self._generations(source_id, 0, now_ms)
        taken: set[str] = set()
        new = []
        for event in events:
            id_ = event.message_id
            if not (id_ in taken or id_ in current.part_of(id_) or id_ in previous.part_of(id_)):
                taken.add(id_)
                new.append(event)
        current.add(current.parted(taken))
        self._taken(source_id, taken)
        return new

    def _taken(self, source_id: str, ids: set[str]) -> None:
        self._count += len(ids)
        if self.watcher is not None:
            self.watcher.taken(source_id, ids)

    def _generations(self, source_id: str, arriving: int, now_ms: int) -> tuple[_Ids, _Ids]:
        """Returns the current and previous ids of a source, with room for as many as arrive."""
        if self._forgotten:
            self._free(_FREED_PER_CALL + _FREED_PER_ID * arriving)
        full = self._count > 0 and self._count + arriving > self._half
        if full or now_ms - self._since_ms >= self._window_ms:
            self._rotate(now_ms)
        current = self._current.get(source_id)
        if current is None:
            current = self._current[source_id] = _Ids(self._parts)
        return current, self._previous.get(source_id, self._none)

    def learn(self, source_id: str, ids: Sequence[str], now_ms: int) -> None:
        """Remembers ids of events that other workers have stored."""
        current, _ = self._generations(source_id, len(ids), now_ms)
        before = len(current)
        current.add(current.parted(ids))
        self._count += len(current) - before

    def forget(self, source_id: str, events: Sequence[Identified]) -> None:
        """Forgets the ids of events that were not stored, as the client will send them again."""
        forgotten = [event.message_id for event in events]
        if self.watcher is not None:
            self.watcher.forgotten(source_id, forgotten)
        self.forget_ids((source_id, id_) for id_ in forgotten)

    def forget_ids(self, ids: Iterable[tuple[str, str]]) -> None:
        """Forgets pairs of source id and message id, such as those of erased events."""
        for source_id, message_id in ids:
            for generation in (self._current, self._previous):
                part = generation.get(source_id, self._none).part_of(message_id)
                if message_id in part:
                    part.remove(message_id)
                    self._count -= generation is self._current

    def preload(self, ids: Iterable[tuple[str, Sequence[str]]], now_ms: int) -> int:
        """Fills the previous generation at start; returns the number of ids that were new.

        Args:
            ids: pairs of a source id and some of its message ids, the newest first. Reading stops
                when there is no more room.
        """
        self._since_ms = now_ms
        loaded = 0
        for source_id, some in ids:
            previous = self._previous.setdefault(source_id, _Ids(self._parts))
            before = len(previous)
            previous.add(previous.parted(some[: self._half - loaded]))
            loaded += len(previous) - before
            if loaded >= self._half:
                break
        return loaded

    def _free(self, number: int) -> None:
        """Frees some of the ids of forgotten generations."""
        pop = self._forgotten[-1].pop
        try:
            for _ in range(number):
                pop()
        except KeyError:
            self._forgotten.pop()

    def _rotate(self, now_ms: int) -> None:
        self._forgotten += (part for ids in self._previous.values() for part in ids.parts)
        self._previous, self._current = self._current, {}
        self._count = 0
        self._since_ms = now_ms


_Parted = list[list[str]]
"""Ids by the part that each belongs to."""


class _Ids:
    """A set of ids in parts.

    Args:
        parts: number of parts, a power of two.
    """

    __slots__ = ("_mask", "parts")

    def __init__(self, parts: int) -> None:
        self._mask = parts - 1
        self.parts: list[set[str]] = [set() for _ in range(parts)]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def part_of(self, id_: str) -> set[str]:
        """Returns the part that an id belongs to."""
        # Not by the lowest bits of the hash: a set places its entries by them, and all entries of
        # one part would have the same.
        return self.parts[hash(id_) >> _HASH_BITS & self._mask]

    def parted(self, ids: Collection[str]) -> _Parted:
        """Returns ids by the part that each belongs to, for the methods below."""
        mask = self._mask
        parted: _Parted = [[] for _ in self.parts]
        for id_, hashed in zip(ids, map(hash, ids), strict=True):
            parted[hashed >> _HASH_BITS & mask].append(id_)
        return parted

    def overlaps(self, parted: _Parted) -> bool:
        """Tells whether the set has any of the ids."""
        return not all(map(set.isdisjoint, self.parts, parted))

    def add(self, parted: _Parted) -> None:
        """Adds all of the ids."""
        for part, ids in zip(self.parts, parted, strict=True):
            part.update(ids)


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()
