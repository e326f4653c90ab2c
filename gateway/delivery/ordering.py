"""Keeps the events of one user in their order, for a destination with ``ordering = "user"``.

Every event that has no outcome yet stands in a line for its userId and in one for its anonymousId,
sorted by offset. It may go when nothing stands before it in either. So an event that waits for
another try holds up those of its user, wherever they are, and nobody else's; and a visitor who is
identified stays in order across the two ids.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from itertools import islice

__all__ = ["UserOrder"]


class UserOrder:
    """The lines of all users who have events under way.

    Args:
        atomic: whether several events of a user may go in one batch: true for a destination that
            takes a batch whole and in order, or not at all.
    """

    def __init__(self, *, atomic: bool) -> None:
        self._atomic = atomic
        self._lines: dict[str, list[int]] = {}
        self._keys: dict[int, tuple[str, ...]] = {}
        self._aside: set[int] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def enter(self, offset: int, user_id: str | None, anonymous_id: str | None) -> None:
        """An event is under way; it takes its place by its offset. Twice is once."""
        if offset in self._keys:
            return
        keys = tuple(f"{kind}{id_}" for kind, id_ in (("u", user_id), ("a", anonymous_id)) if id_)
        self._keys[offset] = keys
        for key in keys:
            insort(self._lines.setdefault(key, []), offset)

    def leave(self, offsets: Iterable[int]) -> None:
        """Events have their outcome: who stood behind them may go."""
        for offset in offsets:
            self._aside.discard(offset)
            for key in self._keys.pop(offset, ()):
                line = self._lines[key]
                line.remove(offset)
                if not line:
                    del self._lines[key]

    def set_aside(self, offsets: Iterable[int]) -> None:
        """Events wait in the retry lane, which may take long; they keep their places."""
        self._aside.update(offsets)

    def held_up(self, offset: int) -> bool:
        """Whether an event stands behind one that waits in the retry lane."""
        return any(
            not self._aside.isdisjoint(islice(line, place)) for line, place in self._places(offset)
        )

    def behind(self, offset: int) -> int:
        """How many events stand before it."""
        return max((place for _, place in self._places(offset)), default=0)

    def choose(self, offsets: Iterable[int], most: int) -> list[int]:
        """Of these, in their order, those that may go together now."""
        chosen: list[int] = []
        going: set[int] = set()
        for offset in offsets:
            if len(chosen) == most:
                break
            # Those before the one just before are gone, or on their way with it.
            nearest = [line[place - 1] for line, place in self._places(offset) if place]
            if not nearest or (self._atomic and going.issuperset(nearest)):
                chosen.append(offset)
                going.add(offset)
        return chosen

    def clear(self) -> None:
        """Forget everything."""
        self._lines.clear()
        self._keys.clear()
        self._aside.clear()

    def _places(self, offset: int) -> list[tuple[list[int], int]]:
        """The lines that an event stands in, and how many stand before it there."""
        lines = [self._lines[key] for key in self._keys.get(offset, ())]
        return [(line, bisect_left(line, offset)) for line in lines]
