"""End to end over HTTP: a real ``gateway serve`` on one processor, the load on another.

The gateway acknowledges after fsync and delivers to one destination, which drops the events. After
each run the gateway's counts are compared with the answers, because figures with lost events mean
nothing. The floors are bare aiohttp servers, `bench.servers`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.data import BATCH_EVENTS, Template, batches, singles
from bench.harness import CPU_NOTE, GENERATOR_NOTE, Benchmark, Measurement, Scale, Variant
from bench.load import Load, generate
from bench.report.goals import Goal
from bench.subject import (
    accepts,
    cpu_seconds,
    leave_the_server_alone,
    only_successes,
    pin_server,
    serving,
)
from gateway.cli.process import ServerProcess, free_port

__all__ = ["BENCHMARKS", "Kind", "gateway_variant", "kinds", "measured", "server_variant"]

_SINGLES_PER_TEMPLATE = 100

Templates = Callable[[Scale], Sequence[Template]]
Kind = tuple[Templates, int]
"""The requests, and the number of connections."""


def kinds(*, clean: bool = False) -> tuple[Kind, Kind]:
    """Returns the loads: batches and single events."""

    def in_batches(scale: Scale) -> Sequence[Template]:
        return batches(scale.seed, scale.templates, clean=clean)

    def alone(scale: Scale) -> Sequence[Template]:
        return singles(scale.seed, scale.templates * _SINGLES_PER_TEMPLATE, clean=clean)

    return (in_batches, 16), (alone, 64)


def gateway_variant(
    kind: Kind, *, mask: bool = False, destinations: int = 1, wide: bool = False
) -> Variant:
    """Returns the gateway under a load; `bench.subject.gateway_config` has the keywords."""

    async def drive(scale: Scale) -> Measurement:
        templates, connections = kind
        sent = templates(scale)
        async with serving(mask=mask, destinations=destinations, wide=wide) as subject:
            used = cpu_seconds(subject.process.pid)
            load = await generate(subject.port, sent, connections, scale.seconds)
            used = cpu_seconds(subject.process.pid) - used
            await subject.check(load.events)
        return measured(load, used)

    return lambda scale: uvloop.run(drive(scale))


Server = Callable[[int, Path], AbstractAsyncContextManager[int]]
"""Starts a server on a port with a folder for its files, and gives its process id."""


def server_variant(kind: Kind, server: Server) -> Variant:
    """Returns another server under a load."""

    async def drive(scale: Scale) -> Measurement:
        templates, connections = kind
        sent, port = templates(scale), free_port()
        with TemporaryDirectory(prefix="headgate-bench-") as folder:
            async with server(port, Path(folder)) as pid:
                leave_the_server_alone()
                used = cpu_seconds(pid)
                load = await generate(port, sent, connections, scale.seconds)
                return measured(load, cpu_seconds(pid) - used)

    return lambda scale: uvloop.run(drive(scale))


@asynccontextmanager
async def _floor(name: str, port: int, folder: Path) -> AsyncIterator[int]:
    arguments = ("bench", "server", name, str(port))
    up = partial(accepts, port)
    async with ServerProcess(arguments, folder / "log", up, pin_server) as process:
        yield process.pid


def measured(load: Load, used: float) -> Measurement:
    """Returns a load as a measurement.

    Args:
        used: processor time of the server, in seconds.

    Raises:
        RuntimeError: not every answer was 200.
    """
    only_successes(load)
    notes = {
        "p50 ms": load.percentile_ms(0.5),
        "p99 ms": load.percentile_ms(0.99),
        GENERATOR_NOTE: 100 * load.busy,
    }
    if used:
        notes[CPU_NOTE] = used / load.events * 1e6
    return Measurement(load.timed_events, load.seconds, notes)


def _benchmark(
    name: str, about: str, kind: Kind, goal: Goal, *, mask: bool = False, floors: tuple[str, ...]
) -> Benchmark:
    return Benchmark(
        name,
        f"{about} over HTTP, {kind[1]} connections, ack fsync, null destination",
        {
            **{floor: server_variant(kind, partial(_floor, floor)) for floor in floors},
            "gateway": gateway_variant(kind, mask=mask),
        },
        floors=floors,
        group="goals",
        goals=(goal,),
    )


_IN_BATCHES, _ALONE = kinds()
_CLEAN_IN_BATCHES, _CLEAN_ALONE = kinds(clean=True)

BENCHMARKS = (
    _benchmark(
        "http-batch",
        f"batches of {BATCH_EVENTS}",
        _IN_BATCHES,
        Goal(f"HTTP, batches of {BATCH_EVENTS}", "gateway", "decode", least=0.70),
        floors=("decode",),
    ),
    _benchmark(
        "http-single",
        "single events",
        _ALONE,
        Goal("HTTP, single events", "gateway", "read", least=0.80),
        floors=("read",),
    ),
    _benchmark(
        "http-batch-mask",
        f"batches of {BATCH_EVENTS} clean events, mask on,",
        _CLEAN_IN_BATCHES,
        Goal(f"HTTP, batches of {BATCH_EVENTS}, mask on", "gateway", "decode", least=0.45),
        mask=True,
        floors=("decode",),
    ),
    _benchmark(
        "http-single-mask",
        "single clean events, mask on,",
        _CLEAN_ALONE,
        Goal("HTTP, single events, mask on", "gateway", "read", least=0.75),
        mask=True,
        floors=("read",),
    ),
)
