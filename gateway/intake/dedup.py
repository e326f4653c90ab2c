"""Remembers which message ids each source has sent, so that a batch sent again counts once.

Two generations of ids: new ones go into the current one, and when that has covered the window or
would hold more than half of the entries allowed, it becomes the previous one and the previous one
is forgotten.
An id is therefore remembered for one to two windows, or less where the bound on entries is reached
first, and memory has a bound that no client can move.

A generation is kept in parts. A Python set that grows moves all that it holds at once, and one that
nobody needs any more frees it all at once: with half a million ids these were pauses of 40 to 60 ms
of processor time, in which no request was answered. A part holds so few ids that it takes 3 ms at
most, and those of a forgotten generation are freed a few at a time. It costs 0.2 to 0.3 µs an id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar

__all__ = ["Identified", "RecentIds", "Watcher"]


class Identified(Protocol):
    """What has a message id."""

    message_id: str


E = TypeVar("E", bound=Identified)

_PART_IDS = 65_536
_HASH_BITS = 40
_FREED_PER_ID = 4
_FREED_PER_CALL = 64


class Watcher(Protocol):
    """Follows what a `RecentIds` remembers of its own accord."""

    def taken(self, source_id: str, ids: set[str]) -> None:
        """These are new, and on their way to the queue; the set is the watcher's own."""

    def forgotten(self, source_id: str, ids: Sequence[str]) -> None:
        """These were taken, and not stored."""


class RecentIds:
    """The ids of each source within the window.

    Args:
        window_ms: least time for which an id is remembered.
        max_entries: bound on ids remembered, over all sources; at least the newest half of it is.
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
        """Told what is taken and what is forgotten."""

    def __len__(self) -> int:
        return self._count + sum(map(len, self._previous.values()))

    def knows(self, source_id: str, message_id: str) -> bool:
        """Whether an id was seen, which is not so for being asked about."""
        generations = (self._current, self._previous)
        return any(
            message_id in ids.get(source_id, self._none).part_of(message_id) for ids in generations
        )

    def take_all(self, source_id: str, events: Sequence[Identified], now_ms: int) -> bool:
        """Remember the ids of all these events if none was seen before; else of none, and False.

        The usual case, in a handful of calls for a whole batch.
        """
        current, previous = self._generations(source_id, len(events), now_ms)
        arriving = {event.message_id for event in events}
        if len(arriving) != len(events):
            return False
        if len(arriving) == 1:  # as most requests: not to part a single id saves it some µs
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
        """The events whose id was not seen before, which is so from now on.

        The caller calls `forget` for them if they are not stored after all.
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
        """The ids of a source, new and old, with room for as many as arrive."""
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
        """Remember ids that others have stored."""
        current, _ = self._generations(source_id, len(ids), now_ms)
        before = len(current)
        current.add(current.parted(ids))
        self._count += len(current) - before

    def forget(self, source_id: str, events: Sequence[Identified]) -> None:
        """Undo `take_new` and `take_all`: these were not stored, and may come again."""
        forgotten = [event.message_id for event in events]
        if self.watcher is not None:
            self.watcher.forgotten(source_id, forgotten)
        self.forget_ids((source_id, id_) for id_ in forgotten)

    def forget_ids(self, ids: Iterable[tuple[str, str]]) -> None:
        """Forget (source id, message id) pairs, as those of erased events."""
        for source_id, message_id in ids:
            for generation in (self._current, self._previous):
                part = generation.get(source_id, self._none).part_of(message_id)
                if message_id in part:
                    part.remove(message_id)
                    self._count -= generation is self._current

    def preload(self, ids: Iterable[tuple[str, Sequence[str]]], now_ms: int) -> int:
        """Fill at start, newest first; returns how many ids were new.

        Args:
            ids: of a source, as many at a time as is convenient; no more of them are asked for than
                there is room for.
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
        """Free some of the ids of forgotten generations."""
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
"""Ids, by the part that each falls into."""


class _Ids:
    """A set of ids in parts.

    Args:
        parts: how many, a power of two.
    """

    __slots__ = ("_mask", "parts")

    def __init__(self, parts: int) -> None:
        self._mask = parts - 1
        self.parts: list[set[str]] = [set() for _ in range(parts)]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def part_of(self, id_: str) -> set[str]:
        """The part that an id falls into."""
        # Not by its lowest bits: they tell its place in a set, and would be the same for all there.
        return self.parts[hash(id_) >> _HASH_BITS & self._mask]

    def parted(self, ids: Collection[str]) -> _Parted:
        """Ids by the part that each falls into, for the methods below."""
        mask = self._mask
        parted: _Parted = [[] for _ in self.parts]
        for id_, hashed in zip(ids, map(hash, ids), strict=True):
            parted[hashed >> _HASH_BITS & mask].append(id_)
        return parted

    def overlaps(self, parted: _Parted) -> bool:
        """Whether any of the ids is here."""
        return not all(map(set.isdisjoint, self.parts, parted))

    def add(self, parted: _Parted) -> None:
        """Add all of the ids."""
        for part, ids in zip(self.parts, parted, strict=True):
            part.update(ids)


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()
