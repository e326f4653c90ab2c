"""A destination that records events, for tests of the parts before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from gateway.components.destination import Batch, Destination
from gateway.errors import BatchError
from gateway.events.event import Event

__all__ = ["RecordingDestination"]


class RecordingDestination(Destination):
    """Records the batches that it is sent.

    Args:
        script: errors to raise, one for each call of `send`; ``None`` delivers. After its end all
            batches are delivered.

    Attributes:
        batches: of every call.
        delivered: events that it reported as delivered, in order.
        starts, stops: number of calls of `start` and `stop`.
    """

    def __init__(self, script: Sequence[BaseException | None] = ()) -> None:
        self._script = deque(script)
        self.batches: list[Batch] = []
        self.delivered: list[Event] = []
        self.starts = 0
        self.stops = 0

    async def start(self) -> None:
        """Counts the call."""
        self.starts += 1

    async def stop(self) -> None:
        """Counts the call."""
        self.stops += 1

    async def send(self, batch: Batch) -> None:
        """Records the batch, then follows the script."""
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
