"""Runs variants in fresh processes, in turns, and compares them with floors and goals.

Each repeat runs every variant of a benchmark once, one after the other, so that other load on the
machine affects all of them alike. A variant's figure is the median over the repeats; a ratio is the
median of the ratios within each repeat.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TypeVar

import msgspec
from msgspec import Struct

from bench.report.goals import Goal
from gateway import __version__

__all__ = [
    "CPU_NOTE",
    "GENERATOR_NOTE",
    "GROUPS",
    "Benchmark",
    "Measurement",
    "Result",
    "Scale",
    "Variant",
    "VariantResult",
    "cpus",
    "environment",
    "measure",
    "measure_async",
    "run",
]

T = TypeVar("T")

SEED = 20260105

CPU_NOTE = "cpu µs"
"""Name of the note with the processor time for an event, over all threads of the process."""

GENERATOR_NOTE = "generator %"
"""Name of the note with the share of the time in which the generator needed its processor."""

GROUPS = ("goals", "peers", "latency", "memory", "start", "parts", "scaling")
"""The groups that ``run --only`` takes besides the names of benchmarks."""

_VARIANT_SECONDS = 180.0
_WARM_UP_PASSES = 1
_SHOWN_CHARACTERS = 4000
_PACKAGES = ("msgspec", "aiohttp", "uvloop", "zstandard")


class Scale(Struct, frozen=True):
    """The amount of work to measure.

    Attributes:
        seconds: time that a variant measures in each repeat, without preparation.
        repeats: fresh processes for each variant.
        templates: different bodies; few enough for the memory, enough to defeat caches.
        minutes: time that `memory` overloads the gateway.
        queued: events in the longest queue.
    """

    seconds: float = 3.0
    repeats: int = 5
    templates: int = 60
    minutes: float = 2.0
    queued: int = 10_000_000
    seed: int = SEED

    @classmethod
    def quick(cls) -> Scale:
        """Returns a scale that shows that everything works, but is too small for figures."""
        return cls(seconds=0.2, repeats=2, templates=10, minutes=0.1, queued=20_000)


class Measurement(Struct, frozen=True):
    """The result of one variant in one process.

    Attributes:
        events: number handled in `seconds`.
        notes: further numbers by name, such as ``p99 ms``.
        series: a number over time, as pairs of seconds and value.
    """

    events: int
    seconds: float
    notes: dict[str, float] = {}
    series: list[tuple[float, float]] = []

    @property
    def microseconds(self) -> float:
        """The time for one event."""
        return self.seconds / self.events * 1e6


Variant = Callable[[Scale], Measurement]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark: variants to compare.

    Attributes:
        variants: by name, in the order of the table.
        floors: names of the variants that the others are compared with.
        group: one of `GROUPS`.
        goals: bounds on the figures.
        pinned: whether each variant stays on one processor; those over HTTP pin their server.
        most_repeats: bound on the repeats, for benchmarks that take long.
        check: called before the measurement; raises `RuntimeError` if it is impossible.
    """

    name: str
    about: str
    variants: Mapping[str, Variant]
    floors: tuple[str, ...] = ()
    group: str = "parts"
    goals: tuple[Goal, ...] = ()
    pinned: bool = False
    most_repeats: int = 50
    check: Callable[[], None] = lambda: None

    def repeats(self, scale: Scale) -> int:
        """The number of repeats."""
        return min(scale.repeats, self.most_repeats)


class VariantResult(Struct, frozen=True):
    """A variant over all repeats.

    Attributes:
        microseconds: for an event in each repeat.
        ratios: median ratio to each floor by its name.
        notes: further numbers of each repeat.
        series: a number over time in the last repeat.
    """

    microseconds: list[float]
    ratios: dict[str, float]
    notes: dict[str, list[float]]
    series: list[tuple[float, float]] = []

    @property
    def median(self) -> float:
        """Microseconds for an event, the median over the repeats."""
        return median(self.microseconds)


class Result(Struct, frozen=True):
    """The outcome of a benchmark."""

    name: str
    about: str
    scale: Scale
    variants: dict[str, VariantResult]
    goals: tuple[Goal, ...] = ()


def run(benchmark: Benchmark, scale: Scale, progress: Callable[[str], None]) -> Result:
    """Measures all variants of a benchmark; calls `progress` before each measurement.

    Raises:
        RuntimeError: a variant failed; the message quotes its output.
    """
    benchmark.check()
    repeats = benchmark.repeats(scale)
    samples: dict[str, list[Measurement]] = {name: [] for name in benchmark.variants}
    for repeat in range(repeats):
        for name in benchmark.variants:
            progress(f"{benchmark.name} / {name}, {repeat + 1} of {repeats}")
            samples[name].append(_in_process(benchmark.name, name, scale))
    return Result(
        benchmark.name,
        benchmark.about,
        scale,
        {name: _summary(benchmark, name, samples) for name in benchmark.variants},
        benchmark.goals,
    )


def _summary(
    benchmark: Benchmark, name: str, samples: Mapping[str, list[Measurement]]
) -> VariantResult:
    own = samples[name]
    return VariantResult(
        microseconds=[sample.microseconds for sample in own],
        ratios={
            floor: median(
                sample.microseconds / base.microseconds
                for sample, base in zip(own, samples[floor], strict=True)
            )
            for floor in (() if name in benchmark.floors else benchmark.floors)
        },
        notes={key: [sample.notes[key] for sample in own] for key in own[0].notes},
        series=own[-1].series,
    )


def _in_process(benchmark: str, variant: str, scale: Scale) -> Measurement:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench", "variant", benchmark, variant],
            input=msgspec.json.encode(scale),
            capture_output=True,
            timeout=_VARIANT_SECONDS + 60 * scale.minutes,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{benchmark} / {variant} hangs: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-_SHOWN_CHARACTERS:]
        raise RuntimeError(f"{benchmark} / {variant} failed\n{said}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measurement)


def measure(
    prepare: Callable[[], T], work: Callable[[T], object], events: int, scale: Scale
) -> Measurement:
    """Times passes of `work` over the result of `prepare`, which is not timed; takes the median.

    Args:
        events: number of events in one pass.
    """

    async def passing(prepared: T) -> None:
        work(prepared)

    return asyncio.run(measure_async(prepare, passing, events, scale))


async def measure_async(
    prepare: Callable[[], T], work: Callable[[T], Awaitable[object]], events: int, scale: Scale
) -> Measurement:
    """Does the same as `measure` for asynchronous work."""
    passes: list[float] = []
    used: list[float] = []
    while sum(passes) < scale.seconds or len(passes) <= _WARM_UP_PASSES:
        prepared = prepare()
        start, start_cpu = time.perf_counter(), time.process_time()
        await work(prepared)
        passes.append(time.perf_counter() - start)
        used.append(time.process_time() - start_cpu)
    cpu = median(used[_WARM_UP_PASSES:]) / events * 1e6
    return Measurement(events, median(passes[_WARM_UP_PASSES:]), {CPU_NOTE: cpu})


def environment() -> dict[str, str | int]:
    """Returns what the figures depend on: versions and machine."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "headgate": __version__,
        **{name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count() or 0,
        "cpus_usable": len(cpus()),
    }


def cpus() -> list[int]:
    """Returns the processors that this process may use; none if processes cannot be pinned."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _processor() -> str:
    """Returns the processor's name, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
