"""The live tail: shows events to watchers as they pass, for `gateway tail`.

Publishing costs one check whether anybody watches, and one append for each watcher. Each watcher
filters and encodes in its own task. A slow watcher misses events and learns how many; it delays
nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.events.event import Event
from gateway.state import Discard

__all__ = ["MOST_BYTES", "MOST_HELD", "Choice", "LiveTail", "Sighting", "Watcher"]

MOST_HELD = 5_000
"""Number of events held for one watcher; it misses events beyond that."""

MOST_BYTES = 4_000_000
"""Bytes of events held for one watcher, unless config says otherwise."""

_MOST_AT_ONCE = 100
"""Sightings given to a watcher at once, so that others have their turn in between."""


@dataclass(slots=True)
class Sighting:
    """One event, as it passed intake or a destination.

    Attributes:
        outcome: ``accepted``, ``duplicate``, a discard code, or an outcome of
            `gateway.state.Attempt`.
        destination: empty at intake.
        event: None for an event that was not stored: only its `message_id` is known.
        line: what readers are shown of it, once somebody has made that.
    """

    time_ms: int
    outcome: str
    source: str
    destination: str
    message_id: str
    detail: str
    event: Event | None
    line: bytes = b""


@dataclass(frozen=True, slots=True)
class Choice:
    """Selects the events that a watcher wants to see; None accepts every value.

    Attributes:
        outcome: the whole outcome, or the part before its colon (``filtered``).
        event: name of a track event, or the type of any other.
        user: userId or anonymousId.
    """

    source: str | None = None
    destination: str | None = None
    outcome: str | None = None
    event: str | None = None
    user: str | None = None

    def wants(self, sighting: Sighting) -> bool:
        """Tells whether a sighting matches."""
        seen = sighting.event
        return (
            self.source in (None, sighting.source)
            and self.destination in (None, sighting.destination)
            and self.outcome in (None, sighting.outcome, sighting.outcome.partition(":")[0])
            and (self.event is None or (seen is not None and self.event in (seen.event, seen.type)))
            and (
                self.user is None
                or (seen is not None and self.user in (seen.user_id, seen.anonymous_id))
            )
        )


class _Seen:
    """Events that passed together, as all watchers see them."""

    def __init__(
        self,
        time_ms: int,
        outcome: str,
        destination: str,
        items: Sequence[Event] | Sequence[Discard],
        detail: str,
    ) -> None:
        self.number = len(items)
        self.size = sum(item.size if isinstance(item, Event) else _DISCARD_BYTES for item in items)
        self._fields = (time_ms, outcome, destination, items, detail)
        self._sightings: list[Sighting] = []

    @property
    def sightings(self) -> list[Sighting]:
        """The events one by one, made when the first watcher needs them."""
        if not self._sightings:
            self._sightings = list(_spread(*self._fields))
        return self._sightings


class Watcher:
    """A reader of the live tail; iterate over its `sightings`.

    Args:
        max_bytes: of events that are held for it; it misses those beyond.
    """

    def __init__(self, choice: Choice, max_bytes: int) -> None:
        self._choice = choice
        self._max_bytes = max_bytes
        self._held: deque[_Seen] = deque()
        self._events = 0
        self._bytes = 0
        self._missed = 0
        self._more = asyncio.Event()

    def show(self, seen: _Seen) -> None:
        """Holds events for the watcher, if there is room."""
        full = self._events + seen.number > MOST_HELD or self._bytes + seen.size > self._max_bytes
        if full:
            self._missed += seen.number
        else:
            self._held.append(seen)
            self._events += seen.number
            self._bytes += seen.size
        self._more.set()

    def take_missed(self) -> int:
        """Returns how many events the watcher has missed since the last call."""
        missed, self._missed = self._missed, 0
        return missed

    async def sightings(self) -> AsyncIterator[list[Sighting]]:
        """Yields sightings as they come, and an empty list once a second without any.

        The empty lists let the caller check its connection and `take_missed`.
        """
        while True:
            try:
                async with asyncio.timeout(_LOOK_UP_SECONDS):
                    await self._more.wait()
            except TimeoutError:
                yield []
                continue
            self._more.clear()
            while self._held:
                seen = self._held[0]
                for start in range(0, seen.number, _MOST_AT_ONCE):
                    end = start + _MOST_AT_ONCE
                    if end >= seen.number:  # until then it takes up room
                        self._held.popleft()
                        self._events -= seen.number
                        self._bytes -= seen.size
                    some = seen.sightings[start:end]
                    yield [one for one in some if self._choice.wants(one)]
            if self._missed:
                yield []


_LOOK_UP_SECONDS = 1.0
_DISCARD_BYTES = 200


def _spread(
    time_ms: int,
    outcome: str,
    destination: str,
    items: Sequence[Event] | Sequence[Discard],
    detail: str,
) -> Iterator[Sighting]:
    for item in items:
        event = item if isinstance(item, Event) else None
        code = outcome if isinstance(item, Event) else item.code
        yield Sighting(time_ms, code, item.source_id, destination, item.message_id, detail, event)


class LiveTail:
    """Publishes events to all watchers. It is false while nobody watches."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def __len__(self) -> int:
        return len(self._watchers)

    def publish(
        self,
        time_ms: int,
        outcome: str,
        items: Sequence[Event] | Sequence[Discard],
        *,
        destination: str = "",
        detail: str = "",
    ) -> None:
        """Shows events to all watchers. The caller must not change them afterwards."""
        if items and self._watchers:
            seen = _Seen(time_ms, outcome, destination, items, detail)
            for watcher in self._watchers:
                watcher.show(seen)

    @contextmanager
    def watching(self, choice: Choice, max_bytes: int = MOST_BYTES) -> Iterator[Watcher]:
        """Gives a watcher of the events that a choice selects; for `max_bytes` see `Watcher`."""
        watcher = Watcher(choice, max_bytes)
        self._watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
