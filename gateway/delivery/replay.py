"""Replays: events of the past delivered to one destination once more.

A replay reads the queue's retained events from the oldest on, chooses those that were asked for,
and hands them to the destination's worker, which sends, retries and counts them as it does with new
ones. What the worker commits holds how far the replay has come, in one transaction, so that after a
crash it goes on with the next event. Consent, suppression and transforms are those of today.

Events that the destination has yet to get, in the queue or in its retry lane, are left out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct, field

from gateway.components.store import Frame, Store
from gateway.config.data_dir import public_id, shard_of
from gateway.delivery.selection import Outgoing, Selection
from gateway.delivery.worker import Worker
from gateway.errors import ConfigError, StateError
from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event
from gateway.events.timestamps import format_ms
from gateway.state import State, replays

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger
from gateway.delivery.replay_request import Plan, Progress, Request

__all__ = ["Replays", "Target"]

_MOST_EVENTS = 500
_MOST_READ = 20_000
_CLOCK_MARGIN_MS = 3_600_000


class Target(Protocol):
    """What a replay needs to know of its destination."""

    @property
    def idempotent(self) -> bool:
        """Whether an event that is sent twice counts once."""

    @property
    def is_shadow(self) -> bool:
        """Whether nothing is sent to it."""


class _Chosen(Struct):
    events: list[Event] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


class Replays:
    """All replays of a gateway.

    Args:
        workers, selections, targets: of the destinations, by id.
        suppressed: users whose events are kept back.
        shard: whose queue it is; it gives the replays' ids.
    """

    def __init__(
        self,
        store: Store,
        state: State,
        workers: Mapping[str, Worker],
        selections: Mapping[str, Selection],
        targets: Mapping[str, Target],
        suppressed: Collection[str],
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        shard: int = 0,
    ) -> None:
        self._store = store
        self._shard = shard
        self._state = state
        self._workers = workers
        self._selections = selections
        self._targets = targets
        self._suppressed = suppressed
        self._clock = clock
        self._log = log
        self._beginning = asyncio.Lock()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._running: dict[int, replays.Row] = {}

    async def resume(self) -> None:
        """Go on with what was running when the process ended."""
        for row in await self._state.call(replays.listed):
            here = row.destination in self._workers and row.id not in self._running
            if row.state == "running" and here:
                self._begin(row)

    async def stop(self, destination: str | None = None) -> None:
        """Leave off, all of them or those to a destination; `resume` goes on. Safe twice."""
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
        """Begin a replay.

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
                self._clock(),
            )
            self._begin(row)
        return self._progress(row)

    async def plan(self, request: Request) -> Plan:
        """What a replay would do, without doing it."""
        worker = self._find(request.destination)
        plan = Plan()
        names: Counter[str] = Counter()
        reader = self._store.reader(self._store.status().first)
        try:
            while (frame := await asyncio.to_thread(reader.next)) is not None:
                chosen = _choose(frame, request, frame.offset, frame.end)
                behind = {o for o in chosen.offsets if o >= worker.cursor}
                behind |= await self._in_lane(request.destination, frame.offset, frame.end)
                plan.pending += len(behind.intersection(chosen.offsets))
                sorted_ = self._sort(request.destination, chosen, behind)
                names.update(event.event or event.type for event in sorted_.events)
                plan.chosen += sum(offset not in behind for offset in chosen.offsets)
                for rule, offsets in sorted_.filtered.items():
                    plan.kept_back[rule] = plan.kept_back.get(rule, 0) + len(offsets)
        finally:
            await asyncio.to_thread(reader.close)
        plan.names = dict(names.most_common())
        return plan

    async def cancel(self, id_: int) -> Progress | None:
        """End a replay for good; None if there is none with this id."""
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
        """How far a replay has come."""
        row = await self._row(id_)
        return self._progress(row) if row else None

    async def all(self) -> list[Progress]:
        """The newest replays first."""
        return [self._progress(row) for row in await self._state.call(replays.listed)]

    async def wait(self, id_: int, seconds: float) -> None:
        """Until a replay has ended or was left off, or so long."""
        task = self._tasks.get(shard_of(id_)[1])
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)

    def remaining(self) -> dict[str, int]:
        """Destination to events of the queue that its replay has yet to look at."""
        return {row.destination: row.end - row.next for row in self._running.values()}

    async def _row(self, id_: int) -> replays.Row | None:
        shard, number = shard_of(id_)
        return await self._state.call(replays.one, number) if shard == self._shard else None

    def _progress(self, row: replays.Row) -> Progress:
        return Progress(
            public_id(self._shard, row.id),
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
        if self._targets[request.destination].is_shadow:
            raise ConfigError(
                f"destination {request.destination} is a shadow, to which nothing is sent; "
                "it looks at new events only"
            )
        if not request.force and not self._targets[request.destination].idempotent:
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
                return  # the gateway stops: it goes on at the next start
            await self._state.call(replays.finish, row.id, "done")
        except StateError as error:
            self._log.error("replay: its end cannot be written down", error=str(error))
        except Exception as error:  # noqa: BLE001 - it must not go on for ever, nor end in silence
            self._log.error("replay failed", destination=row.destination, exc_info=error)
            await self._state.call(replays.finish, row.id, "failed", type(error).__name__)
        else:
            self._log.info("replay is done", destination=row.destination, id=row.id)

    async def _send_all(self, row: replays.Row, request: Request) -> bool:
        worker = self._workers[row.destination]
        loop = asyncio.get_running_loop()
        next_send = loop.time()
        reader = self._store.reader(row.next)
        left = _Chosen()
        reached = row.next
        try:
            while reached < row.end or left.events:
                if len(left.events) < _MOST_EVENTS and reached < row.end:
                    frame = await asyncio.to_thread(reader.next)
                    if frame is None or frame.offset >= row.end:
                        reached = row.end
                    else:
                        more = _choose(frame, request, row.next, row.end)
                        left.events += more.events
                        left.offsets += more.offsets
                        reached = min(frame.end, row.end)
                    more_to_come = reached < row.end and reached - row.next < _MOST_READ
                    if len(left.events) < _MOST_EVENTS and more_to_come:
                        continue
                # A slow rate is a steady trickle, not a large batch now and then.
                most = max(1, min(_MOST_EVENTS, int(request.rate or _MOST_EVENTS)))
                number = min(most, len(left.events))
                part = _Chosen(left.events[:number], left.offsets[:number])
                left = _Chosen(left.events[number:], left.offsets[number:])
                goes_on = left.offsets[0] if left.offsets else reached
                await asyncio.sleep(max(0.0, next_send - loop.time()))
                if request.rate:
                    next_send = max(next_send, loop.time()) + number / request.rate
                lane = await self._in_lane(row.destination, row.next, goes_on)
                outgoing = self._sort(row.destination, part, lane)
                if not await worker.replay(outgoing, (row.id, goes_on)):
                    return False
                row = replace(row, next=goes_on)
                self._running[row.id] = row
        finally:
            await asyncio.to_thread(reader.close)
        return True

    async def _in_lane(self, destination: str, first: int, end: int) -> set[int]:
        return await self._state.call(replays.in_lane, destination, first, end)

    def _sort(self, destination: str, chosen: _Chosen, without: Collection[int]) -> Outgoing:
        outgoing = Outgoing(0)
        selection = self._selections[destination].of_today()
        pairs = zip(chosen.events, chosen.offsets, strict=True)
        kept = [(event, offset) for event, offset in pairs if offset not in without]
        events, offsets = selection.keep_back(
            self._suppressed, [e for e, _ in kept], [o for _, o in kept], outgoing
        )
        selection.sort(events, offsets, outgoing)
        return outgoing


def _choose(frame: Frame, request: Request, first: int, end: int) -> _Chosen:
    """The events of a frame that are asked for, at offsets from `first` to before `end`."""
    chosen = _Chosen()
    # Events are written after they were received; a clock that was set back may say otherwise.
    if frame.time_ms < request.from_ms - _CLOCK_MARGIN_MS:
        return chosen
    for offset, event in enumerate(stored_events(frame.payload), frame.offset):
        if first <= offset < end and request.chooses(event):
            chosen.events.append(event)
            chosen.offsets.append(offset)
    return chosen
