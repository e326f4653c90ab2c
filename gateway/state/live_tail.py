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

__all__ = ["MOST_HELD", "Choice", "LiveTail", "Sighting", "Watcher"]

MOST_HELD = 5_000
"""Number of events held for one watcher; it misses events beyond that."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One event, as it passed intake or a destination.

    Attributes:
        outcome: ``accepted``, ``duplicate``, a discard code, or an outcome of
            `gateway.state.Attempt`.
        destination: empty at intake.
        event: None for an event that was not stored: only its `message_id` is known.
    """

    time_ms: int
    outcome: str
    source: str
    destination: str
    message_id: str
    detail: str
    event: Event | None


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


@dataclass(frozen=True, slots=True)
class _Seen:
    time_ms: int
    outcome: str
    destination: str
    items: Sequence[Event] | Sequence[Discard]
    detail: str


class Watcher:
    """A reader of the live tail; iterate over its `sightings`."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._held: deque[_Seen] = deque()
        self._events = 0
        self._missed = 0
        self._more = asyncio.Event()

    def show(self, seen: _Seen) -> None:
        """Holds events for the watcher, if there is room."""
        if self._events + len(seen.items) > MOST_HELD:
            self._missed += len(seen.items)
        else:
            self._held.append(seen)
            self._events += len(seen.items)
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
                seen = self._held.popleft()
                self._events -= len(seen.items)
                yield [one for one in _spread(seen) if self._choice.wants(one)]
            if self._missed:
                yield []


_LOOK_UP_SECONDS = 1.0


def _spread(seen: _Seen) -> Iterator[Sighting]:
    for item in seen.items:
        if isinstance(item, Event):
            source, event = item.source_id, item
            outcome = seen.outcome
        else:
            source, event, outcome = item.source_id, None, item.code
        yield Sighting(
            seen.time_ms,
            outcome,
            source,
            seen.destination,
            item.message_id,
            seen.detail,
            event,
        )


class LiveTail:
    """Publishes events to all watchers. It is false while nobody watches."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def __bool__(self) -> bool:
        return bool(self._watchers)

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
    def watching(self, choice: Choice) -> Iterator[Watcher]:
        """Gives a watcher of the events that a choice selects."""
        watcher = Watcher(choice)
        self._watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
