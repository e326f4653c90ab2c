"""Commits batches in the order of the queue, in whatever order their sends end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from gateway.delivery.context import WorkerContext
from gateway.delivery.in_flight import InFlight
from gateway.delivery.recorder import Recorder
from gateway.delivery.retry_lane import RetryLane
from gateway.state import Commit

__all__ = ["CommitOrder"]

_UNCOMMITTED_PER_SEND = 4


class CommitOrder:
    """The batches of a worker that were read and are not committed yet.

    Attributes:
        cursor: offset of the first event that is not committed.
    """

    def __init__(self, context: WorkerContext, recorder: Recorder, lane: RetryLane) -> None:
        self.cursor = context.batcher.position
        self._destination = context.id
        self._sender = context.sender
        self._recorder = recorder
        self._lane = lane
        self._in_flight: deque[InFlight] = deque()
        self._committing = asyncio.Lock()

    def __iter__(self) -> Iterator[InFlight]:
        return iter(self._in_flight)

    @property
    def has_room(self) -> bool:
        """True if another batch may be read.

        At most one batch more than can be sent now is read ahead, and the number of finished
        batches that wait for an unfinished one is bounded.
        """
        under_way = sum(not in_flight.done for in_flight in self._in_flight)
        most = _UNCOMMITTED_PER_SEND * self._sender.max_concurrency
        return under_way <= self._sender.concurrency and len(self._in_flight) < most

    @property
    def busy(self) -> bool:
        """True while finished batches are being committed, or are about to be."""
        return self._recorder.busy or bool(self._in_flight and self._in_flight[0].done)

    @property
    def entering_lane(self) -> int:
        """Number of events that enter the retry lane with the next commits."""
        return sum(len(in_flight.waiting) for in_flight in self._in_flight)

    def add(self, in_flight: InFlight) -> None:
        """Adds a batch that was just read."""
        self._in_flight.append(in_flight)

    def clear(self) -> None:
        """Forgets all batches; they are read again."""
        self._in_flight.clear()

    async def commit_finished(self) -> None:
        """Commits the finished batches that no unfinished one precedes."""
        async with self._committing:
            ready = []
            while self._in_flight and self._in_flight[0].done:
                ready.append(self._in_flight.popleft())
            if ready and not await self._record(_commit_of(self._destination, ready)):
                self._in_flight.extendleft(reversed(ready))
        self._sender.notify()

    async def commit_replayed(self, in_flight: InFlight) -> bool:
        """Commits a batch of a replay; returns False if the worker drains and gives up."""
        return await self._record(_commit_of(self._destination, [in_flight]))

    async def _record(self, commit: Commit) -> bool:
        written = await self._recorder.record(commit)
        if written is None:
            return False
        if commit.cursor is not None:
            self.cursor = commit.cursor
        self._lane.added(commit.waiting, written.overlapping)
        return True


def _commit_of(destination: str, batches: Sequence[InFlight]) -> Commit:
    """Returns one commit for finished batches in a row, or for one batch of a replay."""
    filtered: dict[str, int] = {}
    for in_flight in batches:
        for rule, offsets in in_flight.outgoing.filtered.items():
            filtered[rule] = filtered.get(rule, 0) + len(offsets)
    last = batches[-1]
    outgoing = [in_flight.outgoing for in_flight in batches]
    replayed = 0
    if last.replay is not None:
        replayed = len(last.outgoing.offsets) + sum(filtered.values()) + len(last.outgoing.dead)
    return Commit(
        destination,
        last.outgoing.cursor if last.replay is None else None,
        sum(in_flight.delivered for in_flight in batches),
        filtered,
        [letter for one in batches for letter in (*one.outgoing.dead, *one.dead)],
        sum(out.lost for out in outgoing) if last.replay is None else 0,
        [entry for in_flight in batches for entry in in_flight.waiting],
        replayed=replayed,
        replay=last.replay,
        attempts=[attempt for in_flight in batches for attempt in in_flight.history],
    )
