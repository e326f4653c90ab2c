"""Runs the destinations of a gateway, one worker each, and changes them while it runs.

A destination that changes keeps its worker. The worker's sender is closed, the sends under way end,
the new destination takes the place of the old one, and the sender is opened again. Events that were
read, events in the retry lane and the order of users stay as they are. So nothing is lost, sent
twice or overtaken. The worker itself is replaced only where order is kept in another way, or where
the destination becomes a shadow or stops being one (`gateway.delivery.shadow`). Then the old
worker commits what it has sent, and the new one continues from the cursor.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from gateway.components.lifecycle import StartTimeout, start, stop
from gateway.config.settings import ServerConfig
from gateway.delivery.batcher import Batcher
from gateway.delivery.built import BuiltDestination
from gateway.delivery.circuit import Pace
from gateway.delivery.context import WorkerContext
from gateway.delivery.ordering import UserOrder
from gateway.delivery.selection import Selection
from gateway.delivery.sender import Sender
from gateway.delivery.start_points import StartPoint, find_start_points
from gateway.delivery.worker import Worker
from gateway.errors import ConfigError
from gateway.queue.batching import BatchingQueue
from gateway.state import State, writing
from gateway.state.ledger.counts import Ledger
from gateway.state.live_tail import LiveTail

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["DeliveryManager", "ManagerContext"]

_MOST_DOWNTIME_MS = 3_600_000  # that the age of a waiting event grows by while nothing runs

_STARTING = ""  # no destination has this id

Selections = Mapping[str, Selection]
Leave = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ManagerContext:
    """The parts of the gateway that delivery uses.

    Attributes:
        server: has the time-out of draining, and the number of workers that share a pace.
        paces: bounds on the requests to each destination, by id; other gateways may share them.
        clock: the clock for durations, in milliseconds.
    """

    queue: BatchingQueue
    state: State
    ledger: Ledger
    live_tail: LiveTail
    server: ServerConfig
    paces: dict[str, Pace]
    clock: Callable[[], int]
    log: FilteringBoundLogger


class DeliveryManager:
    """Owns all destinations and their workers.

    Attributes:
        built, selections, workers: those of the current destinations, by id. They are always the
            same mappings, so others may keep a reference.
    """

    def __init__(self, context: ManagerContext) -> None:
        self.built: dict[str, BuiltDestination] = {}
        self.selections: dict[str, Selection] = {}
        self.workers: dict[str, Worker] = {}
        self._context = context
        self._log = context.log
        self._tasks: TaskGroup | None = None
        self._runs: dict[Worker, _Run] = {}
        self._started: dict[int, BuiltDestination] = {}

    def plan(self, built: Mapping[str, BuiltDestination], selections: Selections) -> None:
        """Adds destinations to deliver to once `open` is called."""
        self.built.update(built)
        self.selections.update(selections)

    def only(self, id_: str) -> None:
        """Removes all planned destinations but one.

        Raises:
            ConfigError: there is no such destination, or it is disabled.
        """
        if id_ not in self.built:
            raise ConfigError(f"there is no destination {id_!r} that is enabled")
        for other in self.built.keys() - {id_}:
            del self.built[other], self.selections[other]

    # -- life cycle ----------------------------------------------------------

    async def open(self, *, first_start: bool) -> None:
        """Starts the destinations, and makes their workers.

        One that is not started in time keeps nothing up: its events wait, and delivery starts it
        before it sends them.

        Args:
            first_start: whether no record exists of earlier deliveries.

        Raises:
            GatewayError: a destination cannot start.
        """
        await self._context.state.call(
            writing.bound_downtime, self._context.clock(), _MOST_DOWNTIME_MS
        )
        late: dict[str, StartTimeout] = {}
        for built in self.built.values():
            self._started[id(built.destination)] = built
            try:
                await self._start(built)
            except StartTimeout as error:
                late[built.id] = error
        begun = await self.begin(self.built.values(), first_start=first_start)
        for built in self.built.values():
            worker = self.workers[built.id] = self._make_worker(built, begun[built.id])
            if built.id in late:
                worker.sender.start_first(partial(self._start_again, built), str(late[built.id]))
            self._context.queue.let_go(built.id)

    def run_in(self, tasks: TaskGroup) -> None:
        """Starts delivery."""
        self._tasks = tasks
        for worker in self.workers.values():
            self._begin_run(worker)

    def drain(self) -> None:
        """Makes all workers deliver what the queue holds, and then end."""
        for worker in self.workers.values():
            worker.drain()

    async def close(self) -> None:
        """Stops all destinations; safe without `open`."""
        for built in reversed(self._started.copy().values()):
            await self._stop(built)

    async def start_new(self, built: Iterable[BuiltDestination]) -> list[BuiltDestination]:
        """Starts the destinations that do not run yet, and returns them.

        If one of them fails to start, all of them are stopped again.

        Raises:
            GatewayError: a destination cannot start, or not within its time-out.
        """
        new = [one for one in built if id(one.destination) not in self._started]
        begun: list[BuiltDestination] = []
        try:
            for one in new:
                self._started[id(one.destination)] = one
                begun.append(one)
                await self._start(one, one.settings.timeout_seconds)
        except BaseException:
            await self.stop_new(begun)
            raise
        return begun

    async def stop_new(self, begun: Iterable[BuiltDestination]) -> None:
        """Stops destinations that `start_new` has started."""
        for one in begun:
            await self._stop(one)

    async def _start(self, built: BuiltDestination, most_seconds: float = math.inf) -> None:
        seconds = min(most_seconds, self._context.server.start_timeout_seconds)
        await start(f"destinations.{built.id}", built.destination, seconds)

    async def _start_again(self, built: BuiltDestination) -> None:
        """Starts a destination whose first start took too long."""
        seconds = self._context.server.drain_timeout_seconds
        await stop(built.id, built.destination, seconds, self._log)
        await self._start(built)

    async def _stop(self, built: BuiltDestination) -> None:
        if self._started.pop(id(built.destination), None) is not None:
            seconds = self._context.server.drain_timeout_seconds
            await stop(built.id, built.destination, seconds, self._log)

    async def begin(
        self, built: Iterable[BuiltDestination], *, first_start: bool = False
    ) -> dict[str, StartPoint]:
        """Returns where each destination starts; see `find_start_points`.

        Raises:
            StateError: the state store cannot be used.
        """
        context = self._context
        queue = context.queue
        # Nothing may be removed between the choice of the start points and the first read.
        await queue.hold(_STARTING, 0)
        try:
            found = await find_start_points(
                built,
                queue.store,
                context.state,
                context.ledger,
                context.log,
                first_start=first_start,
            )
            for id_, point in found.items():
                await queue.hold(id_, point.cursor)
        finally:
            queue.let_go(_STARTING)
        return found

    # -- changing ------------------------------------------------------------

    def lets_go(self, built: Mapping[str, BuiltDestination]) -> bool:
        """Returns True if a current destination or worker would not be needed by these."""
        return any(
            (new := built.get(id_)) is None
            or new.destination is not old.destination
            or _kind(new) != _kind(old)
            for id_, old in self.built.items()
        )

    def switch(
        self,
        built: Mapping[str, BuiltDestination],
        selections: Selections,
        begun: Mapping[str, StartPoint],
        leave: Leave,
    ) -> list[Coroutine[Any, Any, None]]:
        """Delivers to these destinations from the next event on.

        Args:
            built: all destinations, started.
            begun: start points of the destinations that were not there before.
            leave: ends the replays to a destination; they continue when it is back.

        Returns:
            The work that is left, each bounded in time; the caller awaits all of it.
        """
        moves: list[Coroutine[Any, Any, None]] = []
        before = self.built.copy()
        self.plan(built, selections)
        for id_, old in before.items():
            new, worker = built.get(id_), self.workers[id_]
            if new is None:
                worker.sender.close()
                moves.append(self._take_out(worker, old, leave))
            elif _kind(old) != _kind(new):
                worker.sender.close()
                moves.append(self._replace(worker, old, new, leave))
            else:
                worker.choose(new.policy, selections[id_])
                worker.sender.meters = selections[id_].meters
                if replace(old, chain=new.chain) != new:
                    worker.sender.close()
                    moves.append(self._use(worker, old, new))
        for id_, new in built.items():
            if id_ not in before:
                self._add(new, begun[id_])
        return moves

    async def _use(self, worker: Worker, old: BuiltDestination, new: BuiltDestination) -> None:
        """Gives a worker, whose sender is closed, another destination or other settings."""
        try:
            await worker.sender.idle()
            self._pace(new)
            worker.use(new.target, new.policy.max_events)
            if new.destination is not old.destination:
                await self._stop(old)
        finally:
            worker.sender.release()

    async def _replace(
        self, worker: Worker, old: BuiltDestination, new: BuiltDestination, leave: Leave
    ) -> None:
        """Ends a worker, and starts another that continues from its cursor."""
        await self._end(worker, old, leave)
        self._add(new, StartPoint(worker.cursor, worker.waiting, resumed=True))
        await leave(old.id)
        if new.destination is not old.destination:
            await self._stop(old)

    async def _take_out(self, worker: Worker, old: BuiltDestination, leave: Leave) -> None:
        """Removes a destination. Its cursor, counts and retry lane stay in the state store."""
        await self._end(worker, old, leave)
        del self.workers[old.id], self.selections[old.id], self.built[old.id]
        await leave(old.id)  # a replay may have begun meanwhile with the worker that has ended
        await self._stop(old)

    def _add(self, new: BuiltDestination, begun: StartPoint) -> None:
        worker = self.workers[new.id] = self._make_worker(new, begun)
        self._context.queue.let_go(new.id)
        self._begin_run(worker)

    async def _end(self, worker: Worker, old: BuiltDestination, leave: Leave) -> None:
        """Ends a worker whose sender is closed; what it has sent is committed."""
        seconds = old.settings.timeout_seconds + self._context.server.drain_timeout_seconds
        run = self._runs.pop(worker)
        try:
            async with asyncio.timeout(seconds), worker.paused():
                worker.retire()
                await leave(old.id)
        except TimeoutError:
            self._log.error(
                "a destination could not be taken out cleanly: events that were sent to it and "
                "could not be recorded are sent again when it is back",
                destination=old.id,
            )
            await leave(old.id)
            run.scope.cancel()
        await run.ended.wait()

    # -- workers -------------------------------------------------------------

    def _begin_run(self, worker: Worker) -> None:
        assert self._tasks is not None
        run = self._runs[worker] = _Run()
        self._tasks.start_soon(run.until_end, worker, name=f"delivery {worker.id}")

    def _make_worker(self, built: BuiltDestination, begun: StartPoint) -> Worker:
        context, selection = self._context, self.selections[built.id]
        reader = context.queue.reader(begun.cursor)
        return Worker(
            WorkerContext(
                id=built.id,
                batcher=Batcher(reader, built.policy, selection),
                sender=Sender(
                    built.target,
                    context.clock,
                    context.log,
                    pace=self._pace(built),
                    meters=selection.meters,
                ),
                state=context.state,
                counts=context.ledger.destination(built.id),
                clock=context.clock,
                log=context.log,
                max_events=built.policy.max_events,
                order=UserOrder(atomic=built.atomic) if built.settings.ordering == "user" else None,
                queue_id_at=context.queue.store.identity_at,
                live_tail=context.live_tail,
                resumed=begun.resumed,
                waiting=begun.waiting,
            )
        )

    def _pace(self, built: BuiltDestination) -> Pace:
        """Returns this process's share of the bound on requests to a destination."""
        pace = self._context.paces.setdefault(built.id, Pace(0))
        pace.bound(built.settings.max_requests_per_second / self._context.server.workers)
        return pace


class _Run:
    """The run of one worker.

    Attributes:
        scope: ends the run at once when it is cancelled.
    """

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.ended = asyncio.Event()

    async def until_end(self, worker: Worker) -> None:
        """Runs the worker until it ends."""
        try:
            with self.scope:
                await worker.run()
        finally:
            self.ended.set()


def _kind(built: BuiltDestination) -> tuple[str, bool, bool]:
    """Returns what a worker cannot change while it runs: its order, and whether it sends."""
    ordering = built.settings.ordering
    return ordering, ordering == "user" and built.atomic, built.is_shadow
