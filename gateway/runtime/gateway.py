"""The running gateway: builds everything from config and the registry, starts it and drains it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio
import structlog

from gateway.components.lifecycle import StartedSources, task_group
from gateway.components.source import Source
from gateway.config.data_dir import take_lock
from gateway.config.load import load
from gateway.config.model import Config
from gateway.delivery.built import BuiltDestination
from gateway.delivery.circuit import Pace
from gateway.delivery.manager import DeliveryManager, ManagerContext
from gateway.delivery.replay import Replays, ReplaysContext
from gateway.errors import GatewayError
from gateway.events.timestamps import SteadyClock, format_ms, now_ms
from gateway.http.routing import Paths
from gateway.http.tokens import Tokens
from gateway.intake.dedup_warmup import preload
from gateway.intake.dry_run import IntakeDryRun
from gateway.intake.intake import Intake
from gateway.privacy.erasure import Eraser
from gateway.privacy.id_forms import IdForms
from gateway.privacy.regulations import Others, Regulations, RegulationsContext
from gateway.privacy.suppressed_forms import SuppressedForms
from gateway.privacy.time_limit import TimeLimit
from gateway.queue.reserve import release_if_full
from gateway.rollouts.groups import Groups
from gateway.runtime.builder import Builder
from gateway.runtime.housekeeping import Housekeeping, HousekeepingContext
from gateway.runtime.plugins import Registry
from gateway.runtime.reload import Reloaded, Reloads
from gateway.runtime.switchover import Switchover, SwitchoverContext
from gateway.runtime.topology import Topology, build_services, build_topology

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["BuiltDestination", "Gateway"]

_ROOM_TO_START = 4_000_000  # bytes, for the journals of the state store


class Gateway:
    """A gateway: the constructor builds it, `running` runs it.

    Attributes:
        workers: of the destinations, by id.
        steady: the clock for durations; a clock that is passed in serves for both.
        other_shards: how regulations reach the other shards; the leading shard gets it before it
            runs.
        stopping: is set when requests without an end, such as a live tail, are to end.

    Args:
        clock: wall clock in milliseconds.
        locked: the process that started this one holds the data directory's lock.
        paces: the bounds on requests of each destination, for gateways in one process to share.
        shaped: turns the content of a config file into the config of this gateway's shard.
        dry_run: the gateway only serves dry runs and never runs; see
            `gateway.runtime.explain.explainer`.

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
        dry_run: bool = False,
    ) -> None:
        self.clock = clock
        self.steady = steady = SteadyClock() if clock is now_ms else clock
        self.registry = registry
        self.started_ms = 0
        self.other_shards: Others | None = None
        self.stopping = asyncio.Event()
        self._locked = locked
        self._queue_opened = False
        self._shaped = shaped
        self._log: FilteringBoundLogger = structlog.get_logger()
        self._started_sources = StartedSources(self._log)
        self._counted: dict[str, Counter[str]] = {}
        build = Builder(
            config,
            registry,
            clock,
            self._log,
            counted=self._counted,
            dry_run=dry_run,
            steady=steady,
            queue_id=self._queue_id,
        )
        self._services = services = build_services(config, build, clock, steady, self._log)
        self.ledger, self.source_ledger = services.ledger, services.source_ledger
        self.live_tail, self.rates = services.live_tail, services.rates
        self.state, self.audit = services.state, services.audit
        self.queue, self.recent_ids = services.queue, services.recent_ids
        self.suppressed, self.identity = services.suppressed, services.identity
        self.rollouts, self.jobs = services.rollouts, services.jobs
        self.reloads = Reloads(config, self.audit, clock, self._log)
        self.deliveries = DeliveryManager(
            ManagerContext(
                queue=self.queue,
                state=self.state,
                ledger=self.ledger,
                live_tail=self.live_tail,
                server=config.server,
                paces={} if paces is None else paces,
                clock=steady,
                log=self._log,
            )
        )
        self.workers = self.deliveries.workers
        self.paths = Paths()
        self.tokens = Tokens(config.admin)
        self._topology = build_topology(config, build, services)
        self._use(self._topology)
        self.deliveries.plan(self._topology.destinations, self._topology.selections)

    @property
    def topology(self) -> Topology:
        """Everything that the config in use has made."""
        return self._topology

    @property
    def config(self) -> Config:
        """The config in use; keys that need a restart have the values of the last start."""
        return self._topology.config

    @property
    def groups(self) -> Groups:
        """The groups of users."""
        return self._topology.groups

    @property
    def intake(self) -> Intake | IntakeDryRun:
        """The intake."""
        return self._topology.intake

    @property
    def sources(self) -> list[Source]:
        """One source object for each type."""
        return self._topology.sources

    @property
    def destinations(self) -> list[BuiltDestination]:
        """All enabled destinations."""
        return list(self.deliveries.built.values())

    def _use(self, topology: Topology) -> None:
        """Puts a topology in use, from the next request on."""
        before, self._topology = self._topology, topology
        topology.groups.take_over(before.groups, format_ms(self.clock() + 1))
        self.rollouts.adopt(topology.ramps)
        self.jobs.adopt(topology.jobs)
        self.tokens.use(topology.config.admin)
        self.paths.mount(topology.mounted)
        for id_ in topology.config.sources:
            self.ledger.source(id_)  # metrics show its zeros from the start

    # -- running -------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        """Starts everything; on leaving, stores pending events and delivers until the deadline."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            stack.push_async_callback(self.identity.stop)
            if self._topology.needs_visitors:
                await self.identity.start(self.queue.store)
            await self.rollouts.start()
            if self.recent_ids is not None:
                await asyncio.to_thread(
                    preload, self.recent_ids, self.config, self.queue.store, self.steady()
                )
            tasks = await stack.enter_async_context(task_group())
            self.deliveries.run_in(tasks)
            housekeeping = asyncio.create_task(self._housekeeping().run(), name="housekeeping")
            stack.callback(housekeeping.cancel)
            stack.push_async_callback(self._stop_sources)
            await self._started_sources.start(
                self.sources, self.config.server.start_timeout_seconds
            )
            await self.replays.resume()
            self.regulations = self._make_regulations(self.replays)
            await self.regulations.start()
            await self.jobs.start()
            self._switchover = self._make_switchover()
            self.started_ms = self.clock()
            self.reloads.open()
            try:
                yield self
            finally:
                await self.reloads.close()
                housekeeping.cancel()
                await self.jobs.stop()
                await self.regulations.stop()
                await self.replays.stop()
                await self._drain(tasks.cancel_scope)

    @asynccontextmanager
    async def standing_by(self, destination: str) -> AsyncIterator[Gateway]:
        """Starts only what a replay to one destination needs; new events are not delivered.

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
        """Starts only what regulations need; no events come in and none are delivered.

        Args:
            begin: carry them out at once; otherwise after a call of `regulations.start`.
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
        """Opens state and queue, starts the destinations, and makes their workers."""
        stack.enter_context(nullcontext() if self._locked else take_lock(self.config.data_dir))
        await asyncio.to_thread(release_if_full, self.config.data_dir, _ROOM_TO_START)
        await self.state.start()
        stack.push_async_callback(self.state.stop)
        stack.callback(self.suppressed.close)
        await asyncio.to_thread(self.suppressed.refresh)
        stack.push_async_callback(self.rollouts.stop)
        await self.rollouts.load()
        await self._start_queue()
        stack.push_async_callback(self.queue.stop)
        first_start = await self.state.counted() is None
        await self.source_ledger.start(self.queue.store)
        stack.push_async_callback(self._close_source_ledger)
        stack.push_async_callback(self.deliveries.close)
        await self.deliveries.open(first_start=first_start)
        self.replays = self._make_replays()

    async def _start_queue(self) -> None:
        try:
            await self.queue.start()
        except OSError as error:
            raise GatewayError(f"queue: cannot be opened: {error}") from error
        self._queue_opened = True

    def _queue_id(self) -> str:
        """Returns the id of the queue for the events to come; see `Context.queue_id`."""
        return self.queue.store.identity_at(self.queue.end)[0] if self._queue_opened else ""

    async def _close_source_ledger(self) -> None:
        await self.queue.stop()  # it stores pending events, which are then counted
        await self.source_ledger.stop()

    async def _drain(self, scope: anyio.CancelScope) -> None:
        """Refuses events, writes and delivers pending ones; the deadline cancels the rest."""
        await self.queue.stop()
        self.deliveries.drain()
        scope.deadline = anyio.current_time() + self.config.server.drain_timeout_seconds

    async def _stop_sources(self) -> None:
        await self._started_sources.stop(self.config.server.drain_timeout_seconds)

    # -- parts that a running gateway has ------------------------------------

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            HousekeepingContext(
                queue=self.queue,
                state=self.state,
                source_ledger=self.source_ledger,
                suppressed=self.suppressed,
                workers=self.workers,
                rates=self.rates,
                rollouts=self.rollouts,
                jobs=self.jobs,
                max_dead_letters=lambda: {
                    one.id: one.settings.retry.max_dead_letters for one in self.destinations
                },
                trace=lambda: self.config.trace,
                clock=self.steady,
                log=self._log,
            )
        )

    def _make_replays(self) -> Replays:
        return Replays(
            ReplaysContext(
                store=self.queue.store,
                state=self.state,
                workers=self.workers,
                selections=self.deliveries.selections,
                targets=self.deliveries.built,
                suppressed=SuppressedForms(self.suppressed, self._id_forms().of_user),
                clock=self.clock,
                log=self._log,
                shard=self.config.shard,
            )
        )

    def _make_regulations(self, replays: Replays | None) -> Regulations:
        limit = TimeLimit(lambda: self.config.server.erase_timeout_seconds)
        eraser = Eraser(
            self.queue, self.state, self.workers, self.recent_ids, self.identity, replays, limit
        )
        context = RegulationsContext(
            state=self.state,
            suppressed=self.suppressed,
            eraser=eraser,
            forms=self._id_forms(),
            destinations=self.deliveries.built,
            clock=self.steady,
            log=self._log,
            limit=limit,
        )
        return Regulations(context, self.config.disabled, self.other_shards)

    def _id_forms(self) -> IdForms:
        return IdForms(lambda: self._topology.intake.transforms, self.deliveries.built)

    def _make_switchover(self) -> Switchover:
        return Switchover(
            SwitchoverContext(
                services=self._services,
                deliveries=self.deliveries,
                regulations=self.regulations,
                replays=self.replays,
                sources=self._started_sources,
                current=lambda: self._topology,
                use=self._use,
                builder=self._builder,
            )
        )

    def _builder(self, config: Config) -> Builder:
        built = self.deliveries.built
        return Builder(
            config,
            self.registry,
            self.clock,
            self._log,
            built,
            self._counted,
            steady=self.steady,
            queue_id=self._queue_id,
        )

    # -- reloading -----------------------------------------------------------

    async def reload(self, actor: str) -> Reloaded:
        """Reads the config file again, and continues with its content.

        Args:
            actor: who asks, for the log and the audit trail.

        Raises:
            GatewayError: the file cannot be used; the gateway runs on as before.
        """
        return await self.reloads.run(actor, self._reload)

    async def _reload(self) -> Reloaded:
        file = self._shaped(await asyncio.to_thread(load, self.config.file))
        return await self._switchover.run(file)
