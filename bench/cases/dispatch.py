"""The hot path without HTTP: decode, intake, queue in memory, three destinations with transforms.

A whole gateway is built from a config, as ``gateway serve`` builds it. Intake masks e-mail
addresses, and one destination gets a sample of the users. A pass ends when every destination has
finished with every event.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.cases.decode import bare_batches
from bench.cases.intake import CONCURRENCY, take_up
from bench.data import BATCH_EVENTS, batches, fresh
from bench.harness import Benchmark, Measurement, Scale, measure_async
from bench.report.goals import Goal
from gateway.config.load import load
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover

__all__ = ["BENCHMARKS", "CONFIG"]

_POLL_SECONDS = 0.0002  # a pass takes a few hundred times as long

CONFIG = """\
data_dir = "data"

[queue]
type = "memory"
max_bytes = 600_000_000  # finished segments are removed once a second

[sources.web]
type = "segment"
write_key = "demo"

[transforms.privacy]
type = "mask"

[transforms.canary]
type = "sample"
percent = 10
destinations = ["canary"]

[destinations.first]
type = "null"

[destinations.second]
type = "null"

[destinations.canary]
type = "null"
"""


def _gateway(scale: Scale) -> Measurement:
    with TemporaryDirectory(prefix="headgate-bench-") as folder:
        path = Path(folder) / "config.toml"
        path.write_text(CONFIG, encoding="utf-8")
        return uvloop.run(_dispatch(Gateway(load(path), discover()), scale))


async def _dispatch(gateway: Gateway, scale: Scale) -> Measurement:
    async def work(bodies: list[bytes]) -> None:
        await take_up(gateway.intake, bodies)
        for worker in gateway.workers.values():
            while worker.cursor < gateway.queue.end:  # noqa: ASYNC110 - commits are not announced
                await asyncio.sleep(_POLL_SECONDS)

    async with gateway.running():
        bodies = fresh(batches(scale.seed, scale.templates))
        measured = await measure_async(bodies, work, scale.templates * BATCH_EVENTS, scale)
        accepted = gateway.ledger.source("web").accepted
        for worker in gateway.workers.values():
            counts = worker.counts
            assert counts.delivered + counts.filtered.total() == accepted, "events were lost"
        canary = gateway.workers["canary"].counts
        assert 0 < canary.delivered < accepted, "the sample did not sample"
        return measured


BENCHMARKS = (
    Benchmark(
        "dispatch",
        f"batches of {BATCH_EVENTS}, {CONCURRENCY} requests at once: bytes to three destinations, "
        "with mask and sample, queue in memory",
        {"msgspec": bare_batches, "gateway": _gateway},
        floors=("msgspec",),
        pinned=True,
        group="goals",
        goals=(Goal("decode and dispatch in process", "gateway", "msgspec", least=0.40),),
    ),
)
