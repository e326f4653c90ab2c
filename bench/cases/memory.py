"""Memory under a lasting overload: clients send more, all the time, than the gateway can take."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

import uvloop

from bench.cases.http import kinds
from bench.harness import GENERATOR_NOTE, Benchmark, Measurement, Scale
from bench.load import generate
from bench.report.goals import Goal
from bench.report.stats import slope
from bench.subject import only_successes, serving

__all__ = ["BENCHMARKS", "grows", "rss_mb"]

_SAMPLES = 240
_SETTLED_SHARE = 0.5  # the memory feed and the ids of de-duplication fill up first
_MOST_MB = 250.0
_MOST_MB_PER_MINUTE = 2.0


def rss_mb(pid: int) -> float:
    """Returns the resident memory of a process in megabytes."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True, text=True
        )
        return int(said.stdout) / 1000
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def grows(series: list[tuple[float, float]]) -> float:
    """Returns the growth in megabytes a minute over the later part of a series."""
    settled = series[int(len(series) * _SETTLED_SHARE) :]
    return slope([(seconds / 60, megabytes) for seconds, megabytes in settled])


async def _drive(scale: Scale) -> Measurement:
    (templates, connections), _ = kinds()
    seconds = scale.minutes * 60
    async with serving() as subject:
        series: list[tuple[float, float]] = []

        async def watch() -> None:
            began = time.perf_counter()
            while True:
                series.append((time.perf_counter() - began, rss_mb(subject.process.pid)))
                await asyncio.sleep(seconds / _SAMPLES)

        watching = asyncio.create_task(watch())
        # Each connection always has a request under way, which makes an overload.
        load = await generate(subject.port, templates(scale), 4 * connections, seconds)
        watching.cancel()
        only_successes(load)
        await subject.check(load.events)
    notes = {
        "RSS MB": max(megabytes for _, megabytes in series),
        "MB/min": grows(series),
        GENERATOR_NOTE: 100 * load.busy,
    }
    return Measurement(load.timed_events, load.seconds, notes, series)


BENCHMARKS = (
    Benchmark(
        "memory",
        "resident memory of the gateway under batches without a pause, from 64 connections",
        {"gateway": lambda scale: uvloop.run(_drive(scale))},
        group="memory",
        goals=(
            Goal("resident memory under overload (MB)", "gateway", note="RSS MB", most=_MOST_MB),
            Goal(
                "its growth once settled (MB a minute)",
                "gateway",
                note="MB/min",
                most=_MOST_MB_PER_MINUTE,
            ),
        ),
        most_repeats=1,
    ),
)
