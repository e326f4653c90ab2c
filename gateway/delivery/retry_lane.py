"""The retry lane: single events that failed while the rest of their batch did not.

These events wait in the state store for their next attempt, so that the cursor can move on. An
event is blamed for a failure only if the destination is known to work: if it has accepted another
event since this one was last tried. Otherwise the destination is blamed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from heapq import nsmallest
from operator import attrgetter

from gateway.components.destination import Batch
from gateway.components.verdict import Verdict
from gateway.delivery.attempt import send_once
from gateway.delivery.context import WorkerContext
from gateway.delivery.ordering import UserOrder
from gateway.delivery.recorder import Recorder
from gateway.events.event import Event, decode_events, encode_events
from gateway.state import Attempt, Commit, DeadLetter, Waiting

__all__ = ["RetryLane"]

_position = attrgetter("position")
_LOOK_EVERY_SECONDS = 3.0  # other processes may add to the lane: `gateway dead retry`


class RetryLane:
    """Sends the waiting events, each when it is due.

    Attributes:
        size: number of waiting events, as far as is known.
    """

    def __init__(self, context: WorkerContext, recorder: Recorder) -> None:
        self.size = context.waiting
        self._context = context
        self._recorder = recorder
        self._destination = context.id
        self._state = context.state
        self._sender = context.sender
        self._clock = context.clock
        self._counts = context.counts
        self._max_events = context.max_events
        self._order = context.order
        self._due_ms: dict[int, int] = {}  # of all waiting events, where there is an order
        self._successes_at: dict[int, int] = {}  # offset: successes when the event last failed
        self._added = asyncio.Event()

    def use(self, max_events: int) -> None:
        """Sets the most events of one send from now on."""
        self._max_events = max_events

    async def look(self, *, anew: bool = False) -> None:
        """Reads from the state store how many events wait and how many are dead.

        Args:
            anew: forget what was known before.
        """
        self.size, stored = await self._state.standing(self._destination)
        # Commands that work on the file, such as `gateway dead retry`, move events between dead
        # letters and the lane while the gateway runs.
        self._counts.dead, self._counts.filtered = stored.dead, stored.filtered
        if self._order is not None and (anew or self.size != len(self._due_ms)):
            await self._learn_order(self._order)

    async def _learn_order(self, order: UserOrder) -> None:
        """Enters all waiting events into their users' lines, also those that others added."""
        rows = await self._state.waiting_index(self._destination)
        self._due_ms = {offset: due_ms for offset, due_ms, _, _ in rows}
        for offset, _, user_id, anonymous_id in rows:
            order.enter(offset, user_id, anonymous_id)
        order.set_aside(self._due_ms)

    def wake(self) -> None:
        """Makes the lane look again at what is due."""
        self._added.set()

    def has_room(self, number: int) -> bool:
        """Returns True if this many more events may wait."""
        return self.size + number <= self._sender.retry.max_waiting

    def added(self, entries: Sequence[Waiting], overlapping: int) -> None:
        """Notes events that were committed to the lane.

        Args:
            overlapping: how many of them were in the lane before.
        """
        if entries:
            self.size += len(entries) - overlapping
            for entry in entries:
                self._successes_at.setdefault(entry.offset, self._sender.successes)
            if self._order is not None:
                self._due_ms.update((entry.offset, entry.next_ms) for entry in entries)
            self._added.set()

    def _delay_ms(self, attempts: int, asked_seconds: float | None) -> int:
        return int(self._sender.delay_seconds(attempts, asked_seconds) * 1000)

    async def run(self) -> None:
        """Sends what is due until sending ends."""
        while True:
            self._added.clear()
            await self.look()
            due, next_ms = await self._due(self._clock())
            if due:
                if not await self._send(due):
                    return
                continue
            seconds = _LOOK_EVERY_SECONDS
            if next_ms is not None:
                seconds = min(seconds, max(0.001, (next_ms - self._clock()) / 1000))
            if await self._sender.wait(seconds, self._added):
                return

    async def _due(self, now_ms: int) -> tuple[list[Waiting], int | None]:
        """Returns the events to send now; if there are none, the time of the next one."""
        # Twice the longest wait. An event that is due later was put here before the clock was set
        # back; it is sent now.
        latest_ms = now_ms + int(self._sender.retry.max_seconds * 2000)
        if self._order is None:
            return await self._state.due(self._destination, now_ms, self._max_events, latest_ms)
        ready = sorted(
            offset
            for offset, due_ms in self._due_ms.items()
            if due_ms <= now_ms or due_ms > latest_ms
        )
        chosen = self._choose(self._order, ready)
        entries = await self._state.waiting_at(self._destination, chosen) if chosen else []
        if entries:
            return entries, None
        first_in_line = [o for o in self._due_ms if not self._order.behind(o)]
        return [], min((self._due_ms[offset] for offset in first_in_line), default=None)

    def _choose(self, order: UserOrder, ready: list[int]) -> list[int]:
        """Returns as many of these as may go together, those that have been due longest."""
        able = order.choose(ready, len(ready))
        if len(able) <= self._max_events:
            return able
        longest = sorted(nsmallest(self._max_events, able, key=self._due_ms.__getitem__))
        # An event behind one that is not chosen cannot go.
        return order.choose(longest, len(longest)) or able[: self._max_events]

    async def _send(self, due: Sequence[Waiting]) -> bool:
        due = self._together(due)
        if due[0].untransformed:
            return await self._transform(due)
        if not await self._sender.admitted():
            return False
        batch = Batch(
            [_event(w) for w in due],
            [w.position for w in due],
            max(w.attempts for w in due) + 1,
            self._queue_id(due[0]),
        )
        # Successes before this run are not known. The event is tried once before it is blamed.
        failed_at = self._successes_at.get(due[0].offset, self._sender.successes)
        blame = len(due) == 1 and self._sender.successes > failed_at
        verdict, attempts = await send_once(self._context, batch, blame=blame)
        if due[0].place is not None:
            attempts = []  # another event has its offset by now
        commit = self._outcome(due, verdict, attempts, self._clock())
        if await self._recorder.record(commit) is None:
            return False
        self._recorded(commit)
        return True

    async def _transform(self, due: Sequence[Waiting]) -> bool:
        """Runs the transforms that failed on these events before; those that are left are due."""
        events = [_event(entry) for entry in due]
        done = await self._context.batcher.transform(events, [entry.offset for entry in due])
        now_ms = self._clock()
        left = dict(zip(done.offsets, done.events, strict=True))
        failed = {letter.offset: letter for letter in done.dead}
        commit = Commit(
            self._destination,
            filtered={rule: len(offsets) for rule, offsets in done.filtered.items()},
            dead=[
                replace(entry, detail=failed[entry.offset].detail, last_ms=now_ms).dead("transform")
                for entry in due
                if entry.offset in failed
            ],
            waiting=[
                replace(entry, event=encode_events([left[entry.offset]])[1:-1], untransformed=False)
                for entry in due
                if entry.offset in left
            ],
            settled=[entry.offset for entry in due if entry.offset not in left],
        )
        if await self._recorder.record(commit) is None:
            return False
        self._recorded(commit)
        return True

    def _together(self, due: Sequence[Waiting]) -> Sequence[Waiting]:
        """Returns those of the due events that go into the next send."""
        # An event that failed alone is sent alone, so that no other fails with it. Turns go by
        # time, or two events that bring the destination down would take all turns.
        order = self._order
        heads = due if order is None else [w for w in due if not order.behind(w.offset)]
        first = min(heads, key=lambda waiting: waiting.next_ms)
        due = [first] if first.alone else [w for w in due if not w.alone]
        if order is not None:
            able = order.choose([w.offset for w in due], len(due))
            due = [w for w in due if w.offset in able]
        queue_id = self._queue_id(min(due, key=_position))
        alike = (w for w in due if self._queue_id(w) == queue_id)
        chosen = sorted(alike, key=_position)
        return [w for w in chosen if w.untransformed == chosen[0].untransformed]

    def _queue_id(self, entry: Waiting) -> str:
        return entry.queue_id or self._context.queue_id_at(entry.position)[0]

    def _recorded(self, commit: Commit) -> None:
        self.size -= len(commit.settled)
        for entry in commit.waiting:
            self._successes_at[entry.offset] = self._sender.successes
        for offset in commit.settled:
            self._successes_at.pop(offset, None)
        if self._order is not None:
            for offset in commit.settled:
                self._due_ms.pop(offset, None)
            self._due_ms.update((entry.offset, entry.next_ms) for entry in commit.waiting)
            self._order.leave(commit.settled)
            self._sender.notify()

    def _outcome(
        self, due: Sequence[Waiting], verdict: Verdict, attempts: list[Attempt], now_ms: int
    ) -> Commit:
        dead: list[DeadLetter] = []
        waiting: list[Waiting] = []
        retried = set(verdict.again)
        # A failure of the whole destination does not count as an attempt of these events.
        charged = 0 if verdict.whole or verdict.divide else 1
        for index, entry in enumerate(due):
            if index in verdict.dead:
                detail = verdict.dead[index]
                exchange = verdict.exchanges.get(index, "")
                tried = entry.later(
                    now_ms, now_ms, entry.attempts + 1, detail, entry.alone, exchange
                )
                dead.append(tried.dead("rejected"))
            elif index in retried:
                failures = entry.attempts + charged
                delay_ms = 0
                if not verdict.divide:
                    delay_ms = self._delay_ms(max(1, failures), verdict.retry_after_seconds)
                detail = verdict.again_detail.get(index, verdict.detail)
                alone = entry.alone or verdict.suspicious or verdict.divide
                exchange = verdict.exchanges.get(index, "")
                tried = entry.later(now_ms, now_ms + delay_ms, failures, detail, alone, exchange)
                if self._gives_up(tried, verdict, charged):
                    dead.append(tried.dead("expired"))
                else:
                    waiting.append(tried)
        kept = {entry.offset for entry in waiting}
        settled = [entry.offset for entry in due if entry.offset not in kept]
        return Commit(
            self._destination,
            delivered=len(due) - len(verdict.dead) - len(verdict.again),
            dead=dead,
            waiting=waiting,
            settled=settled,
            attempts=attempts,
        )

    def _gives_up(self, entry: Waiting, verdict: Verdict, charged: int) -> bool:
        if verdict.divide:
            return False
        if verdict.paused:
            return False  # the settings are wrong, and a person has to correct them: keep the event
        policy = self._sender.retry
        too_old = entry.last_ms - entry.first_ms >= policy.max_age_seconds * 1000
        return too_old or (bool(charged) and entry.attempts >= policy.max_attempts)


def _event(entry: Waiting) -> Event:
    return decode_events(b"[" + entry.event + b"]")[0]
