"""Throughput by batch size, event size, number of destinations, and backlog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.cases.delivery import CONFIG, NULL, fill, stored
from bench.cases.http import gateway_variant, kinds
from bench.data import BATCH_EVENTS, Template, batches
from bench.harness import Benchmark, Measurement, Scale, Variant
from gateway.config.load import load
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover

__all__ = ["BENCHMARKS", "CURVES"]

BATCH_SIZES = (1, 3, 10, 30, 100, 300, 1000)
EVENT_BYTES = (200, 500, 1000, 3000, 10_000, 32_000)
DESTINATIONS = (1, 2, 4, 8, 16)
BACKLOGS = (100, 10, 1)
"""Lengths of the backlog, as divisors of `Scale.queued`."""

CURVES = {
    "scale-batch": "events in a batch",
    "scale-size": "bytes of an event",
    "scale-destinations": "destinations",
    "scale-queue": "events queued at the start",
}
"""Benchmarks whose variants are points of a curve, with the name of its axis."""

_REPEATS = 3
_CONNECTIONS = 16
_BYTES_OF_TEMPLATES = 8_000_000
_EVENT_BYTES = 1200
_FEWEST_TEMPLATES = 4
_POLL_SECONDS = 0.0005


def _over_http(size: int, event_bytes: int | None = None) -> Variant:
    def templates(scale: Scale) -> Sequence[Template]:
        body = size * (event_bytes or _EVENT_BYTES)
        number = max(_FEWEST_TEMPLATES, min(_BYTES_OF_TEMPLATES // body, 60 * scale.templates))
        return batches(scale.seed, number, size, event_bytes=event_bytes)

    return gateway_variant((templates, _CONNECTIONS), wide=True)


def _backlog(part: int, scale: Scale) -> Measurement:
    """Measures delivery to one destination with this backlog."""

    async def drive(folder: Path) -> Measurement:
        gateway = Gateway(load(folder / "config.toml"), discover())
        async with gateway.running():
            worker = gateway.workers["subject"]
            first, began = worker.cursor, time.perf_counter()
            while worker.cursor < gateway.queue.end:  # commits are not announced
                await asyncio.sleep(_POLL_SECONDS)
                if time.perf_counter() - began > scale.seconds:
                    break
            return Measurement(worker.cursor - first, time.perf_counter() - began)

    with TemporaryDirectory(prefix="headgate-bench-") as name:
        folder = Path(name)
        fill(folder, stored(scale), scale.queued // part)
        text = CONFIG.format(destination=NULL).replace("[log]", _NO_DRAIN)
        (folder / "config.toml").write_text(text, encoding="utf-8")
        return uvloop.run(drive(folder))


_NO_DRAIN = "[server]\ndrain_timeout_seconds = 0.1\n\n[log]"


def _curve(name: str, about: str, variants: dict[str, Variant], *, pinned: bool) -> Benchmark:
    return Benchmark(name, about, variants, group="scaling", pinned=pinned, most_repeats=_REPEATS)


BENCHMARKS = (
    _curve(
        "scale-batch",
        f"events of 1.2 KB over HTTP, {_CONNECTIONS} connections, by events in a batch",
        {f"{size:,}": _over_http(size) for size in BATCH_SIZES},
        pinned=False,
    ),
    _curve(
        "scale-size",
        f"batches of {BATCH_EVENTS} over HTTP, {_CONNECTIONS} connections, by bytes of an event",
        {f"{size:,}": _over_http(BATCH_EVENTS, size) for size in EVENT_BYTES},
        pinned=False,
    ),
    _curve(
        "scale-destinations",
        f"batches of {BATCH_EVENTS} over HTTP, by the number of null destinations",
        {
            f"{number:,}": gateway_variant(kinds()[0], destinations=number)
            for number in DESTINATIONS
        },
        pinned=False,
    ),
    _curve(
        "scale-queue",
        "delivery from disk to a null destination, by the events in the queue at the start",
        {f"{Scale().queued // part:,}": partial(_backlog, part) for part in BACKLOGS},
        pinned=True,
    ),
)
