"""The destinations of a gateway, each with its worker, and how they change while it runs.

A destination that changes keeps its worker. The worker's door is closed, the sends under way end,
the new one takes the place of the old one, and the door is opened: what was read, what waits for
another try and the order of users stay as they are, so that nothing is lost, sent twice or
overtaken. Only where order is kept in another way, or nothing is to be sent any more
(`gateway.delivery.shadow.shadow`), is the worker itself replaced: it commits what it has sent, and
the new one goes on from the cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from gateway.components.lifecycle import start, stop
from gateway.config.settings import ServerConfig
from gateway.delivery.batcher import Batcher
from gateway.delivery.built import BuiltDestination
from gateway.delivery.circuit import Pace
from gateway.delivery.ordering import UserOrder
from gateway.delivery.selection import Selection
from gateway.delivery.sender import Sender
from gateway.delivery.worker import Worker
from gateway.errors import ConfigError
from gateway.queue.batching import BatchingQueue
from gateway.state import State
from gateway.state.ledger.counts import DestinationCounts, Ledger
from gateway.state.live_tail import Tap

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["DeliveryManager", "StartPoint"]

Selections = Mapping[str, Selection]
Leave = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where a worker begins.

    Attributes:
        cursor: offset of the first event to read.
        waiting: events in the retry lane.
        resumed: as of `Worker`.
    """

    cursor: int
    waiting: int
    resumed: bool = False


class DeliveryManager:
    """All that is delivered.

    Attributes:
        built, selections, workers: of the destinations that there are now, by id; always the same
            mappings, for others to look into.

    Args:
        server: for the time to stop in, and the number of workers that share a pace.
        paces: the bounds on requests of each destination, which other gateways may share.
    """

    def __init__(
        self,
        queue: BatchingQueue,
        state: State,
        ledger: Ledger,
        tap: Tap,
        server: ServerConfig,
        paces: dict[str, Pace],
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self.built: dict[str, BuiltDestination] = {}
        self.selections: dict[str, Selection] = {}
        self.workers: dict[str, Worker] = {}
        self._queue = queue
        self._state = state
        self._ledger = ledger
        self._tap = tap
        self._server = server
        self._paces = paces
        self._clock = clock
        self._log = log
        self._tasks: TaskGroup | None = None
        self._runs: dict[Worker, _Run] = {}
        self._started: dict[int, BuiltDestination] = {}

    def plan(self, built: Mapping[str, BuiltDestination], selections: Selections) -> None:
        """These are to be delivered to, once `open` is called."""
        self.built.update(built)
        self.selections.update(selections)

    def only(self, id_: str) -> None:
        """Of what was planned, deliver to one.

        Raises:
            ConfigError: there is no such destination, or it is disabled.
        """
        if id_ not in self.built:
            raise ConfigError(f"there is no destination {id_!r} that is enabled")
        for other in self.built.keys() - {id_}:
            del self.built[other], self.selections[other]

    # -- life cycle ----------------------------------------------------------

    async def open(self, *, first_start: bool) -> None:
        """Start the destinations, and make their workers.

        Args:
            first_start: whether nothing is known of what was delivered before.

        Raises:
            GatewayError: one of them refuses.
        """
        for built in self.built.values():
            await start(f"destinations.{built.id}", built.destination)
            self._started[id(built.destination)] = built
        begun = await self.begin(self.built.values(), first_start=first_start)
        for built in self.built.values():
            self.workers[built.id] = self._make_worker(built, begun[built.id])

    def run_in(self, tasks: TaskGroup) -> None:
        """Deliver."""
        self._tasks = tasks
        for worker in self.workers.values():
            self._begin_run(worker)

    def drain(self) -> None:
        """Deliver what there is, and then no more."""
        for worker in self.workers.values():
            worker.drain()

    async def close(self) -> None:
        """Stop all destinations; safe without `open`."""
        for built in reversed(self._started.copy().values()):
            await self._stop(built)

    async def start_new(self, built: Iterable[BuiltDestination]) -> list[BuiltDestination]:
        """Start those that do not run yet; gives them. Where one refuses, none of them runs.

        Raises:
            GatewayError: one of them refuses, or has not started within its time-out.
        """
        new = [one for one in built if id(one.destination) not in self._started]
        begun: list[BuiltDestination] = []
        try:
            for one in new:
                self._started[id(one.destination)] = one
                begun.append(one)
                path = f"destinations.{one.id}"
                await start(path, one.destination, one.settings.timeout_seconds)
        except BaseException:
            await self.stop_new(begun)
            raise
        return begun

    async def stop_new(self, begun: Iterable[BuiltDestination]) -> None:
        """They are not to be used after all."""
        for one in begun:
            await self._stop(one)

    async def _stop(self, built: BuiltDestination) -> None:
        if self._started.pop(id(built.destination), None) is not None:
            seconds = self._server.drain_timeout_seconds
            await stop(built.id, built.destination, seconds, self._log)

    # -- cursors -------------------------------------------------------------

    async def begin(
        self, built: Iterable[BuiltDestination], *, first_start: bool = False
    ) -> dict[str, StartPoint]:
        """Where each of them begins, which is written down; and what its books say.

        Raises:
            StateError: the state store cannot be used.
        """
        cursors = await self._state.cursors()
        stored = self._queue.store.status()
        # Events without a state that knows of them: it is gone, and so is what was delivered.
        lost = first_start and not cursors and stored.end > stored.first
        if lost:
            self._log.warning(
                "there are events in the queue and no state: delivering all of them again",
                events=stored.end - stored.first,
            )
        for one in built:
            cursor = cursors.get(one.id)
            if cursor is None or cursor > stored.end:
                if cursor is not None:
                    self._log.warning(
                        "the queue ends before the destination's cursor: was it removed? "
                        "reading from its beginning",
                        destination=one.id,
                        cursor=cursor,
                        end=stored.end,
                    )
                fresh = cursor is None and not lost and one.settings.start_at == "now"
                cursors[one.id] = stored.end if fresh else stored.first
                # Written down before the first event, or a crash would skip what came before it.
                await self._state.begin(one.id, cursors[one.id])
        begun: dict[str, StartPoint] = {}
        counts, bases = await self._state.counts(), await self._state.bases()
        for one in built:
            own, known = self._ledger.destination(one.id), counts.get(one.id, DestinationCounts())
            own.delivered, own.replayed = known.delivered, known.replayed
            own.filtered, own.dead = known.filtered, known.dead
            own.base = bases[one.id]
            begun[one.id] = StartPoint(cursors[one.id], (await self._state.standing(one.id))[0])
        return begun

    # -- changing ------------------------------------------------------------

    def lets_go(self, built: Mapping[str, BuiltDestination]) -> bool:
        """Whether a destination or a worker that there is now would not be needed by these."""
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
        """From the next event on these are delivered to, each through its selection.

        Args:
            built: all of them, started.
            begun: of those that were not there before.
            leave: ends the replays to a destination, which go on when it is back.

        Returns:
            What is left to do, each bounded in time: await all of it.
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
        """One takes the place of the other at a worker's door, or has other settings."""
        try:
            await worker.sender.idle()
            self._pace(new)
            worker.use(new.destination, new.settings, new.policy, new.max_concurrency, new.secrets)
            if new.destination is not old.destination:
                await self._stop(old)
        finally:
            worker.sender.release()

    async def _replace(
        self, worker: Worker, old: BuiltDestination, new: BuiltDestination, leave: Leave
    ) -> None:
        """Another worker goes on, from the cursor."""
        await self._end(worker, old, leave)
        self._add(new, StartPoint(worker.cursor, worker.waiting, resumed=True))
        await leave(old.id)
        if new.destination is not old.destination:
            await self._stop(old)

    async def _take_out(self, worker: Worker, old: BuiltDestination, leave: Leave) -> None:
        """A destination is no more; its cursor, its books and what waits for it stay."""
        await self._end(worker, old, leave)
        del self.workers[old.id], self.selections[old.id], self.built[old.id]
        await leave(old.id)  # one that began just now is with a worker that has ended
        await self._stop(old)

    def _add(self, new: BuiltDestination, begun: StartPoint) -> None:
        worker = self.workers[new.id] = self._make_worker(new, begun)
        self._begin_run(worker)

    async def _end(self, worker: Worker, old: BuiltDestination, leave: Leave) -> None:
        """End a worker, whose door is closed; what it has sent is committed."""
        seconds = old.settings.timeout_seconds + self._server.drain_timeout_seconds
        run = self._runs.pop(worker)
        try:
            async with asyncio.timeout(seconds), worker.paused():
                worker.retire()
                await leave(old.id)
        except TimeoutError:
            self._log.error(
                "a destination could not be taken out cleanly: what it got and could not be "
                "recorded is sent to it again when it is back",
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
        reader = self._queue.reader(begun.cursor)
        return Worker(
            built.id,
            batcher=Batcher(reader, built.policy, self.selections[built.id]),
            sender=Sender(
                built.id,
                built.destination,
                built.settings,
                built.max_concurrency,
                self._clock,
                self._log,
                secrets=built.secrets,
                pace=self._pace(built),
                meters=self.selections[built.id].meters,
            ),
            policy=built.settings.retry,
            max_events=built.policy.max_events,
            max_concurrency=built.max_concurrency,
            state=self._state,
            counts=self._ledger.destination(built.id),
            clock=self._clock,
            log=self._log,
            order=UserOrder(atomic=built.atomic) if built.settings.ordering == "user" else None,
            queue_id=self._queue.store.identity(),
            tap=self._tap,
            resumed=begun.resumed,
            waiting=begun.waiting,
        )

    def _pace(self, built: BuiltDestination) -> Pace:
        """The bound on requests to a destination: this process's share of it."""
        pace = self._paces.setdefault(built.id, Pace(0))
        pace.bound(built.settings.max_requests_per_second / self._server.workers)
        return pace


class _Run:
    """A worker at work.

    Attributes:
        scope: ends it at once.
    """

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.ended = asyncio.Event()

    async def until_end(self, worker: Worker) -> None:
        """Deliver until there is no more."""
        try:
            with self.scope:
                await worker.run()
        finally:
            self.ended.set()


def _kind(built: BuiltDestination) -> tuple[str, bool, bool]:
    """What a worker is for: how it keeps order, and whether it sends."""
    ordering = built.settings.ordering
    return ordering, ordering == "user" and built.atomic, built.is_shadow
