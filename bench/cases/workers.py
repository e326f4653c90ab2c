"""Two worker processes against one, over HTTP, and the cost of exchanging message ids.

Workers may use all processors. The load generator gives way to them (``nice``), but takes its part
of both on a machine with two processors. After each run the gateway's counts over all workers are
compared with the answers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.data import BATCH_EVENTS, batches
from bench.harness import Benchmark, Measurement, Scale, measure
from bench.load import WRITE_KEY, generate
from bench.report.goals import Goal
from bench.subject import gateway_config, only_successes
from gateway.cli.process import ServerProcess, free_port
from gateway.cli.sdk_client import Client
from gateway.cluster.dedup_sync import encode_ids, learn_ids
from gateway.intake.dedup import RecentIds

__all__ = ["BENCHMARKS"]

_CONNECTIONS = 64
_NICE = 10
_COUNTS_SECONDS = 30.0
_IDS = 50_000


def _workers(number: int, scale: Scale) -> Measurement:
    return uvloop.run(_drive(number, scale))


async def _drive(number: int, scale: Scale) -> Measurement:
    port = free_port()
    with TemporaryDirectory(prefix="headgate-bench-") as folder:
        config = Path(folder) / "config.toml"
        config.write_text(gateway_config(port, workers=number), encoding="utf-8")
        arguments = ("gateway", "serve", "--config", str(config))
        client = Client(f"http://127.0.0.1:{port}", WRITE_KEY)
        async with client, ServerProcess(arguments, Path(folder) / "log", client.healthy):
            os.nice(_NICE)
            templates = batches(scale.seed, scale.templates)
            load = await generate(port, templates, _CONNECTIONS, scale.seconds)
            accepted = await _accepted(client, load.events)
    only_successes(load)
    if not load.latencies:
        raise RuntimeError("nothing was answered in time: the machine is too busy for a figure")
    if accepted != load.events:
        raise RuntimeError(f"acknowledged {load.events}, accepted {accepted}")
    notes = {"p50 ms": load.percentile_ms(0.5), "p99 ms": load.percentile_ms(0.99)}
    return Measurement(load.timed_events, load.seconds, notes)


async def _accepted(client: Client, expected: int) -> float:
    """Returns the events accepted by all workers, once all have reported."""
    deadline = time.monotonic() + _COUNTS_SECONDS
    while True:
        counts = await client.counts()
        found = counts["headgate_events_accepted_total", "web"] if counts else 0.0
        if found == expected or time.monotonic() > deadline:
            return found


def _taken(scale: Scale) -> list[tuple[str, set[str]]]:
    """Returns the ids of batches as intake accepts them."""
    ids = [f"{scale.seed:08x}-{number:027d}" for number in range(_IDS)]
    return [("web", set(ids[i : i + BATCH_EVENTS])) for i in range(0, _IDS, BATCH_EVENTS)]


def _say(scale: Scale) -> Measurement:
    """Does what a worker does to tell the ids that it has stored."""
    taken = _taken(scale)
    return measure(lambda: None, lambda _: [encode_ids([one]) for one in taken], _IDS, scale)


def _hear(scale: Scale) -> Measurement:
    """Does what a worker does with the ids that another has stored."""
    said = [encode_ids([one]) for one in _taken(scale)]

    def work(recent: RecentIds) -> None:
        for data in said:
            learn_ids(recent, data, 0)

    return measure(lambda: RecentIds(1_000_000, 1_000_000), work, _IDS, scale)


_VARIANTS: dict[str, Callable[[Scale], Measurement]] = {
    "1 worker": partial(_workers, 1),
    "2 workers": partial(_workers, 2),
}

BENCHMARKS = (
    Benchmark(
        "workers",
        f"batches of {BATCH_EVENTS} over HTTP, {_CONNECTIONS} connections, ack fsync, load niced",
        _VARIANTS,
        floors=("1 worker",),
        group="goals",
        goals=(Goal("HTTP, two workers beside one", "2 workers", "1 worker", least=1.7),),
    ),
    Benchmark(
        "workers-ids",
        f"telling other workers the message ids of batches of {BATCH_EVENTS}",
        {"say": _say, "hear": _hear},
        floors=("say",),
    ),
)
