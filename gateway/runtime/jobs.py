"""Runs the jobs of packages: one gateway runs each of them, and never twice at a time.

With several workers, the gateway of shard 0 runs all jobs. Its state store has the last run of each
job, so that a restart neither repeats nor forgets one. Jobs that came due while nobody ran them,
and a run that was interrupted, are made up once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from gateway.components.isolation import call
from gateway.components.verdict import trace_of
from gateway.errors import GatewayError, StateError
from gateway.events.timestamps import format_ms
from gateway.runtime.job_plan import Planned
from gateway.state import State
from gateway.state.jobs import JobRecord, Outcome, delete_job, jobs, put_job

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["MOST_DETAIL_CHARACTERS", "JobStatus", "Jobs"]

MOST_DETAIL_CHARACTERS = 500
"""Bound on what is stored of a run's result or error."""


class JobStatus(Struct, frozen=True):
    """A job, its last run and its next one. Times are ISO 8601 in UTC, empty for never.

    Attributes:
        outcome: of the last run that has ended: ``ok``, ``failed``, ``interrupted``, or empty.
        detail: result or error of that run.
        seconds: duration of the last run, up to now if it still runs.
    """

    name: str
    schedule: str
    running: bool
    started_at: str
    finished_at: str
    seconds: float
    outcome: Outcome
    detail: str
    next_at: str

    @property
    def failing(self) -> bool:
        """True if the last run failed, or was interrupted and is not being made up."""
        return self.outcome == "failed" or (self.outcome == "interrupted" and not self.running)


class Jobs:
    """The jobs of a gateway.

    Attributes:
        results: number of runs since the start, by job and outcome.
        records: the last run of each job, by name.

    Args:
        clock: wall clock in milliseconds.
        runs: whether this gateway runs jobs.
    """

    def __init__(
        self, state: State, clock: Callable[[], int], log: FilteringBoundLogger, *, runs: bool
    ) -> None:
        self.results: Counter[tuple[str, Outcome]] = Counter()
        self.records: dict[str, JobRecord] = {}
        self._state = state
        self._clock = clock
        self._log = log
        self._runs = runs
        self._plan: Mapping[str, Planned] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._open = False
        self._failing = False

    def adopt(self, plan: Mapping[str, Planned]) -> None:
        """Runs jobs by another plan from now on."""
        if self._runs:
            self._plan = plan

    async def start(self) -> None:
        """Reads the last runs. One without an end was interrupted.

        Raises:
            StateError: the state store cannot be used.
        """
        if not self._runs:
            return
        for record in await self._state.call(jobs):
            self.records[record.name] = record
            if record.started_ms and not record.finished_ms:
                await self._put(
                    structs.replace(
                        record,
                        finished_ms=record.started_ms,
                        outcome="interrupted",
                        interruptions=record.interruptions + 1,
                    )
                )
        self._open = True

    async def stop(self) -> None:
        """Cancels the runs; the next start makes them up. Safe twice and without `start`."""
        self._open = False
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def tick(self) -> None:
        """Starts the jobs that are due."""
        if not self._open:
            return
        try:
            await self._keep_records()
            now_ms = self._clock()
            for name, planned in self._plan.items():
                due = planned.due_ms(self.records[name], now_ms) <= now_ms
                if due and name not in self._running:
                    await self._begin(planned)
        except StateError as error:
            if not self._failing:
                self._log.error("jobs cannot be started", error=str(error))
            self._failing = True
        else:
            self._failing = False

    async def run(self, name: str) -> JobStatus:
        """Starts a job now.

        Raises:
            KeyError: there is no such job, or it is switched off.
            GatewayError: it runs already, or the gateway is stopping.
        """
        planned = self._plan[name]
        if not self._open:
            raise GatewayError("the gateway is starting or stopping: try again")
        if name in self._running:
            raise GatewayError(f"job {name}: is running")
        await self._keep_records()
        await self._begin(planned)
        return self._status(name, planned)

    def status(self) -> list[JobStatus]:
        """Returns the state of each job, in the order of their names."""
        return [self._status(name, planned) for name, planned in sorted(self._plan.items())]

    def _status(self, name: str, planned: Planned) -> JobStatus:
        now_ms = self._clock()
        record = self.records.get(name) or JobRecord(name, planned.text, now_ms)
        running = name in self._running
        took_ms = (now_ms if running else record.finished_ms) - record.started_ms
        return JobStatus(
            name=name,
            schedule=planned.text,
            running=running,
            started_at=_shown(record.started_ms),
            finished_at=_shown(record.finished_ms),
            seconds=round(max(took_ms, 0) / 1000, 3) if running or record.finished_ms else 0.0,
            outcome=record.outcome,
            detail=record.detail,
            next_at=_shown(planned.due_ms(record, now_ms)),
        )

    async def _keep_records(self) -> None:
        """Begins records of new jobs, and of those with a new schedule; ends those of others."""
        for name in self.records.keys() - self._plan.keys() - self._running.keys():
            await self._state.call(delete_job, name)
            del self.records[name]
        for name, planned in self._plan.items():
            record = self.records.get(name)
            if record is None:
                await self._put(JobRecord(name, planned.text, self._clock()))
            elif record.schedule != planned.text:
                await self._put(
                    structs.replace(record, schedule=planned.text, since_ms=self._clock())
                )

    async def _put(self, record: JobRecord) -> None:
        await self._state.call(put_job, record)
        self.records[record.name] = record

    async def _begin(self, planned: Planned) -> None:
        """Records the start of a run, before it begins."""
        name = planned.spec.name
        record = self.records[name]
        await self._put(structs.replace(record, started_ms=self._clock(), finished_ms=0))
        task = asyncio.create_task(self._run(planned), name=f"job {name}")
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))

    async def _run(self, planned: Planned) -> None:
        spec = planned.spec
        log = self._log.bind(job=spec.name)
        outcome: Outcome = "failed"
        try:
            detail = await call(
                partial(spec.run, planned.scope),
                spec.timeout_seconds,
                stuck=lambda: log.error("a job ignores that its time is over; it is not run anew"),
            )
            outcome, detail = "ok", detail or ""
        except TimeoutError:
            detail = f"not done within {spec.timeout_seconds:g} s"
        except GatewayError as error:
            detail = str(error)
        except Exception as error:  # noqa: BLE001 - a job may fail in any way it likes
            detail = f"{type(error).__name__}: {error}"
            log.error("a job failed unexpectedly", trace=trace_of(error))
        await self._finish(spec.name, outcome, str(detail)[:MOST_DETAIL_CHARACTERS], log)

    async def _finish(
        self, name: str, outcome: Outcome, detail: str, log: FilteringBoundLogger
    ) -> None:
        record, now_ms = self.records[name], self._clock()
        self.results[name, outcome] += 1
        record = self.records[name] = structs.replace(
            record,
            finished_ms=now_ms,
            succeeded_ms=now_ms if outcome == "ok" else record.succeeded_ms,
            outcome=outcome,
            detail=detail,
            interruptions=0,
        )
        seconds = round((now_ms - record.started_ms) / 1000, 3)
        if outcome == "ok":
            log.info("a job has run", seconds=seconds, result=detail)
        else:
            log.error("a job has failed", seconds=seconds, error=detail)
        try:
            await self._put(record)
        except StateError as error:  # the next start takes the run for an interrupted one
            log.error("the end of a job cannot be recorded", error=str(error))


def _shown(ms: int) -> str:
    return format_ms(ms) if ms else ""
