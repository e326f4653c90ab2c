"""Housekeeping, once a second: samples rates, deletes old data, starts the jobs that are due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.components.verdict import trace_of
from gateway.config.settings import TraceConfig
from gateway.delivery.worker import Worker
from gateway.errors import StateError
from gateway.privacy.suppression import Suppressions
from gateway.queue.batching import BatchingQueue
from gateway.rollouts.controller import Rollouts
from gateway.runtime.jobs import Jobs
from gateway.runtime.rates import Rates
from gateway.state import State, writing
from gateway.state.ledger.source_ledger import SourceLedger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Housekeeping", "HousekeepingContext"]

_EVERY_SECONDS = 1.0
_HOUR_MS = 3_600_000
_TRIM_EVERY_MS = 60_000  # trimming reads all dead letters of a destination

_SUPPRESSED = "suppressed users cannot be read; the known ones stay suppressed"
_OLD = "records of old events cannot be deleted"
_LETTERS = "dead letters beyond the bound cannot be deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class HousekeepingContext:
    """The parts of a gateway that housekeeping looks after.

    Attributes:
        workers: of the destinations, by id.
        max_dead_letters: returns the bound on dead letters of each destination.
        trace: returns how long traces are kept.
        clock: the clock for durations, in milliseconds.
    """

    queue: BatchingQueue
    state: State
    source_ledger: SourceLedger
    suppressed: Suppressions
    workers: Mapping[str, Worker]
    rates: Rates
    rollouts: Rollouts
    jobs: Jobs
    max_dead_letters: Callable[[], Mapping[str, int]]
    trace: Callable[[], TraceConfig]
    clock: Callable[[], int]
    log: FilteringBoundLogger


class Housekeeping:
    """Does the regular work of a gateway."""

    def __init__(self, context: HousekeepingContext) -> None:
        self._context = context
        self._clock = context.clock
        self._log = context.log
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Works until cancelled."""
        context = self._context
        jobs = (
            self._refresh_suppressed,
            context.rollouts.tick,
            context.jobs.tick,
            self._release,
            self._prune,
        )
        trimmed_ms = self._clock()
        while True:
            self._sample()
            await asyncio.sleep(_EVERY_SECONDS)
            context.source_ledger.checkpoint()
            for job in jobs:
                await self._do(job)
            if self._clock() - trimmed_ms >= _TRIM_EVERY_MS:
                trimmed_ms = self._clock()
                await self._do(self.trim_dead_letters)

    async def _do(self, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - a defect in one job must not end the others
            self._log_once("housekeeping failed unexpectedly", trace_of(error))

    def _sample(self) -> None:
        context = self._context
        counts = {}
        for id_, source in context.source_ledger.ledger.sources.items():
            counts[f"source {id_}"] = source.received
        for id_, worker in context.workers.items():
            counts[f"delivered {id_}"] = worker.counts.delivered
            counts[f"attempts {id_}"] = worker.sender.attempts
            counts[f"failures {id_}"] = worker.sender.failures
        context.rates.sample(asyncio.get_running_loop().time(), counts)

    async def _refresh_suppressed(self) -> None:
        try:
            await asyncio.to_thread(self._context.suppressed.refresh)
        except StateError as error:
            self._log_once(_SUPPRESSED, str(error))
        else:
            self._failing.discard(_SUPPRESSED)

    async def _release(self) -> None:
        """Lets the queue remove segments that every destination and retention have released."""
        queue = self._context.queue
        cursors = [worker.cursor for worker in self._context.workers.values()]
        try:
            await queue.release(min(cursors, default=queue.end), self._clock())
        except OSError as error:
            self._log.warning("queue: retention could not remove a segment", error=str(error))

    async def _prune(self) -> None:
        """Deletes the records of events that are no longer kept."""
        trace = self._context.trace()
        since_ms = self._clock() - int(trace.retention_hours * _HOUR_MS)
        first = self._context.queue.store.status().first
        try:
            while await self._context.state.prune(first, since_ms, trace.max_discards):
                pass
        except StateError as error:
            self._log_once(_OLD, str(error))
        else:
            self._failing.discard(_OLD)

    async def trim_dead_letters(self) -> None:
        """Deletes the oldest dead letters beyond the bounds."""
        state = self._context.state
        try:
            for destination, most in self._context.max_dead_letters().items():
                while gone := await state.call(writing.trim_dead_letters, destination, most):
                    self._log.warning(
                        "dead letters beyond retry.max_dead_letters were deleted",
                        destination=destination,
                        events=gone,
                    )
        except StateError as error:
            self._log_once(_LETTERS, str(error))
        else:
            self._failing.discard(_LETTERS)

    def _log_once(self, what: str, error: str) -> None:
        """Logs an error, once until the job works again."""
        if what not in self._failing:
            self._failing.add(what)
            self._log.error(what, error=error)
