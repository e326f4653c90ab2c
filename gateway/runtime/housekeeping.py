"""What a running gateway does once a second, beside the road of an event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from gateway.components.verdict import trace_of
from gateway.config.settings import TraceConfig
from gateway.delivery.worker import Worker
from gateway.errors import StateError
from gateway.privacy.suppression import Suppressions
from gateway.queue.batching import BatchingQueue
from gateway.rollouts.controller import Rollouts
from gateway.runtime.rates import Rates
from gateway.state import State, writing
from gateway.state.ledger.source_ledger import Books

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Upkeep"]

_EVERY_SECONDS = 1.0
_HOUR_MS = 3_600_000
_TRIM_EVERY_MS = 60_000  # it looks at all dead letters of a destination

_SUPPRESSED = "suppressed users cannot be read; those known so far stay so"
_OLD = "what is about old events cannot be removed"
_LETTERS = "dead letters beyond the bound cannot be removed"


class Upkeep:
    """Lets go of what nobody needs any more, and keeps what is known up to date.

    Args:
        max_dead_letters: how many are kept, by destination.
        trace: what is kept of events that were not stored. Both are asked for each time.
    """

    def __init__(
        self,
        queue: BatchingQueue,
        state: State,
        books: Books,
        suppressed: Suppressions,
        workers: Mapping[str, Worker],
        max_dead_letters: Callable[[], Mapping[str, int]],
        trace: Callable[[], TraceConfig],
        rates: Rates,
        rollouts: Rollouts,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._queue = queue
        self._state = state
        self._books = books
        self._suppressed = suppressed
        self._workers = workers
        self._max_dead_letters = max_dead_letters
        self._trace = trace
        self._rates = rates
        self._rollouts = rollouts
        self._clock = clock
        self._log = log
        self._complained: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        trimmed_ms = self._clock()
        while True:
            self._sample()
            await asyncio.sleep(_EVERY_SECONDS)
            self._books.checkpoint()
            for work in (self._learn_suppressed, self._rollouts.tick, self._release, self._prune):
                await self._do(work)
            if self._clock() - trimmed_ms >= _TRIM_EVERY_MS:
                trimmed_ms = self._clock()
                await self._do(self.trim_dead_letters)

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a defect of one must not end all, for good
            self._complain("upkeep failed unexpectedly", trace_of(error))

    def _sample(self) -> None:
        counts = {}
        for id_, source in self._books.ledger.sources.items():
            counts[f"source {id_}"] = source.received
        for id_, worker in self._workers.items():
            counts[f"delivered {id_}"] = worker.counts.delivered
            counts[f"attempts {id_}"] = worker.sender.attempts
            counts[f"failures {id_}"] = worker.sender.failures
        self._rates.sample(asyncio.get_running_loop().time(), counts)

    async def _learn_suppressed(self) -> None:
        try:
            await asyncio.to_thread(self._suppressed.refresh)
        except StateError as error:
            self._complain(_SUPPRESSED, str(error))
        else:
            self._complained.discard(_SUPPRESSED)

    async def _release(self) -> None:
        """Let the queue remove what all destinations have finished with and retention lets go."""
        cursors = [worker.cursor for worker in self._workers.values()]
        try:
            await self._queue.release(min(cursors, default=self._queue.end), self._clock())
        except OSError as error:
            self._log.warning("queue: retention could not remove a segment", error=str(error))

    async def _prune(self) -> None:
        """Forget what is about events that are kept no longer."""
        trace = self._trace()
        since_ms = self._clock() - int(trace.retention_hours * _HOUR_MS)
        first = self._queue.store.status().first
        try:
            more = True
            while more:
                more = await self._state.prune(first, since_ms, trace.max_discards)
        except StateError as error:
            self._complain(_OLD, str(error))
        else:
            self._complained.discard(_OLD)

    async def trim_dead_letters(self) -> None:
        """Throw away the oldest dead letters beyond the bounds."""
        try:
            for destination, most in self._max_dead_letters().items():
                while gone := await self._state.call(writing.trim_dead_letters, destination, most):
                    self._log.warning(
                        "dead letters beyond retry.max_dead_letters were thrown away",
                        destination=destination,
                        events=gone,
                    )
        except StateError as error:
            self._complain(_LETTERS, str(error))
        else:
            self._complained.discard(_LETTERS)

    def _complain(self, what: str, error: str) -> None:
        """Once, until it works again."""
        if what not in self._complained:
            self._complained.add(what)
            self._log.error(what, error=error)
