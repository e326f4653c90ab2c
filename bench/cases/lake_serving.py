"""A gateway that also writes a lake: what that costs, and what answers wait for.

Both gateways get the same requests at the same moments, a fixed number a second, whether or not
they have answered others. The time of an event is processor time of the whole process, from the
first request until the lake has everything, so the floor shows what intake costs alone.

In the third variant queries run without a pause, one after another. Their process has the
gateway's own processor, as on a machine that has no other to spare.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
import uvloop

from bench.cases.memory import grows, rss_mb
from bench.data import BATCH_EVENTS, batches
from bench.harness import Benchmark, Measurement, Scale, Variant
from bench.openload import OpenLoad, offer, schedule
from bench.report.goals import Goal
from bench.report.stats import percentile
from bench.subject import Subject, cpu_seconds, only_successes, serving

__all__ = ["BENCHMARKS"]

_ALONE, _WITH, _ASKED = "no lake", "lake", "lake and queries"
_LEAST_SHARE = 0.87  # at most 15 % more for an event

_REQUESTS_PER_SECOND = 40.0
_SECONDS = 5
"""Multiple of `Scale.seconds`."""

_CONNECTIONS = 32
_POLL_SECONDS = 0.25
_DRAIN_SECONDS = 120.0
_TOKEN = "a token of this benchmark"
_LAKE = f"""
[destinations.lake]
type = "lake"
path = "lake"

[admin]
token = "{_TOKEN}"
"""
_QUERY = "SELECT sum(hash(message_id || range)) % 7 FROM events, range(200)"


def _variant(*, lake: bool, queries: bool = False) -> Variant:
    async def drive(scale: Scale) -> Measurement:
        templates = batches(scale.seed, scale.templates)
        due = schedule(_REQUESTS_PER_SECOND, _SECONDS * scale.seconds, scale.seed)
        async with serving(more=_LAKE if lake else "") as subject:
            pid = subject.process.pid
            await offer(subject.port, batches(scale.seed + 1, 10), _CONNECTIONS, due[:10])
            await _drained(subject, lake=lake)
            used, in_loop = cpu_seconds(pid), cpu_seconds(pid, loop=True)
            seen = _Seen()
            asking = _ask(subject, seen) if queries else _nothing()
            async with _beside(_watch(subject, seen, lake=lake)), _beside(asking):
                load = await offer(subject.port, templates, _CONNECTIONS, due)
            only_successes(load)
            await _drained(subject, lake=lake)
            used, in_loop = cpu_seconds(pid) - used, cpu_seconds(pid, loop=True) - in_loop
        return Measurement(load.events, used, _notes(load, in_loop, seen), seen.waiting)

    return lambda scale: uvloop.run(drive(scale))


@dataclass(slots=True)
class _Seen:
    """What was seen while the load ran: pairs of seconds and value."""

    megabytes: list[tuple[float, float]] = field(default_factory=list)
    waiting: list[tuple[float, float]] = field(default_factory=list)
    queries: int = 0


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task  # raises what has ended it early


async def _watch(subject: Subject, seen: _Seen, *, lake: bool) -> None:
    began = time.perf_counter()
    while True:
        seconds = time.perf_counter() - began
        seen.megabytes.append((seconds, rss_mb(subject.process.pid)))
        seen.waiting.append((seconds, await _waiting(subject, lake=lake)))
        await asyncio.sleep(_POLL_SECONDS)


async def _ask(subject: Subject, seen: _Seen) -> None:
    url = f"http://127.0.0.1:{subject.port}/admin/sql"
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.post(url, json={"sql": _QUERY}) as response:
                if response.status != HTTPStatus.OK:
                    raise RuntimeError(f"a query was answered {response.status}")
                await response.read()
            seen.queries += 1


async def _nothing() -> None:
    await asyncio.Event().wait()


async def _waiting(subject: Subject, *, lake: bool) -> float:
    """Returns how many accepted events the slowest destination has not got yet."""
    counts = await subject.client.counts()
    if counts is None:
        raise RuntimeError("the gateway does not say what it has counted")
    names = ("null1", "lake") if lake else ("null1",)
    return max(counts["headgate_destination_pending_events", name] for name in names)


async def _drained(subject: Subject, *, lake: bool) -> None:
    async with asyncio.timeout(_DRAIN_SECONDS):
        while await _waiting(subject, lake=lake):  # noqa: ASYNC110 - commits are not announced
            await asyncio.sleep(_POLL_SECONDS)


def _notes(load: OpenLoad, in_loop: float, seen: _Seen) -> dict[str, float]:
    rate = load.events / load.seconds
    return {
        "loop cpu µs": in_loop / load.events * 1e6,
        "p50 ms": percentile(load.latencies, 0.5) * 1000,
        "p99 ms": percentile(load.latencies, 0.99) * 1000,
        "RSS MB": max(megabytes for _, megabytes in seen.megabytes),
        "lag s": max(events for _, events in seen.waiting) / rate,
        # Seconds of lag that a minute adds; a destination that keeps up adds none.
        "lag s/min": grows(seen.waiting) / rate,
        "queries": seen.queries,
    }


BENCHMARKS = (
    Benchmark(
        "lake-serving",
        f"{_REQUESTS_PER_SECOND * BATCH_EVENTS:,.0f} events a second with and without a lake, in "
        "processor time of the gateway",
        {
            _ALONE: _variant(lake=False),
            _WITH: _variant(lake=True),
            _ASKED: _variant(lake=True, queries=True),
        },
        floors=(_ALONE,),
        goals=(
            Goal("intake with a lake, processor time", _WITH, _ALONE, least=_LEAST_SHARE),
            Goal("lag of the lake that a minute adds (s)", _WITH, note="lag s/min", most=1.0),
        ),
        most_repeats=3,
    ),
)
