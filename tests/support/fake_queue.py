"""A queue that stores events in a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.errors import QueueError
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event

__all__ = ["FakeQueue"]


class FakeQueue:
    """Stores events at once, as they would be read back from a store.

    Attributes:
        stored: all events, in order.
        error: raised by `put` in place of storing.
        when_stored: called with the counts by source and the next offset.
    """

    max_pending_bytes = 64_000_000

    def __init__(self) -> None:
        self.stored: list[Event] = []
        self.error: QueueError | None = None
        self.when_stored: Callable[[Mapping[str, int], int], None] | None = None

    def put(
        self, events: Sequence[Event], data: bytes, sources: Mapping[str, int]
    ) -> Awaitable[None]:
        """Stores events in their encoded form."""
        if self.error is not None:
            raise self.error
        assert len(stored_events(data)) == len(events) == sum(sources.values())
        self.stored += stored_events(data)
        if self.when_stored is not None:
            self.when_stored(sources, len(self.stored))
        return self.settle()

    def settle(self) -> Awaitable[None]:
        """Returns a future that is done, as no write is ever under way."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
