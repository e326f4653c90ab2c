"""The gateway's own delivery with one destination, for the contract checker.

Nothing is imitated here: batches, retries, the retry lane and dead letters are those that
`gateway serve` has, with waits of milliseconds. What a destination asks the gateway to wait is read
from what it raises.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from gateway.components.chain import Chain
from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.components.verdict import judge
from gateway.config.settings import DestinationSettings, QueueSettings, RetryPolicy
from gateway.delivery.batcher import Batcher
from gateway.delivery.context import WorkerContext
from gateway.delivery.selection import Selection, SelectionContext
from gateway.delivery.sender import Sender, Target
from gateway.delivery.worker import Worker
from gateway.errors import BatchError
from gateway.events.event import Event, encode_events
from gateway.events.timestamps import now_ms
from gateway.queue.batching import BatchingQueue
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.state import DeadLetter, State
from gateway.state.ledger.counts import DestinationCounts
from gateway.testing.making import ManualClock

__all__ = [
    "LOOK_SECONDS",
    "Attempt",
    "Delivery",
    "Watched",
    "bounded",
    "errors_of",
    "memory_queue",
    "put",
]

_QUICK = RetryPolicy(
    initial_seconds=0.001, max_seconds=0.005, max_attempts=8, max_age_seconds=600.0
)
_STATE_FILE = "state.sqlite"
_BODIES = ("properties", "traits", "context", "integrations", "metadata", "extra")
_BETWEEN_ATTEMPTS_SECONDS = 61.0
LOOK_SECONDS = 0.002


@dataclass(slots=True)
class Attempt:
    """One call of `send`.

    Attributes:
        ids: of the events in its batch.
        error: raised by the call.
        first, end: range of the vendor's requests during the call; `end` is None until it returns.
        events: of its batch.
        changed: ids of those that had other contents after the call, or during it.
    """

    ids: Sequence[str]
    error: BaseException | None = None
    first: int = 0
    end: int | None = None
    events: Sequence[Event] = ()
    changed: set[str] = field(default_factory=set)
    _before: Sequence[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._before = [_contents(event) for event in self.events]

    def compare(self) -> None:
        """Compares the events with what they were before the call."""
        for id_, event, before in zip(self.ids, self.events, self._before, strict=True):
            if _contents(event) != before:
                self.changed.add(id_)

    @property
    def wait_seconds(self) -> float | None:
        """The wait that it asked of the gateway."""
        if not isinstance(self.error, Exception):
            return None
        return judge(self.error, len(self.ids)).retry_after_seconds


class Watched(Destination):
    """Passes batches on to a destination, and records the calls.

    Args:
        clock: of the destination. It moves between attempts, which reveals items that carry the
            time of an attempt.
        requests: returns the number of requests that the vendor has received.
    """

    def __init__(
        self,
        inner: Destination,
        attempts: list[Attempt],
        clock: ManualClock,
        requests: Callable[[], int],
    ) -> None:
        self._inner = inner
        self._attempts = attempts
        self._clock = clock
        self._requests = requests

    async def send(self, batch: Batch) -> None:
        """Passes the batch on, and records the call."""
        self._clock.advance(_BETWEEN_ATTEMPTS_SECONDS)
        events = tuple(batch)
        ids = [event.message_id for event in events]
        attempt = Attempt(ids, first=self._requests(), events=events)
        self._attempts.append(attempt)
        try:
            await self._inner.send(batch)
        except BaseException as error:
            attempt.error = error
            raise
        finally:
            attempt.end = self._requests()
            attempt.compare()


async def bounded(work: Awaitable[object], seconds: float) -> BaseException | None:
    """Awaits something for a bounded time; returns its error, or a `TimeoutError`."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)  # it may ignore the cancellation as well
        return TimeoutError(f"not within {seconds:g} s")
    return None if task.cancelled() else task.exception()


def memory_queue() -> BatchingQueue:
    """Makes a queue for the events of one scene; it survives restarts of delivery."""
    return BatchingQueue(
        MemoryStore(MemoryConfig(), now_ms), QueueSettings(), structlog.get_logger()
    )


class Delivery:
    """One run of the gateway's delivery, from its start to its end.

    Args:
        folder: for the state, which starts empty.
        max_events: of a batch.
        timeout_seconds: of an attempt.
    """

    def __init__(
        self,
        queue: BatchingQueue,
        destination: Destination,
        folder: Path,
        *,
        secrets: Sequence[str] = (),
        max_events: int = 4,
        max_concurrency: int = 1,
        timeout_seconds: float = 5.0,
    ) -> None:
        log = structlog.get_logger()
        settings = DestinationSettings(
            type="contract", retry=_QUICK, timeout_seconds=timeout_seconds
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._queue = queue
        self._state = State(folder / _STATE_FILE)
        self._worker = Worker(
            WorkerContext(
                id="contract",
                batcher=Batcher(
                    queue.reader(0),
                    BatchPolicy(max_events=max_events, max_age_seconds=0.0),
                    Selection(
                        SelectionContext(Chain(), name="contract", storage=True, clock=now_ms)
                    ),
                ),
                sender=Sender(
                    Target("contract", destination, settings, max_concurrency, secrets),
                    now_ms,
                    log,
                    random.Random(1),  # noqa: S311 - jitter
                ),
                state=self._state,
                counts=DestinationCounts(),
                clock=now_ms,
                log=log,
                max_events=max_events,
                queue_id_at=queue.store.identity_at,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def error(self) -> str:
        """Text of the destination's last error; empty while it works."""
        return self._worker.condition.error

    @property
    def settled(self) -> bool:
        """True if every event has its outcome."""
        return not self._worker.pending(self._queue.end)

    async def start(self) -> None:
        """Starts delivery from the beginning of the queue."""
        await self._state.start()
        self._task = asyncio.create_task(self._worker.run(), name="delivery")

    async def settle(self, seconds: float, given_up: Callable[[], bool]) -> bool:
        """Waits until every event has its outcome; returns False if some still have none.

        Args:
            given_up: called repeatedly; True ends the wait.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.settled:
            if given_up() or asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    async def kill(self, seconds: float) -> bool:
        """Ends delivery like a crash; returns False if a send does not end.

        Args:
            seconds: bound on the wait.
        """
        assert self._task is not None
        self._task.cancel()
        _, left = await asyncio.wait({self._task}, timeout=seconds)
        await self._state.stop()
        return not left

    async def dead_letters(self) -> dict[str, DeadLetter]:
        """Returns the dead letters by message id."""
        return {d.message_id: d for d in await self._state.dead_letters("contract", 1000)}


def _contents(event: Event) -> bytes:
    """Returns the fields of an event and its decoded bodies, which are apart from them."""
    fields = msgspec.structs.asdict(event)
    bodies = {name: getattr(event, name) for name in _BODIES}
    return msgspec.json.encode([fields, bodies], order="deterministic", enc_hook=repr)


async def put(queue: BatchingQueue, events: Sequence[Event]) -> None:
    """Puts events into the queue."""
    await queue.put(list(events), encode_events(events))


def errors_of(error: BaseException | None) -> list[BaseException]:
    """Returns an error, and for a `BatchError` those of its items too."""
    if isinstance(error, BatchError):
        return [error, *error.failed.values()]
    return [] if error is None else [error]
