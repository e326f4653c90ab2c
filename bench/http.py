"""End to end over HTTP: a real ``gateway serve`` on one processor, the load on another.

The gateway acknowledges after fsync and delivers to one destination, which drops the events. After
each run its own counts are compared with the answers: a figure for lost events would be no figure.
The floors are bare aiohttp servers, `bench.servers`; ``generator`` is what the load alone can do.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.data import BATCH_EVENTS, Template, batches, singles
from bench.harness import CPU_NOTE, Benchmark, Measurement, Scale, cpus
from bench.load import WRITE_KEY, Load, generate
from gateway.cli.client import Client
from gateway.cli.process import ServerProcess, free_port

__all__ = ["BENCHMARKS", "CONFIG", "accepts", "pin_server"]

CONFIG = f"""\
data_dir = "data"

[server]
port = {{port}}

[log]
level = "warning"

[queue]
type = "disk"
ack = "fsync"

[sources.web]
type = "segment"
write_key = "{WRITE_KEY}"

[destinations.null]
type = "null"
"""

_BATCH_CONNECTIONS = 16
_SINGLE_CONNECTIONS = 64
_SINGLES_PER_TEMPLATE = 100

Templates = Callable[[Scale], Sequence[Template]]


def _batches(scale: Scale) -> Sequence[Template]:
    return batches(scale.seed, scale.templates)


def _singles(scale: Scale) -> Sequence[Template]:
    return singles(scale.seed, scale.templates * _SINGLES_PER_TEMPLATE)


def _gateway(templates: Templates, connections: int, scale: Scale) -> Measurement:
    return uvloop.run(_drive_gateway(templates(scale), connections, scale.seconds))


def _server(name: str, templates: Templates, connections: int, scale: Scale) -> Measurement:
    return uvloop.run(_drive_server(name, templates(scale), connections, scale.seconds))


async def _drive_gateway(
    templates: Sequence[Template], connections: int, seconds: float
) -> Measurement:
    port = free_port()
    with TemporaryDirectory(prefix="headgate-bench-") as folder:
        config = Path(folder) / "config.toml"
        config.write_text(CONFIG.format(port=port), encoding="utf-8")
        arguments = ("gateway", "serve", "--config", str(config))
        async with Client(f"http://127.0.0.1:{port}", WRITE_KEY) as client:
            process = ServerProcess(arguments, Path(folder) / "log", client.healthy, pin_server)
            async with process:
                measured, load = await _load(process, port, templates, connections, seconds)
                counts = await client.counts()
    assert counts is not None
    accepted = counts["headgate_events_accepted_total", "web"]
    reached = sum(
        counts[f"headgate_destination_{name}", "null"]
        for name in ("delivered_total", "pending_events")
    )
    if not load.events == accepted == reached:
        raise RuntimeError(f"acknowledged {load.events}, accepted {accepted}, on the way {reached}")
    return measured


async def _drive_server(
    name: str, templates: Sequence[Template], connections: int, seconds: float
) -> Measurement:
    port = free_port()
    with TemporaryDirectory(prefix="headgate-bench-") as folder:
        arguments = ("bench", "server", name, str(port))
        process = ServerProcess(arguments, Path(folder) / "log", partial(accepts, port), pin_server)
        async with process:
            measured, _ = await _load(process, port, templates, connections, seconds)
            return measured


async def accepts(port: int) -> bool:
    """Whether somebody listens on a port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


async def _load(
    process: ServerProcess,
    port: int,
    templates: Sequence[Template],
    connections: int,
    seconds: float,
) -> tuple[Measurement, Load]:
    if len(cpus()) > 1:
        os.sched_setaffinity(0, cpus()[1:])
    before = _cpu_seconds(process.pid)
    load = await generate(port, templates, connections, seconds)
    used = _cpu_seconds(process.pid) - before
    if set(load.statuses) != {200}:
        raise RuntimeError(f"answers other than 200: {dict(load.statuses)}")
    notes = {
        "p50 ms": load.percentile_ms(0.5),
        "p99 ms": load.percentile_ms(0.99),
    }
    if used:
        notes[CPU_NOTE] = used / load.events * 1e6
    return Measurement(load.timed_events, load.seconds, notes), load


def pin_server(pid: int) -> None:
    """Keep a process on the first processor that may be used."""
    usable = cpus()
    if len(usable) > 1:
        os.sched_setaffinity(pid, usable[:1])


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process so far; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _benchmark(name: str, about: str, templates: Templates, connections: int) -> Benchmark:
    def server(which: str) -> Callable[[Scale], Measurement]:
        return partial(_server, which, templates, connections)

    return Benchmark(
        name,
        f"{about} over HTTP, {connections} connections, ack fsync, null destination",
        {
            "generator": server("nothing"),
            "read": server("read"),
            "decode": server("decode"),
            "gateway": partial(_gateway, templates, connections),
        },
        floors=("read", "decode"),
        apart=("generator",),
    )


BENCHMARKS = (
    _benchmark("http-batch", f"batches of {BATCH_EVENTS}", _batches, _BATCH_CONNECTIONS),
    _benchmark("http-single", "single events", _singles, _SINGLE_CONNECTIONS),
)
