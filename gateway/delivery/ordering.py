"""Keeps the events of each user in order, for a destination with ``ordering = "user"``.

Every event without an outcome stands in a line for its userId and in a line for its anonymousId,
sorted by offset. It may be sent when no event stands before it in either line. So an event that
waits for another attempt holds up the later events of its user, wherever they are, and no other
user's. A visitor who is identified stays in order across both ids.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from itertools import islice

__all__ = ["UserOrder"]


class UserOrder:
    """The lines of all users who have events without an outcome.

    Args:
        atomic: whether several events of a user may go into one batch; true for a destination that
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
        """Puts an event into its lines, at the place of its offset. Safe twice."""
        if offset in self._keys:
            return
        keys = tuple(f"{kind}{id_}" for kind, id_ in (("u", user_id), ("a", anonymous_id)) if id_)
        self._keys[offset] = keys
        for key in keys:
            insort(self._lines.setdefault(key, []), offset)

    def leave(self, offsets: Iterable[int]) -> None:
        """Takes events that have their outcome out of their lines."""
        for offset in offsets:
            self._aside.discard(offset)
            for key in self._keys.pop(offset, ()):
                line = self._lines[key]
                line.remove(offset)
                if not line:
                    del self._lines[key]

    def set_aside(self, offsets: Iterable[int]) -> None:
        """Marks events that wait in the retry lane, which may take long. They keep their places."""
        self._aside.update(offsets)

    def held_up(self, offset: int) -> bool:
        """Returns True if an event stands behind one that waits in the retry lane."""
        return any(
            not self._aside.isdisjoint(islice(line, place)) for line, place in self._places(offset)
        )

    def behind(self, offset: int) -> int:
        """Counts the events that stand before an event."""
        return max((place for _, place in self._places(offset)), default=0)

    def choose(self, offsets: Iterable[int], most: int) -> list[int]:
        """Returns those of the given events that may be sent together now, in the given order.

        Args:
            most: most events to return.
        """
        chosen: list[int] = []
        going: set[int] = set()
        for offset in offsets:
            if len(chosen) == most:
                break
            # If the nearest one before goes with it, all before that one are gone or go too.
            nearest = [line[place - 1] for line, place in self._places(offset) if place]
            if not nearest or (self._atomic and going.issuperset(nearest)):
                chosen.append(offset)
                going.add(offset)
        return chosen

    def clear(self) -> None:
        """Removes all events."""
        self._lines.clear()
        self._keys.clear()
        self._aside.clear()

    def _places(self, offset: int) -> list[tuple[list[int], int]]:
        """Returns the lines that an event stands in, each with its place there."""
        lines = [self._lines[key] for key in self._keys.get(offset, ())]
        return [(line, bisect_left(line, offset)) for line in lines]
