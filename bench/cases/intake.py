"""The cost of intake: from the bytes of a request to the queue, against bare msgspec."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from bench.cases.decode import bare_batches
from bench.clients import FORMS, Form
from bench.data import BATCH_EVENTS, Template, batches, client_batches, fresh
from bench.harness import Benchmark, Measurement, Scale, measure_async
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import parse_batch
from gateway.builtin.sources.segment.limits import select
from gateway.builtin.sources.segment.plain import limited, plain_batch
from gateway.components import ports
from gateway.components.chain import Chain
from gateway.components.store import Store
from gateway.config.settings import DedupConfig, QueueSettings, SourceSettings
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import Origin
from gateway.events.event import Event
from gateway.events.timestamps import now_ms
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.intake import Arrival, Intake
from gateway.queue.batching import BatchingQueue
from gateway.queue.disk import DiskConfig, DiskStore
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.state.ledger.counts import Ledger

__all__ = ["BENCHMARKS", "CONCURRENCY", "decode", "memory_intake", "stored_bytes", "take_up"]

CONCURRENCY = 32
"""Requests under way at once, as from so many clients; they share writes."""

_SOURCE = "web"
_HOUR_MS = 3_600_000


_CONFIG = SegmentConfig()


def decode(body: bytes) -> list[Event]:
    """Decodes the events of a batch's body one by one, for callers that need each of them."""
    return select(parse_batch(body), _CONFIG)


async def take_up(
    intake: ports.Intake, bodies: list[bytes], concurrency: int = CONCURRENCY
) -> None:
    """Decodes and accepts bodies in concurrent requests, as the source does."""
    waiting = iter(bodies)

    async def client(mine: Iterator[bytes]) -> None:
        for body in mine:
            await _take(intake, body)

    async with asyncio.TaskGroup() as clients:
        for _ in range(concurrency):
            clients.create_task(client(waiting))


async def _take(intake: ports.Intake, body: bytes) -> None:
    plain = None if intake.decodes_all else plain_batch(body)
    if plain is not None and (plain := limited(plain, _CONFIG)) is not None:
        origin = Origin(
            _SOURCE,
            intake.clock(),
            plain.sent_at,
            plain.type,
            Client(),
            context=plain.context,
            integrations=plain.integrations,
        )
        if await intake.accept_as_sent(origin, plain):
            return
    parsed = parse_batch(body)
    await intake.accept(
        Arrival(
            source_id=_SOURCE,
            received_ms=intake.clock(),
            events=select(parsed, _CONFIG),
            discarded=parsed.discarded,
            sent_at=parsed.sent_at,
            body_bytes=len(body),
        )
    )


async def stored_bytes(bodies: list[bytes]) -> list[bytes]:
    """Returns what intake stores of each body."""
    store = _Recording(MemoryConfig(), now_ms)
    async with _running(store, now_ms) as (intake, _):
        for body in bodies:
            await take_up(intake, [body], concurrency=1)
    return store.chunks


class _Recording(MemoryStore):
    def __init__(self, config: MemoryConfig, clock: Callable[[], int]) -> None:
        super().__init__(config, clock)
        self.chunks: list[bytes] = []

    def write(self, chunks: Sequence[bytes], counts: Sequence[int], *, sync: bool) -> int:
        self.chunks += chunks
        return super().write(chunks, counts, sync=sync)


@asynccontextmanager
async def memory_intake(clock: Callable[[], int]) -> AsyncIterator[Intake]:
    """Runs an intake in front of a queue in memory."""
    async with _running(MemoryStore(MemoryConfig(), clock), clock) as (intake, _):
        yield intake


@asynccontextmanager
async def _running(
    store: Store, clock: Callable[[], int]
) -> AsyncIterator[tuple[Intake, BatchingQueue]]:
    log = structlog.get_logger()
    queue = BatchingQueue(store, QueueSettings(ack="fsync"), log)
    dedup = DedupConfig()
    intake = Intake(
        IntakeContext(
            sources={_SOURCE: SourceSettings(type="segment", write_key="demo")},
            queue=queue,
            recent_ids=RecentIds(int(dedup.window_hours * _HOUR_MS), dedup.max_entries),
            transforms=Chain(),
            ledger=Ledger(),
            clock=clock,
            log=log,
        )
    )
    await queue.start()
    try:
        yield intake, queue
    finally:
        await queue.stop()


def _memory(scale: Scale) -> Measurement:
    return asyncio.run(_intake(scale, MemoryStore(MemoryConfig(), now_ms)))


def _disk(scale: Scale) -> Measurement:
    log = structlog.get_logger()
    with TemporaryDirectory(prefix="headgate-bench-") as folder:
        store = DiskStore(Path(folder), DiskConfig(retention_hours=0), now_ms, log)
        return asyncio.run(_intake(scale, store))


def _of_client(form: Form) -> Callable[[Scale], Measurement]:
    """Measures intake of batches in the form of a client."""

    def run(scale: Scale) -> Measurement:
        templates = client_batches(form, scale.seed, scale.templates)
        return asyncio.run(_intake(scale, MemoryStore(MemoryConfig(), now_ms), templates))

    return run


async def _intake(
    scale: Scale, store: Store, templates: list[Template] | None = None
) -> Measurement:
    async with _running(store, now_ms) as (intake, queue):

        async def work(bodies: list[bytes]) -> None:
            await take_up(intake, bodies)
            await queue.release(queue.end, now_ms())  # or the queue, which nothing reads, fills up

        prepare = fresh(templates or batches(scale.seed, scale.templates))
        measured = await measure_async(prepare, work, scale.templates * BATCH_EVENTS, scale)
        counts = intake.ledger.source(_SOURCE)
        assert counts.accepted == counts.received == queue.end, "events were not all accepted"
        return measured


_ABOUT = f"batches of {BATCH_EVENTS}, {CONCURRENCY} requests at once: bytes to"

BENCHMARKS = (
    Benchmark(
        "intake-memory",
        f"{_ABOUT} the queue, store in memory",
        {"msgspec": bare_batches, "decode + intake": _memory},
        floors=("msgspec",),
        pinned=True,
    ),
    Benchmark(
        "intake-disk",
        f"{_ABOUT} the queue, store on disk, answered after fsync",
        {"msgspec": bare_batches, "decode + intake": _disk},
        floors=("msgspec",),
        pinned=True,
    ),
    Benchmark(
        "intake-clients",
        f"{_ABOUT} the queue, store in memory, in the forms of client libraries",
        {"msgspec": bare_batches, **{name: _of_client(form) for name, form in FORMS.items()}},
        floors=("msgspec",),
        pinned=True,
    ),
)
