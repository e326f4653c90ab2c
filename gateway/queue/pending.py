"""Events that were put into the queue and are not stored yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import QueueError
from gateway.events.event import Event

__all__ = ["PendingPut", "all_done"]


@dataclass(slots=True)
class PendingPut:
    """The events of one `put`.

    Attributes:
        data: the same events as a JSON array.
        sources: number of events of each source.
        done: the future that the caller of `put` waits for.
        settled: resolves like `done`, but survives cancellation of the caller.
    """

    events: Sequence[Event]
    data: bytes
    sources: Mapping[str, int]
    done: asyncio.Future[None]
    settled: asyncio.Future[None] | None = None

    def outcome(self) -> asyncio.Future[None]:
        """Returns `settled`, which is created when it is first asked for."""
        if self.settled is None:
            self.settled = asyncio.get_running_loop().create_future()
        return self.settled

    def finish(self, error: QueueError | None = None) -> None:
        """Resolves both futures."""
        for future in (self.done, self.settled):
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def all_done(outstanding: Iterable[asyncio.Future[None]]) -> asyncio.Future[None]:
    """Returns a future that is done once all are, with the first error among them."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = set(outstanding)

    def one_done(one: asyncio.Future[None]) -> None:
        waiting.discard(one)
        if done.done():
            return
        error = one.exception()
        if error is not None:
            done.set_exception(error)
            done.exception()  # marks the error as seen, even if nobody awaits the future
        elif not waiting:
            done.set_result(None)

    if not waiting:
        done.set_result(None)
    for one in tuple(waiting):
        one.add_done_callback(one_done)
    return done
