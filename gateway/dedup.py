"""Remembers which message ids each source has sent, so that a batch sent again counts once.

Two generations of ids: new ones go into the current one, and when that has covered the window or
would hold more than half of the entries allowed, it becomes the previous one and the previous one
is forgotten.
An id is therefore remembered for one to two windows, or less where the bound on entries is reached
first; forgetting costs nothing, and memory has a bound that no client can move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.event import Event

__all__ = ["RecentIds"]


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

    def __len__(self) -> int:
        return self._count + sum(map(len, self._previous.values()))

    def take_new(self, source_id: str, events: Sequence[Event], now_ms: int) -> list[Event]:
        """The events whose id was not seen before, which is so from now on.

        The caller calls `forget` for them if they are not stored after all.
        """
        full = self._count > 0 and self._count + len(events) > self._half
        if full or now_ms - self._since_ms >= self._window_ms:
            self._rotate(now_ms)
        current = self._current.setdefault(source_id, set())
        previous = self._previous.get(source_id, set())
        before = len(current)
        ids = [event.message_id for event in events]
        arriving = set(ids)
        # The usual case, in a handful of calls for a whole batch: nothing was seen before.
        if (
            len(arriving) == len(ids)
            and current.isdisjoint(arriving)
            and previous.isdisjoint(arriving)
        ):
            current |= arriving
            self._count += len(ids)
            return list(events)
        new = []
        for event in events:
            message_id = event.message_id
            if message_id not in current and message_id not in previous:
                current.add(message_id)
                new.append(event)
        self._count += len(current) - before
        return new

    def forget(self, source_id: str, events: Sequence[Event]) -> None:
        """Undo `take_new`: these were not stored, and may come again."""
        for generation in (self._current, self._previous):
            ids = generation.get(source_id)
            if ids:
                before = len(ids)
                ids.difference_update([event.message_id for event in events])
                if generation is self._current:
                    self._count -= before - len(ids)

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
