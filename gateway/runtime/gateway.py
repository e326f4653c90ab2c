"""Builds a gateway from its config and the registry of plugins, runs it, and reloads its config."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

import anyio
import structlog

from gateway.components.lifecycle import Running, task_group
from gateway.components.source import Source
from gateway.components.verdict import trace_of
from gateway.config.data_dir import take_lock
from gateway.config.load import load
from gateway.config.model import Config
from gateway.delivery.built import BuiltDestination
from gateway.delivery.circuit import Pace
from gateway.delivery.manager import DeliveryManager
from gateway.delivery.replay import Replays
from gateway.errors import GatewayError, StateError
from gateway.events.timestamps import format_ms, now_ms
from gateway.http.routing import Paths
from gateway.http.tokens import Tokens
from gateway.identity.visitors import Identity
from gateway.intake.dedup import RecentIds
from gateway.intake.dedup_warmup import preload
from gateway.intake.dry_run import IntakeDryRun
from gateway.intake.intake import Intake
from gateway.privacy.erasure import Eraser
from gateway.privacy.regulations import Others, Regulations
from gateway.privacy.suppression import FILE_NAME, Suppressions
from gateway.queue.batching import BatchingQueue
from gateway.rollouts.controller import Rollouts
from gateway.rollouts.groups import Groups
from gateway.runtime.builder import Builder
from gateway.runtime.housekeeping import Upkeep
from gateway.runtime.plugins import Registry
from gateway.runtime.rates import Rates
from gateway.runtime.reload import Reloaded, Reloads, changes, kept
from gateway.runtime.topology import Lasting, Setup, set_up
from gateway.state import STATE_FILE, State
from gateway.state.audit_trail import Audit
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import Books
from gateway.state.live_tail import Tap

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["BuiltDestination", "Gateway"]


class Gateway:
    """A gateway: built by the constructor, alive inside `running`.

    Attributes:
        workers: of the destinations, by id.

    Args:
        clock: wall clock in milliseconds.
        locked: the data directory's lock is held already, by the process that started this one.
        paces: the bounds on requests of each destination, for gateways in one process to share.
        shaped: makes of a config file's content what this gateway runs, as one shard of several.
        rehearsing: it is never run; see `gateway.runtime.explain.explainer`.

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
        shaped: Callable[[Config], Config] = lambda config: config,
        rehearsing: bool = False,
    ) -> None:
        self.clock = clock
        self.ledger = Ledger()
        self.tap = Tap()
        self.rates = Rates()
        self.started_ms = 0
        self.other_shards: Others | None = None
        """How regulations reach the other shards; set, of the one that leads, before it runs."""
        self.registry = registry
        self._locked = locked
        self._shaped = shaped
        self.stopping = asyncio.Event()
        """Set when requests that go on, such as a live tail, are to end."""
        self._log: FilteringBoundLogger = structlog.get_logger()
        self._running = Running(self._log)
        self.state = State(config.data_dir / STATE_FILE)
        self.audit = Audit(self.state, clock, self._log)
        self.reloads = Reloads(config, self.audit, clock, self._log)
        self.books = Books(self.ledger, self.state, self._log)
        self.rollouts = Rollouts(
            config.shared_dir,
            self.audit,
            clock,
            self._log,
            decides=config.shard == 0 and not rehearsing,
        )
        self._counted: dict[str, Counter[str]] = {}
        build = Builder(
            config, registry, clock, self._log, counted=self._counted, rehearsing=rehearsing
        )
        self.queue = BatchingQueue(build.store(), config.queue[0], self._log)
        self.recent_ids = (
            RecentIds(config.dedup.window_ms, config.dedup.max_entries)
            if config.dedup.enabled
            else None
        )
        self.suppressed = Suppressions(config.shared_dir / FILE_NAME)
        self.identity = Identity.of_shard(config, self._log)
        self.deliveries = DeliveryManager(
            self.queue,
            self.state,
            self.ledger,
            self.tap,
            config.server,
            {} if paces is None else paces,
            clock,
            self._log,
        )
        self.workers = self.deliveries.workers
        self.paths = Paths()
        self.tokens = Tokens(config.admin)
        self._lasting = Lasting(
            self.queue,
            self.recent_ids,
            self.ledger,
            self.books,
            self.suppressed,
            self.tap,
            self.identity,
            self.rollouts,
            clock,
            self._log,
        )
        self._setup = set_up(config, build, self._lasting)
        self._use(self._setup)
        self.deliveries.plan(self._setup.destinations, self._setup.selections)

    @property
    def config(self) -> Config:
        """What runs; of the config file all but what takes effect at the next start."""
        return self._setup.config

    @property
    def groups(self) -> Groups:
        """The groups of users."""
        return self._setup.groups

    @property
    def setup(self) -> Setup:
        """All that the config that runs has made."""
        return self._setup

    @property
    def intake(self) -> Intake | IntakeDryRun:
        """The way in."""
        return self._setup.intake

    @property
    def sources(self) -> list[Source]:
        """One for each type."""
        return self._setup.sources

    @property
    def destinations(self) -> list[BuiltDestination]:
        """All that are enabled."""
        return list(self.deliveries.built.values())

    def _use(self, setup: Setup) -> Setup:
        """Go by a config from the next request on; gives what was used before."""
        before, self._setup = self._setup, setup
        setup.groups.take_over(before.groups, format_ms(self.clock() + 1))
        self.rollouts.adopt(setup.ramps)
        self.tokens.use(setup.config.admin)
        self.paths.mount(setup.mounted)
        for id_ in setup.config.sources:
            self.ledger.source(id_)  # so that metrics show its zeros from the start
        return before

    # -- running -------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        """Start everything; on leaving, store what is pending and deliver until the deadline."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            stack.push_async_callback(self.identity.stop)
            if self._setup.asks_for_visitors:
                await self.identity.start(self.queue.store)
            await self.rollouts.start()
            if self.recent_ids is not None:
                await asyncio.to_thread(
                    preload, self.recent_ids, self.config, self.queue.store, self.clock()
                )
            tasks = await stack.enter_async_context(task_group())
            self.deliveries.run_in(tasks)
            upkeep = asyncio.create_task(self._upkeep().run(), name="upkeep")
            stack.callback(upkeep.cancel)
            stack.push_async_callback(self._stop_sources)
            await self._running.start(self.sources)
            await self.replays.resume()
            self.regulations = self._make_regulations(self.replays)
            await self.regulations.start()
            self.started_ms = self.clock()
            self.reloads.open()
            try:
                yield self
            finally:
                await self.reloads.close()
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
        self.deliveries.only(destination)
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
        stack.push_async_callback(self.rollouts.stop)
        await self.rollouts.load()
        await self._start_queue()
        stack.push_async_callback(self.queue.stop)
        first_start = await self.state.counted() is None
        await self.books.start(self.queue.store)
        stack.push_async_callback(self._close_books)
        stack.push_async_callback(self.deliveries.close)
        await self.deliveries.open(first_start=first_start)
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
            lambda: {one.id: one.settings.retry.max_dead_letters for one in self.destinations},
            lambda: self.config.trace,
            self.rates,
            self.rollouts,
            self.clock,
            self._log,
        )

    async def _drain(self, scope: anyio.CancelScope) -> None:
        """Close the door, write what came in, deliver what there is; then cancel what hangs."""
        await self.queue.stop()
        self.deliveries.drain()
        scope.deadline = anyio.current_time() + self.config.server.drain_timeout_seconds

    def _make_replays(self) -> Replays:
        return Replays(
            self.queue.store,
            self.state,
            self.workers,
            self.deliveries.selections,
            self.deliveries.built,
            self.suppressed,
            self.clock,
            self._log,
            self.config.shard,
        )

    def _make_regulations(self, replays: Replays | None) -> Regulations:
        eraser = Eraser(
            self.queue, self.state, self.workers, self.recent_ids, self.identity, replays
        )
        return Regulations(
            self.state,
            self.suppressed,
            eraser,
            self.deliveries.built,
            self.config.disabled,
            self.clock,
            self._log,
            self.other_shards,
        )

    async def _stop_sources(self, without: Sequence[Source] = ()) -> None:
        await self._running.stop(self.config.server.drain_timeout_seconds, without)

    # -- reloading -----------------------------------------------------------

    async def reload(self, actor: str) -> Reloaded:
        """Read the config file again, and go on with what it says.

        Args:
            actor: who asks, for the log and the audit trail.

        Raises:
            GatewayError: it cannot be used, and says why. All goes on as before.
        """
        return await self.reloads.run(actor, self._change_over)

    async def _change_over(self) -> Reloaded:
        """Make all that is new; then, when nothing can fail any more, put it in place."""
        file = self._shaped(await asyncio.to_thread(load, self.config.file))
        config, waits = kept(self.config, file)
        setup = await asyncio.to_thread(self._prepare, config, file)
        started = await self.deliveries.start_new(setup.destinations.values())
        try:
            await self._running.start(setup.sources, config.server.drain_timeout_seconds)
            if setup.asks_for_visitors:
                await self.identity.start(self.queue.store)
            added = [one for one in setup.destinations.values() if one.id not in self.workers]
            begun = await self.deliveries.begin(added)
        except BaseException:
            await self._stop_sources(self.sources)
            await self.deliveries.stop_new(started)
            raise
        leaving = self.deliveries.lets_go(setup.destinations)
        if leaving:  # or one could be asked to erase while it is stopped
            await self.regulations.stop()
        before = self._use(setup)
        moves = self.deliveries.switch(
            setup.destinations, setup.selections, begun, self.replays.stop
        )
        for failed in await asyncio.gather(*moves, return_exceptions=True):
            if failed is not None:
                self._log.error("a destination was not changed cleanly", trace=trace_of(failed))
        self.regulations.use(config.disabled)
        if leaving:
            await self.regulations.start()
        try:
            await self.replays.resume()
        except StateError as error:
            self._log.error("replays go on with the next start only", error=str(error))
        await self._let_go(before)
        return Reloaded(config.hash, changes(before.config, config), waits)

    async def _let_go(self, before: Setup) -> None:
        """Stop sources once the requests that came in by them are answered."""
        if any(type(source).stop is not Source.stop for source in before.sources):
            with suppress(TimeoutError):
                async with asyncio.timeout(self.config.server.drain_timeout_seconds):
                    await before.mounted.idle()
        await self._stop_sources(self.sources)

    def _prepare(self, config: Config, file: Config) -> Setup:
        """Make what is new, in a thread: a tracking plan may take a while to be compiled."""
        if file.queue != config.queue:
            Builder(file, self.registry, self.clock, self._log).store()  # whether it could be used
        built = self.deliveries.built
        build = Builder(config, self.registry, self.clock, self._log, built, self._counted)
        return set_up(config, build, self._lasting, self._setup)
