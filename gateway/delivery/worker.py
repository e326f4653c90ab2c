"""From the queue to one destination. One worker for each; they share nothing but the queue.

A worker reads batches, sends several of them at a time if it may, and commits them in the order of
the queue. Failures take one of two ways:

* **Single events fail** while the destination works: they go to the retry lane (`lane`) and the
  cursor moves on.
* **The destination fails as a whole**: the circuit (`circuit`) opens, the cursor stands still,
  events wait in the queue, and one probe at a time tests recovery. If the probe's batch
  itself is at fault it is cut smaller, until the event is found that fails alone while others do
  not.

What was not committed when the process ends is read and sent again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.components.destination import Batch, BatchPolicy, Destination
from gateway.components.verdict import describe, trace_of
from gateway.config.settings import DestinationSettings, RetryPolicy
from gateway.delivery.batcher import Batcher
from gateway.delivery.failures import FailureHandler
from gateway.delivery.in_flight import NOTHING, InFlight, Item, Part, attempts_of, merged, show
from gateway.delivery.ordering import UserOrder
from gateway.delivery.pause import Pause, is_pause
from gateway.delivery.recorder import Recorder
from gateway.delivery.retry_lane import RetryLane
from gateway.delivery.selection import Outgoing, Selection
from gateway.delivery.sender import Condition, Sender
from gateway.state import ALREADY_WAITING, Commit, State, reading
from gateway.state.ledger.counts import DestinationCounts
from gateway.state.live_tail import Tap

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Worker"]

_BROKEN_WORKER_SECONDS = 5.0
_UNCOMMITTED_PER_SEND = 4
_LOOK_AGAIN_SECONDS = 1.0


class Worker:
    """Delivers to one destination.

    Args:
        batcher: gives the batches; it begins at the destination's cursor.
        sender: the destination's door.
        max_events: of one send from the retry lane.
        max_concurrency: bounds how many batches may be finished and not committed.
        order: keeps the events of each user in order; None where that is not asked for.
        counts: of this destination, over all runs; kept up to date here.
        queue_id: names the queue that the offsets belong to.
        tap: where outcomes are published.
        resumed: another worker was here before, whose last commit may not be in `counts` yet.
        waiting: events in the retry lane.
    """

    def __init__(
        self,
        id_: str,
        *,
        batcher: Batcher,
        sender: Sender,
        policy: RetryPolicy,
        max_events: int,
        max_concurrency: int,
        state: State,
        counts: DestinationCounts,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        order: UserOrder | None = None,
        queue_id: str = "",
        tap: Tap | None = None,
        resumed: bool = False,
        waiting: int = 0,
    ) -> None:
        self.id = id_
        self.counts = counts
        self.cursor = batcher.position
        self._batcher = batcher
        self.sender = sender
        self._state = state
        self._clock = clock
        self._log = log
        self._order = order
        self._queue_id = queue_id
        self._tap = Tap() if tap is None else tap
        self._max_in_flight = _UNCOMMITTED_PER_SEND * max_concurrency
        self._in_flight: deque[InFlight] = deque()
        self._pause = Pause()
        self._retired = False
        self._interrupted = resumed
        self._recorder = Recorder(id_, state, sender, clock, log)
        self._committing = asyncio.Lock()
        self._lane = RetryLane(
            id_,
            policy,
            state,
            sender,
            self._record,
            counts,
            clock,
            max_events,
            order=order,
            queue_id=queue_id,
            tap=self._tap,
            size=waiting,
        )
        self._failures = FailureHandler(
            policy, self._lane, sender, counts, self._uncommitted, batcher
        )

    @property
    def waiting(self) -> int:
        """Events in the retry lane."""
        return self._lane.size

    def pending(self, end: int) -> int:
        """Events before `end` that have no outcome yet."""
        return end - self.cursor + self._lane.size

    @property
    def condition(self) -> Condition:
        """How the destination is doing."""
        return self.sender.condition

    @property
    def missing(self) -> int:
        """Events that the counts do not account for; 0 unless there is a defect."""
        counts = self.counts
        came_in = self.cursor - counts.base + counts.replayed
        return came_in - counts.finished - self._lane.size

    async def oldest_waiting_ms(self) -> int | None:
        """When the oldest event of the retry lane first failed."""
        return await self._state.call(reading.oldest_waiting_ms, self.id)

    def look_into_lane(self) -> None:
        """Somebody else has put events into the retry lane, which are to be sent now."""
        self._lane.wake()

    # -- life cycle ----------------------------------------------------------

    async def run(self) -> None:
        """Deliver until `drain` was called and everything that can be delivered is."""
        try:
            while not await self._run_once():
                pass
        finally:
            self._pause.ended()
            await self._batcher.close()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Meanwhile nothing is read or sent; then all goes on from the cursor, read anew.

        Sends under way end first, and what they came to is committed: what is left of their batches
        waits in the retry lane.
        """
        self.sender.close()
        try:
            await self.sender.idle()
            # What was sent is committed, unless something before it is unfinished.
            while self._recorder.busy or (self._in_flight and self._in_flight[0].done):
                await self.sender.until_change(_LOOK_AGAIN_SECONDS)
            async with self._pause.paused():
                yield
        finally:
            self.sender.release()

    def retire(self) -> None:
        """While `paused`: `run` ends instead of going on; another may do so from the cursor."""
        self._retired = True

    def use(
        self,
        destination: Destination,
        settings: DestinationSettings,
        batch: BatchPolicy,
        max_concurrency: int,
        secrets: Sequence[str],
    ) -> None:
        """Deliver there and so from now on; the sender is closed and idle.

        What was read already, and what waits, is delivered there too.
        """
        self.sender.use(destination, settings, max_concurrency, secrets)
        self._lane.use(settings.retry, batch.max_events)
        self._failures.use(settings.retry)
        self._max_in_flight = _UNCOMMITTED_PER_SEND * max_concurrency

    def choose(self, batch: BatchPolicy, selection: Selection) -> None:
        """Read so from the next events on."""
        self._batcher.use(batch, selection)

    def drain(self) -> None:
        """Deliver what the queue holds without waiting for more; do not wait for what fails."""
        self.sender.drain()

    async def _run_once(self) -> bool:
        """Deliver from the cursor on; False if it has to begin again."""
        self._pause.running()
        try:
            await self._session()
        except Exception as error:  # noqa: BLE001
            paused = is_pause(error)
            if paused:
                self._failures.set_down(self._in_flight, self._clock())
                await self._commit_ready()
            await self._forget()
            if paused:
                await self._pause.stand()
                return self._retired
            # A defect of ours must not end a destination for good.
            self._log.error(
                "delivery failed unexpectedly", destination=self.id, trace=trace_of(error)
            )
            self.sender.fails("retrying", describe(error))
            return await self.sender.wait(_BROKEN_WORKER_SECONDS)
        return True

    async def _forget(self) -> None:
        """Have nothing of the queue in memory, to begin again at the cursor."""
        self._interrupted = True
        self._in_flight.clear()
        self.sender.reset()
        if self._order is not None:
            self._order.clear()
        await self._batcher.rewind(self.cursor)

    async def _catch_up(self) -> None:
        if self._interrupted:  # maybe while something was being committed
            _, stored = await self._state.standing(self.id)
            self.counts.delivered, self.counts.replayed = stored.delivered, stored.replayed
            self.cursor = (await self._state.cursors()).get(self.id, self.cursor)
            await self._batcher.rewind(self.cursor)
            self._interrupted = False

    async def _session(self) -> None:
        await self._catch_up()
        await self._lane.look(anew=True)
        async with asyncio.TaskGroup() as tasks:
            interrupt = tasks.create_task(self._pause.interrupt())
            tasks.create_task(self._lane.run())
            while True:
                await self._has_room()
                outgoing = await self._batcher.next(self.sender.draining)
                if outgoing is None:
                    break
                in_flight = self._enter(outgoing)
                self._in_flight.append(in_flight)
                tasks.create_task(self._deliver(in_flight))
            interrupt.cancel()

    async def _has_room(self) -> None:
        """Wait until another batch may be read: one more than can be sent now, and bounded."""
        while not self.sender.draining.is_set():
            under_way = sum(not in_flight.done for in_flight in self._in_flight)
            if under_way <= self.sender.concurrency and len(self._in_flight) < self._max_in_flight:
                return
            await self.sender.until_change(None)

    def _enter(self, outgoing: Outgoing, replay: tuple[int, int] | None = None) -> InFlight:
        if self._order is not None:
            for event, offset in zip(outgoing.events, outgoing.offsets, strict=True):
                self._order.enter(offset, event.user_id, event.anonymous_id)
        return InFlight.of(outgoing, self._clock(), replay)

    async def replay(self, outgoing: Outgoing, replay: tuple[int, int]) -> bool:
        """Deliver events of the past once more; False where sending has ended before.

        Args:
            outgoing: of events before the cursor, none of which waits in the retry lane.
            replay: its id, and the offset that it goes on with after these.
        """
        in_flight = self._enter(outgoing, replay)
        try:
            await self._deliver(in_flight)
        finally:
            if not in_flight.done and self._order is not None:
                self._order.leave(outgoing.offsets)  # nobody is to wait for what will not come
        return in_flight.done

    # -- sending -------------------------------------------------------------

    async def _deliver(self, in_flight: InFlight) -> None:
        """See to it that every event of a batch has an outcome, then commit."""
        while in_flight.left:
            part = await self._next_part(in_flight)
            if not part:
                if self.sender.ended:
                    return
                continue
            in_flight.at_door = part
            if not await self.sender.admitted():
                return  # nothing after this batch is committed either: it is read again
            await self._send(in_flight, part)
        if in_flight.replay is not None:
            in_flight.done = await self._record(merged(self.id, [in_flight]))
            return
        in_flight.done = True
        await self._commit_ready()

    async def _send(self, in_flight: InFlight, part: Part) -> None:
        batch = Batch(part.events, part.offsets, in_flight.attempts + 1, self._queue_id)
        failed_at = in_flight.suspects.get(batch.offsets[0]) if len(part) == 1 else None
        blame = failed_at is not None and self.sender.successes > failed_at
        began_ms, began = self._clock(), asyncio.get_running_loop().time()
        verdict = await self.sender.attempt(batch, blame=blame)
        in_flight.at_door = NOTHING
        took_ms = round((asyncio.get_running_loop().time() - began) * 1000, 2)
        in_flight.detail = verdict.detail or in_flight.detail
        in_flight.attempts += 1
        now_ms = self._clock()
        happened = attempts_of(batch, verdict, began_ms, took_ms)
        if self._tap:
            show(self._tap, self.id, batch, happened)
        in_flight.delivered += len(part) - len(verdict.dead) - len(verdict.again)
        for place, why in verdict.dead.items():
            exchange = verdict.exchanges.get(place, "")
            in_flight.give_up(part[place], "rejected", why, now_ms, exchange)
        if verdict.whole:
            self._failures.whole_failed(in_flight, part, verdict, now_ms)
            # Written now, for this batch may not be finished for long.
            await self._recorder.note(happened)
        else:
            in_flight.history += happened
            in_flight.failures = 0
            if verdict.again:
                await self._failures.items_failed(in_flight, part, verdict, now_ms)
            in_flight.size = min(in_flight.size * 2, max(1, in_flight.left))
            self._failures.release_suspects(in_flight, now_ms)
        self._finished(in_flight, part)

    def _finished(self, in_flight: InFlight, part: Iterable[Item]) -> None:
        """Let go on who stands behind those of `part` that have their outcome."""
        if self._order is None:
            return
        aside = {entry.offset for entry in in_flight.waiting}
        left = {offset for _, offset in in_flight.todo}
        self._order.set_aside(aside)
        self._order.leave(o for _, o in part if o not in aside and o not in left)
        self.sender.notify()

    async def _next_part(self, in_flight: InFlight) -> Part:
        """What of a batch may be sent next; nothing where all has to wait, or goes elsewhere."""
        if self._order is None:
            return in_flight.take(None)
        able = self._order.choose((offset for _, offset in in_flight.todo), len(in_flight.todo))
        if len(able) < len(in_flight.todo):
            in_flight.waves += 1
            aside = self._failures.stand_aside(self._order, in_flight, set(able), self._clock())
            if aside and not able:
                return NOTHING
        if not able:
            await self.sender.until_change(_LOOK_AGAIN_SECONDS)
        return in_flight.take(able[: in_flight.size])

    def _uncommitted(self) -> int:
        """Events that are about to enter the retry lane."""
        return sum(len(in_flight.waiting) for in_flight in self._in_flight)

    # -- committing ----------------------------------------------------------

    async def _commit_ready(self) -> None:
        """Commit the finished batches that no unfinished one precedes."""
        async with self._committing:
            ready = []
            while self._in_flight and self._in_flight[0].done:
                ready.append(self._in_flight.popleft())
            if ready and not await self._record(merged(self.id, ready)):
                self._in_flight.extendleft(reversed(ready))
        self.sender.notify()

    async def _record(self, commit: Commit) -> bool:
        """Write outcomes and count them; False when draining gave up."""
        written = await self._recorder.write(commit)
        if written is None:
            return False
        if commit.cursor is not None:
            self.cursor = commit.cursor
        if commit.cursor is not None or commit.replay is not None:
            self._lane.added(commit.waiting, written.overlapping)
        self.counts.delivered += commit.delivered
        self.counts.filtered += Counter(commit.filtered)
        self.counts.dead += commit.dead_counts()
        self.counts.replayed += commit.replayed
        if written.overlapping:
            self.counts.filtered[ALREADY_WAITING] += written.overlapping
        if written.missing:
            self.counts.leaked += abs(written.missing)
        self._recorder.tell(commit, written)
        return True
