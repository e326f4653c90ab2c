"""Remembers which message ids each source has sent, so that a batch sent again counts once.

Two generations of ids: new ones go into the current one, and when that has covered the window or
would hold more than half of the entries allowed, it becomes the previous one and the previous one
is forgotten.
An id is therefore remembered for one to two windows, or less where the bound on entries is reached
first; forgetting costs nothing, and memory has a bound that no client can move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

__all__ = ["Identified", "RecentIds", "Watcher"]


class Identified(Protocol):
    """What has a message id."""

    message_id: str


E = TypeVar("E", bound=Identified)


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
        self._current: dict[str, set[str]] = {}
        self._previous: dict[str, set[str]] = {}
        self._count = 0
        self._since_ms = 0
        self.watcher: Watcher | None = None
        """Told what is taken and what is forgotten."""

    def __len__(self) -> int:
        return self._count + sum(map(len, self._previous.values()))

    def knows(self, source_id: str, message_id: str) -> bool:
        """Whether an id was seen, which is not so for being asked about."""
        generations = (self._current, self._previous)
        return any(message_id in ids.get(source_id, ()) for ids in generations)

    def take_all(self, source_id: str, events: Sequence[Identified], now_ms: int) -> bool:
        """Remember the ids of all these events if none was seen before; else of none, and False.

        The usual case, in a handful of calls for a whole batch.
        """
        current, previous = self._generations(source_id, len(events), now_ms)
        arriving = {event.message_id for event in events}
        if (
            len(arriving) != len(events)
            or not current.isdisjoint(arriving)
            or not previous.isdisjoint(arriving)
        ):
            return False
        current |= arriving
        self._count += len(arriving)
        if self.watcher is not None:
            self.watcher.taken(source_id, arriving)
        return True

    def take_new(self, source_id: str, events: Sequence[E], now_ms: int) -> list[E]:
        """The events whose id was not seen before, which is so from now on.

        The caller calls `forget` for them if they are not stored after all.
        """
        if self.take_all(source_id, events, now_ms):
            return list(events)
        current, previous = self._generations(source_id, 0, now_ms)
        before = len(current)
        new = []
        for event in events:
            message_id = event.message_id
            if message_id not in current and message_id not in previous:
                current.add(message_id)
                new.append(event)
        self._count += len(current) - before
        if self.watcher is not None:
            self.watcher.taken(source_id, {event.message_id for event in new})
        return new

    def _generations(self, source_id: str, arriving: int, now_ms: int) -> tuple[set[str], set[str]]:
        """The ids of a source, new and old, with room for as many as arrive."""
        full = self._count > 0 and self._count + arriving > self._half
        if full or now_ms - self._since_ms >= self._window_ms:
            self._rotate(now_ms)
        return self._current.setdefault(source_id, set()), self._previous.get(source_id, set())

    def learn(self, source_id: str, ids: Sequence[str], now_ms: int) -> None:
        """Remember ids that others have stored."""
        current, _ = self._generations(source_id, len(ids), now_ms)
        before = len(current)
        current.update(ids)
        self._count += len(current) - before

    def forget(self, source_id: str, events: Sequence[Identified]) -> None:
        """Undo `take_new` and `take_all`: these were not stored, and may come again."""
        forgotten = [event.message_id for event in events]
        if self.watcher is not None:
            self.watcher.forgotten(source_id, forgotten)
        for generation in (self._current, self._previous):
            ids = generation.get(source_id)
            if ids:
                before = len(ids)
                ids.difference_update(forgotten)
                if generation is self._current:
                    self._count -= before - len(ids)

    def forget_ids(self, ids: Iterable[tuple[str, str]]) -> None:
        """Forget (source id, message id) pairs, as those of erased events."""
        for source_id, message_id in ids:
            for generation in (self._current, self._previous):
                if message_id in generation.get(source_id, ()):
                    generation[source_id].remove(message_id)
                    self._count -= generation is self._current

    def preload(self, ids: Iterable[tuple[str, str]], now_ms: int) -> int:
        """Fill from (source id, message id) pairs at start, newest first; returns how many."""
        self._since_ms = now_ms
        loaded = 0
        for source_id, message_id in ids:
            if loaded >= self._half:
                break
            self._previous.setdefault(source_id, set()).add(message_id)
            loaded += 1
        return loaded

    def _rotate(self, now_ms: int) -> None:
        self._previous, self._current = self._current, {}
        self._count = 0
        self._since_ms = now_ms
