"""A destination that takes part in tests of what stands before one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from gateway.components.destination import Batch, Destination
from gateway.errors import BatchError
from gateway.events.event import Event

__all__ = ["RecordingDestination"]


class RecordingDestination(Destination):
    """Remembers what it was given.

    Args:
        script: what to raise, one entry for each call of `send`; ``None`` delivers. After its end
            everything is delivered.

    Attributes:
        batches: of every call, whatever became of it.
        delivered: events that it said were delivered, in order.
        starts, stops: how often `start` and `stop` were called.
    """

    def __init__(self, script: Sequence[BaseException | None] = ()) -> None:
        self._script = deque(script)
        self.batches: list[Batch] = []
        self.delivered: list[Event] = []
        self.starts = 0
        self.stops = 0

    async def start(self) -> None:
        """Count."""
        self.starts += 1

    async def stop(self) -> None:
        """Count."""
        self.stops += 1

    async def send(self, batch: Batch) -> None:
        """Record the batch, then do what the script says."""
        self.batches.append(batch)
        error = self._script.popleft() if self._script else None
        failed: Iterable[int] = ()
        if isinstance(error, BatchError):
            failed = error.failed
        elif error is not None:
            raise error
        self.delivered += [event for i, event in enumerate(batch) if i not in failed]
        if error is not None:
            raise error
