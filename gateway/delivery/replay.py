"""Replays: past events delivered once more to one destination.

A replay reads the retained events of the queue from the oldest on, chooses the events that are
asked for, and gives them to the destination's worker. The worker sends, retries and counts them
like new events. Each commit of the worker also stores how far the replay has come, so that after a
crash the replay continues with the next event. Consent, suppression and transforms are those of
today.

Events that the destination has yet to get, from the queue or the retry lane, are left out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.components.store import Frame, Reader, Store
from gateway.config.data_dir import public_id, shard_of
from gateway.delivery.replay_reader import Chosen, ReplayReader, choose
from gateway.delivery.replay_request import Plan, Progress, Request
from gateway.delivery.selection import Outgoing, Selection
from gateway.delivery.worker import Worker
from gateway.errors import ConfigError, StateError
from gateway.events.timestamps import format_ms
from gateway.state import State, replays

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["ReplayTarget", "Replays", "ReplaysContext", "SuppressedUsers"]


class ReplayTarget(Protocol):
    """The properties of a destination that a replay needs."""

    @property
    def idempotent(self) -> bool:
        """True if an event that is sent twice counts once."""

    @property
    def is_shadow(self) -> bool:
        """True if nothing is sent to it."""


class SuppressedUsers(Collection[str], Protocol):
    """The suppressed users, each by any form of the id that clients send."""

    def stored(self) -> Collection[str]:
        """Returns the forms of their ids that stored events have. It blocks."""


@dataclass(frozen=True, slots=True)
class ReplaysContext:
    """The parts of the gateway that replays use.

    Attributes:
        workers, selections, targets: of the destinations, by id.
        suppressed: users whose events are filtered.
        clock: wall clock in milliseconds.
        shard: number of the shard that the queue belongs to; a part of the replays' ids.
    """

    store: Store
    state: State
    workers: Mapping[str, Worker]
    selections: Mapping[str, Selection]
    targets: Mapping[str, ReplayTarget]
    suppressed: SuppressedUsers
    clock: Callable[[], int]
    log: FilteringBoundLogger
    shard: int = 0


class Replays:
    """Runs the replays of a gateway."""

    def __init__(self, context: ReplaysContext) -> None:
        self._context = context
        self._store = context.store
        self._state = context.state
        self._workers = context.workers
        self._log = context.log
        self._beginning = asyncio.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._running: dict[int, replays.Row] = {}

    async def resume(self) -> None:
        """Continues the replays that were running when the process ended."""
        for row in await self._state.call(replays.listed):
            here = row.destination in self._workers and row.id not in self._running
            if row.state == "running" and here:
                self._begin(row)

    async def stop(self, destination: str | None = None) -> None:
        """Stops all replays, or those to one destination. Safe twice.

        They stay ``running`` in the state store, and `resume` continues them.
        """
        tasks = [
            task
            for id_, task in self._tasks.items()
            if destination in (None, self._running[id_].destination)
        ]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def start(self, request: Request) -> Progress:
        """Begins a replay.

        Raises:
            ConfigError: there is no such destination, it must be forced, or it has a replay.
        """
        async with self._beginning:
            worker = self._check(request)
            stored = self._store.status()
            row = await self._state.call(
                replays.create,
                request.destination,
                msgspec.json.encode(request),
                stored.first,
                max(stored.first, worker.cursor),
                self._context.clock(),
            )
            self._begin(row)
        return self._progress(row)

    async def plan(self, request: Request) -> Plan:
        """Returns what a replay would do, and sends nothing."""
        worker = self._find(request.destination)
        plan = Plan()
        names: Counter[str] = Counter()
        reader = self._store.reader(self._store.status().first)
        try:
            while (found := await asyncio.to_thread(_chosen_next, reader, request)) is not None:
                frame, chosen = found
                behind = {o for o in chosen.offsets if o >= worker.cursor}
                behind |= await self._in_lane(request.destination, frame.offset, frame.end)
                plan.pending += len(behind.intersection(chosen.offsets))
                outgoing = await self._select(request.destination, chosen, behind)
                names.update(event.event or event.type for event in outgoing.events)
                plan.chosen += sum(offset not in behind for offset in chosen.offsets)
                for rule, offsets in outgoing.filtered.items():
                    plan.kept_back[rule] = plan.kept_back.get(rule, 0) + len(offsets)
        finally:
            await asyncio.to_thread(reader.close)
        plan.names = dict(names.most_common())
        return plan

    async def cancel(self, id_: int) -> Progress | None:
        """Ends a replay for good; returns None if there is none with this id."""
        row = await self._row(id_)
        if row is None:
            return None
        task = self._tasks.get(row.id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        if row.state == "running":
            await self._state.call(replays.finish, row.id, "cancelled")
        return await self.progress(id_)

    async def progress(self, id_: int) -> Progress | None:
        """Returns how far a replay has come; None if there is none with this id."""
        row = await self._row(id_)
        return self._progress(row) if row else None

    async def all(self) -> list[Progress]:
        """Returns the progress of all replays, newest first."""
        return [self._progress(row) for row in await self._state.call(replays.listed)]

    async def wait(self, id_: int, seconds: float) -> None:
        """Waits until a replay has ended or was stopped, at most this long."""
        task = self._tasks.get(shard_of(id_)[1])
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)

    def remaining(self) -> dict[str, int]:
        """Counts, by destination, the offsets that its replay has yet to search."""
        return {row.destination: row.end - row.next for row in self._running.values()}

    async def _row(self, id_: int) -> replays.Row | None:
        shard, number = shard_of(id_)
        ours = shard == self._context.shard
        return await self._state.call(replays.one, number) if ours else None

    def _progress(self, row: replays.Row) -> Progress:
        return Progress(
            public_id(self._context.shard, row.id),
            row.destination,
            row.state,
            row.detail,
            row.end - row.first,
            row.next - row.first,
            row.replayed,
            format_ms(row.created_ms),
            msgspec.json.decode(row.request, type=Request).group,
        )

    # -- one replay ----------------------------------------------------------

    def _find(self, destination: str) -> Worker:
        worker = self._workers.get(destination)
        if worker is None:
            known = ", ".join(sorted(self._workers)) or "none"
            raise ConfigError(f"there is no destination {destination!r}; there are: {known}")
        return worker

    def _check(self, request: Request) -> Worker:
        worker = self._find(request.destination)
        target = self._context.targets[request.destination]
        if target.is_shadow:
            raise ConfigError(
                f"destination {request.destination} is a shadow, to which nothing is sent; "
                "it looks at new events only"
            )
        if not request.force and not target.idempotent:
            raise ConfigError(
                f"destination {request.destination} does not say that an event sent twice counts "
                "once: what it got before would count again; --force replays all the same"
            )
        if any(row.destination == request.destination for row in self._running.values()):
            raise ConfigError(
                f"destination {request.destination} has a replay under way: wait, or cancel it"
            )
        return worker

    def _begin(self, row: replays.Row) -> None:
        self._running[row.id] = row
        task = asyncio.create_task(self._run(row), name=f"replay {row.id}")
        self._tasks[row.id] = task
        task.add_done_callback(lambda _: self._ended(row.id))

    def _ended(self, id_: int) -> None:
        del self._tasks[id_]
        del self._running[id_]

    async def _run(self, row: replays.Row) -> None:
        request = msgspec.json.decode(row.request, type=Request)
        try:
            if not await self._send_all(row, request):
                return  # the gateway stops; the replay continues at the next start
            await self._state.call(replays.finish, row.id, "done")
        except StateError as error:
            self._log.error("replay: its end cannot be recorded", error=str(error))
        except Exception as error:  # noqa: BLE001 - a replay must not stay running, nor end in silence
            self._log.error("replay failed", destination=row.destination, exc_info=error)
            await self._state.call(replays.finish, row.id, "failed", type(error).__name__)
        else:
            self._log.info("replay is done", destination=row.destination, id=row.id)

    async def _send_all(self, row: replays.Row, request: Request) -> bool:
        """Sends the events of a replay; returns False if sending has ended before."""
        worker = self._workers[row.destination]
        loop = asyncio.get_running_loop()
        next_send = loop.time()
        reader = ReplayReader(self._store, request, row.next, row.end)
        try:
            while (batch := await reader.next()) is not None:
                await asyncio.sleep(max(0.0, next_send - loop.time()))
                if request.rate:
                    seconds = len(batch.offsets) / request.rate
                    next_send = max(next_send, loop.time()) + seconds
                lane = await self._in_lane(row.destination, batch.first, batch.next)
                outgoing = await self._select(row.destination, batch, lane)
                if not await worker.replay(outgoing, (row.id, batch.next)):
                    return False
                self._running[row.id] = replace(row, next=batch.next)
        finally:
            await reader.close()
        return True

    async def _in_lane(self, destination: str, first: int, end: int) -> set[int]:
        found = await self._state.call(replays.in_lane, destination, first, end)
        at = self._store.identity_at
        return {offset for offset, queue_id in found if queue_id in ("", at(offset)[0])}

    async def _select(self, destination: str, chosen: Chosen, without: Collection[int]) -> Outgoing:
        """Applies today's selection to the chosen events, except those at some offsets."""
        outgoing = Outgoing(0)
        selection = self._context.selections[destination].of_today()
        pairs = zip(chosen.events, chosen.offsets, strict=True)
        kept = [(event, offset) for event, offset in pairs if offset not in without]
        events, offsets = [e for e, _ in kept], [o for _, o in kept]
        suppressed = self._context.suppressed
        for users in (await asyncio.to_thread(suppressed.stored), suppressed):
            events, offsets = selection.filter_users(users, events, offsets, outgoing)
        await selection.sort(events, offsets, outgoing)
        return outgoing


def _chosen_next(reader: Reader, request: Request) -> tuple[Frame, Chosen] | None:
    """Returns the next frame with the events of it that are asked for; runs in a thread."""
    frame = reader.next()
    return None if frame is None else (frame, choose(frame, request, frame.offset, frame.end))
