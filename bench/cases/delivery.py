"""Delivery from a full queue on disk to a destination, against the least work on the same bytes.

The queue is filled once. Every pass delivers all of it to a destination that has seen nothing, and
ends when everything is committed. Opening the queue is not timed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import structlog
import uvloop
from msgspec import Raw

from bench.cases.decode import Envelope
from bench.cases.intake import stored_bytes
from bench.data import BATCH_EVENTS, batches, fresh
from bench.harness import Benchmark, Measurement, Scale
from bench.report.goals import Goal
from bench.subject import accepts, leave_the_server_alone, pin_server
from gateway.cli.process import ServerProcess, free_port
from gateway.config.load import load
from gateway.events.event import EMPTY, Event
from gateway.events.ndjson import encode_ndjson
from gateway.events.timestamps import format_ms, now_ms
from gateway.queue.disk import DiskConfig, DiskStore
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from gateway.state import STATE_FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["BENCHMARKS", "CONFIG", "NULL", "fill", "stored"]

_POLL_SECONDS = 0.0005
_FRAMES_OF = 10  # requests in a frame, as when many wait for one write
_ROUNDS = 8  # rounds of bodies, so that a pass takes longer than its start
_FILE_BATCH = 4000
_WEBHOOK_BATCH = 500
_WEBHOOK_SENDS = 8

CONFIG = """\
data_dir = "data"

[log]
level = "warning"

[dedup]
enabled = false

[sources.web]
type = "segment"
write_key = "demo"

[destinations.subject]
start_at = "earliest"
{destination}
"""
NULL = 'type = "null"'
# The size divides the number of events, so that no batch waits to become full.
_FILE = 'type = "file"\npath = "out"\nbatch = { max_events = 4000, max_bytes = 10_000_000 }'
_WEBHOOK = 'type = "webhook"\nurl = "{url}"\nbatch = {{ max_events = 500, max_bytes = 10_000_000 }}'


def _events(scale: Scale) -> list[list[Event]]:
    """Returns the stamped events of each request."""
    decode = msgspec.json.Decoder(Envelope).decode
    received = format_ms(now_ms())
    requests = [decode(body).batch for body in fresh(batches(scale.seed, scale.templates))()]
    for request in requests:
        for event in request:
            event.source_id, event.received_at, event.version = "web", received, 2
    return requests


def _number(scale: Scale) -> int:
    return _ROUNDS * scale.templates * BATCH_EVENTS


def stored(scale: Scale) -> list[bytes]:
    """Returns each request's events as intake stores them."""
    return asyncio.run(stored_bytes(fresh(batches(scale.seed, scale.templates))()))


def fill(folder: Path, chunks: Sequence[bytes], events: int) -> int:
    """Stores requests' events over and over; returns the number of events.

    Args:
        chunks: stored events of each request, from `stored`.
    """
    (folder / "data").mkdir()
    store = DiskStore(folder / "data" / "queue", DiskConfig(), now_ms, structlog.get_logger())
    store.open()
    frames = [chunks[at : at + _FRAMES_OF] for at in range(0, len(chunks), _FRAMES_OF)]
    end = 0
    for frame in cycle(frames):
        if end >= events:
            break
        store.write(frame, [BATCH_EVENTS] * len(frame), sync=False)
        end += BATCH_EVENTS * len(frame)
    store.close()
    return end


Pass = Callable[[], Awaitable[float]]


async def _passes(one: Pass, events: int, scale: Scale) -> Measurement:
    """Runs passes until the time is over; returns their median without the first."""
    took = [await one(), await one()]
    while sum(took) < scale.seconds:
        took.append(await one())
    return Measurement(events, median(took[1:]))


async def _deliver(folder: Path) -> float:
    """Runs one pass; returns the seconds from the start of delivery to the last commit."""
    for path in (folder / "data").glob(f"{STATE_FILE}*"):
        path.unlink()
    gateway = Gateway(load(folder / "config.toml"), discover())
    async with gateway.running():
        began = time.perf_counter()
        worker = gateway.workers["subject"]
        while worker.pending(gateway.queue.end):  # noqa: ASYNC110 - commits are not announced
            await asyncio.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - began
        assert worker.counts.delivered == gateway.queue.end, "events were lost"
    return seconds


def _gateway(destination: str, scale: Scale) -> Measurement:
    chunks = stored(scale)

    async def drive() -> Measurement:
        with TemporaryDirectory(prefix="headgate-bench-") as name:
            folder = Path(name)
            events = fill(folder, chunks, _number(scale))
            text = CONFIG.format(destination=destination)
            (folder / "config.toml").write_text(text, encoding="utf-8")
            return await _passes(partial(_deliver, folder), events, scale)

    return uvloop.run(drive())


class _Stored(Event, kw_only=True):
    """The contents of a frame: an event, or several as they were sent with what they share."""

    sealed: int = 0
    addressed: bool = False
    origin: Raw = EMPTY
    sent: list[Event] = msgspec.field(default_factory=list)


def _frames(scale: Scale) -> Measurement:
    """Reads the same frames and decodes all events in them."""
    decode = msgspec.json.Decoder(list[_Stored]).decode

    async def one(folder: Path) -> float:
        store = DiskStore(folder / "data" / "queue", DiskConfig(), now_ms, structlog.get_logger())
        store.open()
        reader = store.reader(0)
        began = time.perf_counter()
        while (frame := reader.next()) is not None:
            decode(frame.payload)
        seconds = time.perf_counter() - began
        reader.close()
        return seconds

    with TemporaryDirectory(prefix="headgate-bench-") as name:
        events = fill(Path(name), stored(scale), _number(scale))
        return asyncio.run(_passes(partial(one, Path(name)), events, scale))


def _writes(scale: Scale) -> Measurement:
    """Writes the same lines in batches of the same size, each with an fsync."""
    events = [event for request in _events(scale) for event in request] * _ROUNDS
    parts = [
        encode_ndjson(events[at : at + _FILE_BATCH]) for at in range(0, len(events), _FILE_BATCH)
    ]

    async def one(path: Path) -> float:
        began = time.perf_counter()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for part in parts:
            os.write(fd, part)
            os.fdatasync(fd) if hasattr(os, "fdatasync") else os.fsync(fd)
        os.close(fd)
        return time.perf_counter() - began

    with TemporaryDirectory(prefix="headgate-bench-") as name:
        return asyncio.run(_passes(partial(one, Path(name) / "out"), len(events), scale))


@asynccontextmanager
async def _sink() -> AsyncIterator[str]:
    """Runs a server process that reads requests and answers; gives its URL."""
    port = free_port()
    with TemporaryDirectory(prefix="headgate-bench-") as folder:
        arguments = ("bench", "server", "read", str(port))
        ready = partial(accepts, port)
        async with ServerProcess(arguments, Path(folder) / "log", ready, pin_server):
            leave_the_server_alone()
            yield f"http://127.0.0.1:{port}/events"


def _posts(scale: Scale) -> Measurement:
    """Posts the same bodies to the same server with a bare client."""
    events = [event for request in _events(scale) for event in request] * _ROUNDS
    parts = [events[at : at + _WEBHOOK_BATCH] for at in range(0, len(events), _WEBHOOK_BATCH)]
    bodies = [
        b'{"batch":[' + b",".join([event.to_json() for event in part]) + b"]}" for part in parts
    ]

    async def one(session: aiohttp.ClientSession, url: str) -> float:
        left = iter(bodies)

        async def client() -> None:
            for body in left:
                async with session.post(url, data=body) as response:
                    await response.read()

        began = time.perf_counter()
        async with asyncio.TaskGroup() as clients:
            for _ in range(_WEBHOOK_SENDS):
                clients.create_task(client())
        return time.perf_counter() - began

    async def drive() -> Measurement:
        async with _sink() as url, aiohttp.ClientSession() as session:
            return await _passes(partial(one, session, url), len(events), scale)

    return uvloop.run(drive())


def _webhook(scale: Scale) -> Measurement:
    chunks = stored(scale)

    async def drive() -> Measurement:
        with TemporaryDirectory(prefix="headgate-bench-") as name:
            folder = Path(name)
            events = fill(folder, chunks, _number(scale))
            async with _sink() as url:
                text = CONFIG.format(destination=_WEBHOOK.format(url=url))
                (folder / "config.toml").write_text(text, encoding="utf-8")
                return await _passes(partial(_deliver, folder), events, scale)

    return uvloop.run(drive())


BENCHMARKS = (
    Benchmark(
        "delivery-null",
        "from the queue on disk to a null destination",
        {"frames": _frames, "gateway": partial(_gateway, NULL)},
        floors=("frames",),
        pinned=True,
        group="goals",
        goals=(Goal("delivery, cold from disk to null", "gateway", "frames", least=0.50),),
    ),
    Benchmark(
        "delivery-file",
        f"from the queue on disk to a file destination, batches of {_FILE_BATCH}, fsync",
        {"write": _writes, "gateway": partial(_gateway, _FILE)},
        floors=("write",),
        pinned=True,
    ),
    Benchmark(
        "delivery-webhook",
        f"from the queue on disk to a local webhook, batches of {_WEBHOOK_BATCH}",
        {"client": _posts, "gateway": _webhook},
        floors=("client",),
    ),
)
