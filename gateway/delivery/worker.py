"""The worker of one destination. Workers share nothing but the queue.

A worker reads batches, may send several at a time, and commits them in the order of the queue. It
handles failures in one of two ways:

* **Single events fail** while the destination works. They go to the retry lane
  (`gateway.delivery.retry_lane`), and the cursor moves on.
* **The whole destination fails.** The circuit (`gateway.delivery.circuit`) opens, the cursor stands
  still, events wait in the queue, and one probe at a time tests whether the destination is back. If
  the probe's own batch is at fault, it is cut into smaller parts until one event fails alone while
  others succeed.

Batches that were not committed when the process ends are read and sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from gateway.components.destination import Batch, BatchPolicy
from gateway.components.verdict import describe, trace_of
from gateway.delivery.attempt import send_once
from gateway.delivery.commit_order import CommitOrder
from gateway.delivery.context import WorkerContext
from gateway.delivery.failures import FailureHandler
from gateway.delivery.in_flight import NOTHING, InFlight, Item, Part
from gateway.delivery.pause import Pause, is_pause
from gateway.delivery.recorder import Recorder
from gateway.delivery.retry_lane import RetryLane
from gateway.delivery.selection import Outgoing, Selection
from gateway.delivery.sender import Condition, Target
from gateway.state import reading

__all__ = ["Worker"]

_BROKEN_WORKER_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 1.0
_CAUGHT_UP_SECONDS = 2.0


class Worker:
    """Delivers to one destination.

    Attributes:
        counts: of this destination, over all runs.
        sender: sends to the destination.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.id = context.id
        self.counts = context.counts
        self.sender = context.sender
        self._context = context
        self._batcher = context.batcher
        self._state = context.state
        self._clock = context.clock
        self._log = context.log
        self._order = context.order
        self._pause = Pause()
        self._retired = False
        self._interrupted = context.resumed
        self._recorder = Recorder(context)
        self._lane = RetryLane(context, self._recorder)
        self._commits = CommitOrder(context, self._recorder, self._lane)
        self._failures = FailureHandler(context, self._lane, self._commits)

    @property
    def cursor(self) -> int:
        """Offset of the first event that is not committed."""
        return self._commits.cursor

    @property
    def waiting(self) -> int:
        """Number of events in the retry lane."""
        return self._lane.size

    def pending(self, end: int) -> int:
        """Counts the events before `end` that have no outcome yet."""
        return end - self.cursor + self._lane.size

    @property
    def condition(self) -> Condition:
        """The condition of the destination."""
        return self.sender.condition

    @property
    def missing(self) -> int:
        """Number of events that the counts do not account for; 0 unless there is a defect."""
        counts = self.counts
        came_in = self.cursor - counts.base + counts.replayed
        return came_in - counts.finished - self._lane.size

    async def oldest_waiting_ms(self) -> int | None:
        """Returns the time when the oldest event of the retry lane first failed."""
        return await self._state.call(reading.oldest_waiting_ms, self.id)

    def look_into_lane(self) -> None:
        """Looks into the retry lane now, as events were put into it from outside."""
        self._lane.wake()

    # -- life cycle ----------------------------------------------------------

    async def run(self) -> None:
        """Delivers until `drain` was called and everything that can be delivered is."""
        try:
            while not await self._run_once():
                pass
        finally:
            self._pause.ended()
            await self._batcher.close()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Reads and sends nothing while the context is open, then reads anew from the cursor.

        Sends under way end first, and their outcomes are committed. The rest of their batches
        waits in the retry lane.
        """
        self.sender.close()
        try:
            await self.sender.idle()
            # Finished batches are committed, unless an unfinished one precedes them.
            while self._commits.busy:
                await self.sender.until_change(_LOOK_AGAIN_SECONDS)
            async with self._pause.paused():
                yield
        finally:
            self.sender.release()

    def retire(self) -> None:
        """Makes `run` end after the pause. Another worker may continue from the cursor."""
        self._retired = True

    def use(self, target: Target, max_events: int) -> None:
        """Delivers to another target from now on. The sender must be closed and idle.

        Events that were read already, and those in the retry lane, go there too.

        Args:
            max_events: most events in one send from the retry lane.
        """
        self.sender.use(target)
        self._lane.use(max_events)

    def choose(self, batch: BatchPolicy, selection: Selection) -> None:
        """Makes batches in another way from the next events on."""
        self._batcher.use(batch, selection)

    def drain(self) -> None:
        """Delivers what the queue holds, without waiting for more or for what fails."""
        self.sender.drain()

    async def _run_once(self) -> bool:
        """Delivers from the cursor on; returns False if it has to begin again."""
        self._pause.running()
        try:
            await self._session()
        except Exception as error:  # noqa: BLE001
            paused = is_pause(error)
            if paused:
                self._failures.move_rest_to_lane(self._commits, self._clock())
                await self._commits.commit_finished()
            await self._forget()
            if paused:
                await self._pause.until_over()
                return self._retired
            # A defect of the gateway must not stop a destination for good.
            self._log.error(
                "delivery failed unexpectedly", destination=self.id, trace=trace_of(error)
            )
            self.sender.fails("retrying", describe(error))
            return await self.sender.wait(_BROKEN_WORKER_SECONDS)
        return True

    async def _forget(self) -> None:
        """Drops all events in memory, to begin again at the cursor."""
        self._interrupted = True
        self._commits.clear()
        self.sender.reset()
        if self._order is not None:
            self._order.clear()
        await self._batcher.rewind(self.cursor)

    async def _catch_up(self) -> None:
        """Reads cursor and counts again if the last session may have been committing."""
        if self._interrupted:
            _, stored = await self._state.standing(self.id)
            self.counts.delivered, self.counts.replayed = stored.delivered, stored.replayed
            self._commits.cursor = (await self._state.cursors()).get(self.id, self.cursor)
            await self._batcher.rewind(self.cursor)
            self._interrupted = False

    async def _session(self) -> None:
        await self._catch_up()
        await self._lane.look(anew=True)
        async with asyncio.TaskGroup() as tasks:
            interrupt = tasks.create_task(self._pause.interrupt())
            tasks.create_task(self._lane.run())
            telling = tasks.create_task(self._tell_caught_up())
            while True:
                while not self.sender.draining.is_set() and not self._commits.has_room:
                    await self.sender.until_change(None)
                outgoing = await self._batcher.next(self.sender.draining)
                if outgoing is None:
                    break
                in_flight = self._enter(outgoing)
                self._commits.add(in_flight)
                tasks.create_task(self._deliver(in_flight))
            interrupt.cancel()
            telling.cancel()

    async def _tell_caught_up(self) -> None:
        """Tells the destination from time to time that no event waits."""
        while True:
            await asyncio.sleep(_CAUGHT_UP_SECONDS)
            done = self._batcher.exhausted and self.cursor == self._batcher.position
            if done and not self._lane.size:
                await self.sender.tell_caught_up()

    def _enter(self, outgoing: Outgoing, replay: tuple[int, int] | None = None) -> InFlight:
        """Returns the state of a batch, whose events take their places in their users' lines."""
        if self._order is not None:
            for event, offset in zip(outgoing.events, outgoing.offsets, strict=True):
                self._order.enter(offset, event.user_id, event.anonymous_id)
        return InFlight.of(outgoing, self._clock(), replay)

    async def replay(self, outgoing: Outgoing, replay: tuple[int, int]) -> bool:
        """Delivers past events once more.

        Args:
            outgoing: events before the cursor, none of which waits in the retry lane.
            replay: id of the replay, and the offset where it continues after these events.

        Returns:
            False if sending ended before all of them had an outcome.
        """
        in_flight = self._enter(outgoing, replay)
        try:
            await self._deliver(in_flight)
        finally:
            if not in_flight.done and self._order is not None:
                self._order.leave(outgoing.offsets)  # no event waits for these, as they do not come
        return in_flight.done

    # -- sending -------------------------------------------------------------

    async def _deliver(self, in_flight: InFlight) -> None:
        """Sends a batch until every event has an outcome, then commits it."""
        while in_flight.left:
            part = self._of_one_queue_id(in_flight, await self._next_part(in_flight))
            if not part:
                if self.sender.ended:
                    return
                continue
            in_flight.awaiting_turn = part
            if not await self.sender.admitted():
                return  # no later batch is committed either, so this one is read again
            await self._send(in_flight, part)
        if in_flight.replay is not None:
            in_flight.done = await self._commits.commit_replayed(in_flight)
            return
        in_flight.done = True
        await self._commits.commit_finished()

    def _of_one_queue_id(self, in_flight: InFlight, part: Part) -> Part:
        """Returns the first events of a part, which have one id of the queue; the others wait."""
        if not part:
            return part
        offsets = part.offsets
        in_order = self._order is None
        _, after = self._context.queue_id_at(offsets[0] if in_order else min(offsets))
        if after is None or (offsets[-1] if in_order else max(offsets)) < after:
            return part
        in_flight.todo.extendleft(item for item in reversed(list(part)) if item[1] >= after)
        return Part.of(item for item in part if item[1] < after)

    async def _send(self, in_flight: InFlight, part: Part) -> None:
        queue_id, _ = self._context.queue_id_at(part.offsets[0])
        batch = Batch(part.events, part.offsets, in_flight.attempts + 1, queue_id)
        failed_at = in_flight.suspects.get(batch.offsets[0]) if len(part) == 1 else None
        blame = failed_at is not None and self.sender.successes > failed_at
        verdict, attempts = await send_once(self._context, batch, blame=blame)
        in_flight.awaiting_turn = NOTHING
        in_flight.detail = verdict.detail or in_flight.detail
        in_flight.attempts += 1
        now_ms = self._clock()
        in_flight.delivered += len(part) - len(verdict.dead) - len(verdict.again)
        for place, why in verdict.dead.items():
            exchange = verdict.exchanges.get(place, "")
            in_flight.give_up(part[place], "rejected", why, now_ms, exchange)
        if verdict.whole:
            self._failures.whole_failed(in_flight, part, verdict, now_ms)
            # Recorded now, as this batch may stay unfinished for long.
            await self._recorder.record_attempts(attempts)
        else:
            in_flight.history += attempts
            in_flight.failures = 0
            if verdict.divide:
                self._failures.divide(in_flight, part)
            elif verdict.again:
                await self._failures.items_failed(in_flight, part, verdict, now_ms)
            if len(verdict.again) + len(verdict.dead) < len(part):
                in_flight.size = min(in_flight.size * 2, max(1, in_flight.left))
            self._failures.release_suspects(in_flight, now_ms)
        self._finished(in_flight, part)

    def _finished(self, in_flight: InFlight, part: Iterable[Item]) -> None:
        """Lets the events go that stand behind events of `part` which have their outcome."""
        if self._order is None:
            return
        aside = {entry.offset for entry in in_flight.waiting}
        left = {offset for _, offset in in_flight.todo}
        self._order.set_aside(aside)
        self._order.leave(o for _, o in part if o not in aside and o not in left)
        self.sender.notify()

    async def _next_part(self, in_flight: InFlight) -> Part:
        """Returns the events to send next; none if all have to wait or go to the retry lane."""
        if self._order is None:
            return in_flight.take(None)
        able = self._order.choose((offset for _, offset in in_flight.todo), len(in_flight.todo))
        if len(able) < len(in_flight.todo):
            in_flight.waves += 1
            aside = self._failures.move_blocked_to_lane(
                self._order, in_flight, set(able), self._clock()
            )
            if aside and not able:
                return NOTHING
        if not able:
            await self.sender.until_change(_LOOK_AGAIN_SECONDS)
        return in_flight.take(able[: in_flight.size])
