"""Jobs: when they run, how often, and what is known of them afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.components.job import JobSpec
from gateway.components.project import ProjectConfig
from gateway.components.scope import Scope
from gateway.errors import ConfigError, GatewayError, PluginError
from gateway.runtime.job_plan import planned_jobs
from gateway.runtime.jobs import MOST_DETAIL_CHARACTERS, Jobs
from gateway.state import State
from gateway.testing import START_MS, ManualClock

DAY = 86_400.0


class Harness:
    """The jobs of a gateway that is started and stopped, with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(START_MS)  # 14:00 UTC
        self.path = folder / "state.sqlite"
        self.ran: list[int] = []
        self.work: Callable[[], Awaitable[str | None]] | None = None
        self.schedule: str | None = "daily 15:00"
        self.zone = "UTC"
        self.timeout_seconds = 60.0

    async def run(self, _: Scope) -> str | None:
        self.ran.append(self.clock.now_ms)
        return await self.work() if self.work is not None else "done"

    async def start(self) -> Jobs:
        self.state = State(self.path)
        await self.state.start()
        self.jobs = Jobs(self.state, self.clock, structlog.get_logger(), runs=True)
        self.adopt()
        await self.jobs.start()
        await self.jobs.tick()
        return self.jobs

    def adopt(self) -> None:
        scope = Scope(
            file=self.path,
            base_dir=self.path.parent,
            data_dir=self.path.parent,
            project=ProjectConfig(time_zone=self.zone),
            tables={},
            figures={},
            configs=lambda _: {},
            log=structlog.get_logger(),
            clock=self.clock,
        )
        spec = JobSpec("count", lambda _: self.schedule, self.run, self.timeout_seconds)
        self.jobs.adopt(planned_jobs({"count": spec}, scope))

    async def stop(self) -> None:
        await self.jobs.stop()
        await self.state.stop()

    async def pass_time(self, seconds: float) -> None:
        """Moves the clock, and lets jobs that are due run to their end."""
        self.clock.advance(seconds)
        await self.jobs.tick()
        await self.settle()

    async def begun(self, number: int) -> None:
        """Waits until so many runs have begun."""
        async with asyncio.timeout(10):
            while len(self.ran) < number:
                await asyncio.sleep(0.001)

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            while any(one.running for one in self.jobs.status()):
                await asyncio.sleep(0.001)


@pytest.fixture(name="harness")
def _harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


async def hang() -> str | None:
    await asyncio.Event().wait()
    return None


async def test_a_job_runs_at_its_time_and_is_shown(harness: Harness) -> None:
    """A new job waits for its time, runs once then, and its result and next time are shown."""
    jobs = await harness.start()
    (before,) = jobs.status()
    assert (before.outcome, before.next_at) == ("", "2026-11-23T15:00:00.000Z")
    await harness.pass_time(3599)
    assert harness.ran == []
    await harness.pass_time(1)
    await harness.pass_time(1)
    assert harness.ran == [START_MS + 3_600_000]
    (after,) = jobs.status()
    assert (after.outcome, after.detail) == ("ok", "done")
    assert after.next_at == "2026-11-24T15:00:00.000Z"
    assert jobs.results == {("count", "ok"): 1}
    await harness.stop()


async def test_missed_runs_are_made_up_once(harness: Harness) -> None:
    """After days without a gateway a daily job runs once, and then at its time again."""
    await harness.start()
    await harness.stop()
    harness.clock.advance(3 * DAY)
    await harness.start()
    await harness.settle()
    await harness.pass_time(3000)
    assert len(harness.ran) == 1
    await harness.pass_time(700)
    assert len(harness.ran) == 2
    await harness.stop()


async def test_an_interrupted_run_is_made_up_once(harness: Harness) -> None:
    """A run that a stop interrupts begins again at the next start; the second time it waits."""
    harness.work = hang
    await harness.start()
    harness.clock.advance(3600)
    await harness.jobs.tick()
    await harness.begun(1)
    await harness.stop()
    jobs = await harness.start()
    await harness.begun(2)
    assert [one.failing for one in jobs.status()] == [False]
    await harness.stop()
    jobs = await harness.start()
    (found,) = jobs.status()
    assert len(harness.ran) == 2
    assert (found.outcome, found.next_at) == ("interrupted", "2026-11-24T15:00:00.000Z")
    assert found.failing
    await harness.stop()


async def test_a_job_never_runs_twice_at_a_time(harness: Harness) -> None:
    """While a run lasts, neither its next time nor a user starts another."""
    harness.work, harness.schedule = hang, "every 10s"
    jobs = await harness.start()
    harness.clock.advance(10)
    await jobs.tick()
    await harness.begun(1)
    harness.clock.advance(10)
    await jobs.tick()
    with pytest.raises(GatewayError, match="job count: is running"):
        await jobs.run("count")
    await asyncio.sleep(0.01)
    assert len(harness.ran) == 1
    await harness.stop()


async def test_a_job_can_be_run_by_hand(harness: Harness) -> None:
    """A user can run a job at any time; an unknown one is refused."""
    jobs = await harness.start()
    assert (await jobs.run("count")).running
    await harness.settle()
    assert [one.outcome for one in jobs.status()] == ["ok"]
    with pytest.raises(KeyError):
        await jobs.run("nothing")
    await harness.stop()
    with pytest.raises(GatewayError, match="starting or stopping"):
        await jobs.run("count")


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (ValueError("wrong " * 200), "ValueError: wrong"),
        (GatewayError("the lake is away"), "the lake is away"),
        (SystemExit(3), "the plugin raised SystemExit"),
        (asyncio.CancelledError(), "the plugin raised CancelledError"),
    ],
)
async def test_a_failure_is_shown_until_a_run_succeeds(
    harness: Harness, error: BaseException, detail: str
) -> None:
    """Whatever a job raises, it fails alone; its error is kept over a start, within a bound."""

    async def fail() -> str | None:
        raise error

    harness.work, harness.schedule = fail, "every 1h"
    await harness.start()
    with capture_logs() as logs:
        await harness.pass_time(3600)
    assert "a job has failed" in [line["event"] for line in logs]
    await harness.stop()
    jobs = await harness.start()
    (found,) = jobs.status()
    assert (found.outcome, found.failing) == ("failed", True)
    assert found.detail.startswith(detail)
    assert len(found.detail) <= MOST_DETAIL_CHARACTERS
    harness.work = None
    await harness.pass_time(3600)
    assert [one.outcome for one in jobs.status()] == ["ok"]
    await harness.stop()


async def test_a_job_that_takes_too_long_is_cancelled(harness: Harness) -> None:
    """At its time limit a run is cancelled, and counts as failed."""
    harness.work, harness.timeout_seconds = hang, 0.01
    jobs = await harness.start()
    await harness.pass_time(3600)
    (found,) = jobs.status()
    assert (found.outcome, found.detail) == ("failed", "not done within 0.01 s")
    await harness.stop()


async def test_a_changed_schedule_begins_anew(harness: Harness) -> None:
    """A new schedule makes up nothing, and one that is None switches the job off."""
    jobs = await harness.start()
    await harness.pass_time(3600)
    harness.schedule, harness.zone = "daily 14:00", "America/New_York"
    harness.adopt()
    await jobs.tick()
    assert [one.next_at for one in jobs.status()] == ["2026-11-23T19:00:00.000Z"]
    assert len(harness.ran) == 1
    harness.schedule = None
    harness.adopt()
    await harness.pass_time(2 * DAY)
    assert (jobs.status(), jobs.records, len(harness.ran)) == ([], {}, 1)
    await harness.stop()


async def test_a_clock_that_is_put_back_delays_nothing(harness: Harness) -> None:
    """If the clock was a year ahead at the last run, the job still runs within its interval."""
    harness.schedule = "every 1h"
    await harness.start()
    await harness.pass_time(365 * DAY)
    harness.clock.now_ms = START_MS
    await harness.pass_time(1)
    assert [one.next_at for one in harness.jobs.status()] == ["2026-11-23T15:00:01.000Z"]
    await harness.stop()


async def test_only_one_gateway_runs_jobs(harness: Harness) -> None:
    """The gateways of other shards run none and show none."""
    await harness.start()
    other = Jobs(harness.state, harness.clock, structlog.get_logger(), runs=False)
    other.adopt({"count": None})  # type: ignore[dict-item]
    await other.start()
    await other.tick()
    assert other.status() == []
    await harness.stop()


def test_wrong_schedules_are_refused() -> None:
    """A schedule in code fails when it is registered, one from config when the config is read."""

    async def run(_: Scope) -> None: ...

    with pytest.raises(PluginError, match="job 'count': 'hourly' is no schedule"):
        JobSpec("count", "hourly", run)
    spec = JobSpec("count", lambda _: "hourly", run)
    with pytest.raises(ConfigError, match="job 'count': 'hourly' is no schedule"):
        planned_jobs({"count": spec}, None)  # type: ignore[arg-type]
    broken = JobSpec("count", lambda scope: scope.tables["no"], run)
    with pytest.raises(GatewayError, match="job 'count': has no schedule"):
        planned_jobs({"count": broken}, None)  # type: ignore[arg-type]
