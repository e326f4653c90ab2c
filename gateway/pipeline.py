"""Builds a gateway from its config and the registry of plugins, and runs it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio
import structlog

from gateway.audit import Audit
from gateway.books import Books
from gateway.building import Builder, BuiltDestination
from gateway.chain import Chain
from gateway.circuit import Pace
from gateway.collect import Collector
from gateway.component import (
    Component,
)
from gateway.config import Config
from gateway.dedup import RecentIds
from gateway.delivery import Worker
from gateway.erasure import Eraser
from gateway.errors import ConfigError, GatewayError
from gateway.intake import Intake
from gateway.ledger import DestinationCounts, Ledger
from gateway.order import UserOrder
from gateway.plugins import Registry
from gateway.queue.batching import BatchingQueue
from gateway.queue.folder import QueueFolder
from gateway.rates import Rates
from gateway.regulations import Regulations
from gateway.replay import Replays
from gateway.sealed import newest_ids
from gateway.sending import Sender
from gateway.shards import shard_dir, shards_in, take_lock
from gateway.sieve import Sieve
from gateway.state import STATE_FILE, State
from gateway.suppression import FILE_NAME, Suppressions
from gateway.tap import Tap
from gateway.timestamps import now_ms
from gateway.upkeep import Upkeep

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["BuiltDestination", "Gateway"]

_HOUR_MS = 3_600_000


class Gateway:
    """A gateway: built by the constructor, alive inside `running`.

    Args:
        clock: wall clock in milliseconds.
        locked: the data directory's lock is held already, by the process that started this one.
        paces: the bounds on requests of each destination, for gateways in one process to share.

    Raises:
        ConfigError: config names what does not exist, or has wrong keys for it.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        clock: Callable[[], int] = now_ms,
        *,
        locked: bool = False,
        paces: dict[str, Pace] | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.ledger = Ledger()
        self.tap = Tap()
        self.rates = Rates()
        self.workers: dict[str, Worker] = {}
        self.started_ms = 0
        self._locked = locked
        self._paces = {} if paces is None else paces
        self.stopping = asyncio.Event()
        """Set when requests that go on, such as a live tail, are to end."""
        self._log: FilteringBoundLogger = structlog.get_logger()
        build = Builder(config, registry, clock, self._log)
        self.state = State(config.data_dir / STATE_FILE)
        self.audit = Audit(self.state, clock, self._log)
        self.books = Books(self.ledger, self.state, self._log)
        self.queue = BatchingQueue(build.store(), config.queue[0], self._log)
        self.groups = build.groups
        transforms = build.transforms()
        self.destinations = build.destinations(transforms)
        self.recent_ids = (
            RecentIds(int(config.dedup.window_hours * _HOUR_MS), config.dedup.max_entries)
            if config.dedup.enabled
            else None
        )
        self.suppressed = Suppressions(config.shared_dir / FILE_NAME)
        self.intake = Intake(
            {id_: settings for id_, (settings, _) in config.sources.items()},
            self.queue,
            self.recent_ids,
            Chain([(id_, t) for id_, t, where in transforms if where is None]),
            self.ledger,
            clock,
            self._log,
            suppressed=self.suppressed,
            books=self.books,
            tap=self.tap,
            workers=config.server.workers,
        )
        self.sources = build.sources(self.intake)
        for id_ in config.sources:
            self.ledger.source(id_)  # so that metrics show its zeros from the start

    # -- running -------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        """Start everything; on leaving, store what is pending and deliver until the deadline."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            if self.recent_ids is not None:
                await asyncio.to_thread(self._preload_ids, self.recent_ids)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            for worker in self.workers.values():
                tasks.start_soon(worker.run, name=f"delivery {worker.id}")
            upkeep = asyncio.create_task(self._upkeep().run(), name="upkeep")
            for source in self.sources:
                await _start("source", source)
                stack.push_async_callback(self._stop_component, "source", source)
            await self.replays.resume()
            self.regulations = self._make_regulations(self.replays)
            await self.regulations.start()
            self.started_ms = self.clock()
            try:
                yield self
            finally:
                upkeep.cancel()
                await self.regulations.stop()
                await self.replays.stop()
                await self._drain(tasks.cancel_scope)

    @asynccontextmanager
    async def standing_by(self, destination: str) -> AsyncIterator[Gateway]:
        """Start what a replay to one destination needs: no source, and no delivery of new events.

        Raises:
            ConfigError: there is no such destination, or it is disabled.
        """
        self.destinations = [built for built in self.destinations if built.id == destination]
        if not self.destinations:
            raise ConfigError(f"there is no destination {destination!r} that is enabled")
        async with AsyncExitStack() as stack:
            await self._open(stack)
            try:
                yield self
            finally:
                await self.replays.stop()

    @asynccontextmanager
    async def at_rest(self, *, begin: bool = True) -> AsyncIterator[Gateway]:
        """Carry out regulations: take no events in and deliver none.

        Args:
            begin: at once; else they are only written down until `regulations.start` is called.
        """
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self.regulations = self._make_regulations(None)
            if begin:
                await self.regulations.start()
            try:
                yield self
            finally:
                await self.regulations.stop()

    async def _open(self, stack: AsyncExitStack) -> None:
        """Open state and queue, start the destinations, and make their workers."""
        stack.enter_context(nullcontext() if self._locked else take_lock(self.config.data_dir))
        await self.state.start()
        stack.push_async_callback(self.state.stop)
        stack.callback(self.suppressed.close)
        await asyncio.to_thread(self.suppressed.refresh)
        await self._start_queue()
        stack.push_async_callback(self.queue.stop)
        first_start = await self.state.counted() is None
        await self.books.start(self.queue.store)
        stack.push_async_callback(self._close_books)
        for built in self.destinations:
            await _start(f"destinations.{built.id}", built.destination)
            stack.push_async_callback(self._stop_component, built.id, built.destination)
        await self._make_workers(first_start=first_start)
        self.replays = self._make_replays()

    async def _start_queue(self) -> None:
        try:
            await self.queue.start()
        except OSError as error:
            raise GatewayError(f"queue: cannot be opened: {error}") from error

    async def _close_books(self) -> None:
        await self.queue.stop()  # it stores what is pending, which counts
        await self.books.stop()

    def _upkeep(self) -> Upkeep:
        return Upkeep(
            self.queue,
            self.state,
            self.books,
            self.suppressed,
            self.workers,
            {built.id: built.settings.retry.max_dead_letters for built in self.destinations},
            self.config.trace,
            self.rates,
            self.clock,
            self._log,
        )

    async def _drain(self, scope: anyio.CancelScope) -> None:
        """Close the door, write what came in, deliver what there is; then cancel what hangs."""
        await self.queue.stop()
        for worker in self.workers.values():
            worker.drain()
        scope.deadline = anyio.current_time() + self.config.server.drain_timeout_seconds

    async def _make_workers(self, *, first_start: bool) -> None:
        cursors = await self.state.cursors()
        stored = self.queue.store.status()
        # Events without a state that knows of them: it is gone, and so is what was delivered.
        lost = first_start and not cursors and stored.end > stored.first
        if lost:
            self._log.warning(
                "there are events in the queue and no state: delivering all of them again",
                events=stored.end - stored.first,
            )
        for built in self.destinations:
            cursor = cursors.get(built.id)
            if cursor is None or cursor > stored.end:
                if cursor is not None:
                    self._log.warning(
                        "the queue ends before the destination's cursor: was it removed? "
                        "reading from its beginning",
                        destination=built.id,
                        cursor=cursor,
                        end=stored.end,
                    )
                fresh = cursor is None and not lost and built.settings.start_at == "now"
                cursors[built.id] = stored.end if fresh else stored.first
                # Written down before the first event, or a crash would skip what came before it.
                await self.state.begin(built.id, cursors[built.id])
        counts, bases = await self.state.counts(), await self.state.bases()
        for built in self.destinations:
            own = counts.get(built.id, DestinationCounts())
            own.base = bases[built.id]
            self.ledger.destinations[built.id] = own
            self.workers[built.id] = self._make_worker(built, cursors[built.id])

    def _sieve(self, built: BuiltDestination) -> Sieve:
        only = built.settings.only
        return Sieve(
            built.chain,
            name=built.name,
            storage=built.storage,
            consent=built.settings.consent,
            consent_defaults={
                id_: source.consent_default for id_, (source, _) in self.config.sources.items()
            },
            clock=self.clock,
            id_=built.id,
            tap=self.tap,
            only=None if only is None else (self.groups[only.group], only.arm),
        )

    def _make_replays(self) -> Replays:
        return Replays(
            self.queue.store,
            self.state,
            self.workers,
            {built.id: self._sieve(built) for built in self.destinations},
            {built.id: built for built in self.destinations},
            self.suppressed,
            self.clock,
            self._log,
            self.config.shard,
        )

    def _make_regulations(self, replays: Replays | None) -> Regulations:
        started = {built.id: built for built in self.destinations}
        eraser = Eraser(self.queue, self.state, self.workers, self.recent_ids, replays)
        return Regulations(
            self.state,
            self.suppressed,
            eraser,
            started,
            tuple(id_ for id_ in self.config.destinations if id_ not in started),
            self.clock,
            self._log,
        )

    def _make_worker(self, built: BuiltDestination, cursor: int) -> Worker:
        return Worker(
            built.id,
            collector=Collector(self.queue.reader(cursor), built.policy, self._sieve(built)),
            sender=Sender(
                built.id,
                built.destination,
                built.settings,
                built.max_concurrency,
                self.clock,
                self._log,
                secrets=built.secrets,
                pace=self._pace(built),
            ),
            policy=built.settings.retry,
            max_events=built.policy.max_events,
            max_concurrency=built.max_concurrency,
            state=self.state,
            counts=self.ledger.destination(built.id),
            clock=self.clock,
            log=self._log,
            order=UserOrder(atomic=built.atomic) if built.settings.ordering == "user" else None,
            queue_id=self.queue.store.identity(),
            tap=self.tap,
        )

    def _pace(self, built: BuiltDestination) -> Pace:
        """The bound on requests to a destination: this process's share of it."""
        share = built.settings.max_requests_per_second / self.config.server.workers
        return self._paces.setdefault(built.id, Pace(share))

    def _preload_ids(self, recent_ids: RecentIds) -> None:
        """Remember the ids of stored events again, of all shards; see `RecentIds`."""
        now = self.clock()
        since_ms = now - int(self.config.dedup.window_hours * _HOUR_MS)
        limit = self.config.dedup.max_entries
        frames = heapq.merge(
            self.queue.store.recent(since_ms, limit),
            *(queue.recent(since_ms, limit) for queue in self._other_queues()),
            key=lambda frame: -frame.time_ms,
        )
        recent_ids.preload((ids for frame in frames for ids in newest_ids(frame.payload)), now)

    def _other_queues(self) -> list[QueueFolder]:
        """What other workers have stored, or earlier ones."""
        config = self.config
        if config.queue[0].type != "disk":
            return []
        folders = [
            shard_dir(config.shared_dir, shard) / "queue"
            for shard in shards_in(config.shared_dir, config.server.workers)
            if shard != config.shard
        ]
        return [QueueFolder(folder) for folder in folders if folder.is_dir()]

    async def _stop_component(self, id_: str, component: Component) -> None:
        try:
            async with asyncio.timeout(self.config.server.drain_timeout_seconds):
                await component.stop()
        except Exception as error:  # noqa: BLE001 - one that cannot stop must not keep the others
            self._log.warning("could not be stopped cleanly", component=id_, error=repr(error))


async def _start(path: str, component: Component) -> None:
    try:
        await component.start()
    except Exception as error:
        raise GatewayError(f"{path}: cannot be started: {error}") from error
