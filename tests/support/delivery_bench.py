"""Workers of delivery with a queue in memory and a state file."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gateway.components.chain import Chain
from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.config.settings import DestinationSettings, QueueSettings, RetryPolicy
from gateway.delivery.batcher import Batcher
from gateway.delivery.context import WorkerContext
from gateway.delivery.ordering import UserOrder
from gateway.delivery.selection import Selection, SelectionContext
from gateway.delivery.sender import Sender, Target
from gateway.delivery.worker import Worker
from gateway.errors import BatchError
from gateway.events.event import Event, encode_events
from gateway.queue.batching import BatchingQueue
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.rollouts.meter import Meter
from gateway.state import State
from gateway.state.ledger.counts import DestinationCounts

__all__ = ["QUICK", "Bench", "Scripted", "make_bench"]

QUICK = RetryPolicy(initial_seconds=0.001, max_seconds=0.002, max_attempts=3, max_age_seconds=60)


class Scripted(Destination):
    """Records what it gets; each call follows the next step of its script.

    A step is an error to raise, a function of the batch that may return one, or None.
    """

    def __init__(self, *script: Exception | Callable[[Batch], Exception | None] | None) -> None:
        self.script = list(script)
        self.calls: list[list[str]] = []
        self.delivered: list[str] = []
        self.batches: list[Batch] = []
        self.called = asyncio.Event()

    async def send(self, batch: Batch) -> None:
        ids = [event.message_id for event in batch]
        self.batches.append(batch)
        self.calls.append(ids)
        self.called.set()
        step = self.script.pop(0) if self.script else None
        error = step(batch) if callable(step) else step
        failed = set(error.failed) if isinstance(error, BatchError) else set(range(len(ids)))
        self.delivered += [i for n, i in enumerate(ids) if error is None or n not in failed]
        if error is not None:
            raise error


@dataclass
class Bench:
    """A queue in memory, a state file, and workers that the test makes."""

    queue: BatchingQueue
    state: State
    now_ms: int = 1_000_000
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    batchers: dict[str, Batcher] = field(default_factory=dict)

    async def put(self, *ids: str, **fields: Any) -> None:
        events = [Event(type="track", event="x", message_id=i, **fields) for i in ids]
        await self.queue.put(events, encode_events(events))

    def worker(
        self,
        destination: Destination,
        *,
        id_: str = "d",
        policy: BatchPolicy | None = None,
        retry: RetryPolicy = QUICK,
        timeout: float = 30,
        chain: Chain | None = None,
        name: str = "Tool",
        storage: bool = False,
        cursor: int = 0,
        concurrency: int = 1,
        ordering: bool = False,
        atomic: bool = False,
        meters: Sequence[Meter] = (),
    ) -> Worker:
        settings = DestinationSettings(type="x", retry=retry, timeout_seconds=timeout)
        log = structlog.get_logger()
        rng = random.Random(1)
        self.batchers[id_] = Batcher(
            self.queue.reader(cursor),
            policy or BatchPolicy(max_age_seconds=0),
            Selection(
                SelectionContext(
                    chain or Chain(), name=name, storage=storage, clock=self.clock, meters=meters
                )
            ),
        )
        target = Target(id_, destination, settings, concurrency)
        return Worker(
            WorkerContext(
                id=id_,
                batcher=self.batchers[id_],
                sender=Sender(target, self.clock, log, rng, meters=meters),
                state=self.state,
                counts=DestinationCounts(),
                clock=self.clock,
                log=log,
                max_events=500,
                order=UserOrder(atomic=atomic) if ordering else None,
                queue_id_at=lambda _: ("queue", None),
            )
        )

    def clock(self) -> int:
        return self.now_ms + int(asyncio.get_running_loop().time() * 1000)

    async def settled(self, worker: Worker) -> None:
        """Waits until every event of the queue has its outcome, also in the retry lane."""
        async with asyncio.timeout(10):
            while worker.pending(self.queue.end):
                await asyncio.sleep(0.001)

    def start(self, worker: Worker) -> None:
        self.tasks.append(asyncio.create_task(worker.run()))

    async def drained(self, *workers: Worker) -> None:
        """Runs workers until they have finished with all events of the queue."""
        for worker in workers:
            worker.drain()
            self.start(worker)
        await asyncio.gather(*self.tasks)

    async def reaches(self, worker: Worker, cursor: int) -> None:
        async with asyncio.timeout(10):
            while worker.cursor < cursor:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def make_bench(folder: Path) -> AsyncIterator[Bench]:
    """Makes a bench in a folder, and ends its workers with it."""
    log = structlog.get_logger()
    queue = BatchingQueue(MemoryStore(MemoryConfig(), lambda: 0), QueueSettings(), log)
    state = State(folder / "state.sqlite")
    await queue.start()
    await state.start()
    bench = Bench(queue, state)
    try:
        yield bench
    finally:
        for task in bench.tasks:
            task.cancel()
        await asyncio.gather(*bench.tasks, return_exceptions=True)
        await state.stop()
        await queue.stop()
