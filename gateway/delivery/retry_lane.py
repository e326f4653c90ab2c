"""The retry lane: single events that failed while the rest of their batch did not.

They leave the road so that the cursor can move on, and wait in the state store for their next
attempt. An event is blamed for a failure only if the destination is known to work: if something
else was delivered since the event was last tried. Otherwise the destination is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from heapq import nsmallest

from gateway.components.destination import Batch
from gateway.components.verdict import Verdict
from gateway.config.settings import RetryPolicy
from gateway.delivery.in_flight import attempts_of, show
from gateway.delivery.ordering import UserOrder
from gateway.delivery.sender import Sender
from gateway.events.event import decode_events
from gateway.state import Attempt, Commit, DeadLetter, State, Waiting
from gateway.state.ledger.counts import DestinationCounts
from gateway.state.live_tail import Tap

__all__ = ["RetryLane"]

_LOOK_EVERY_SECONDS = 3.0  # others may put dead letters into the lane: `gateway dead retry`


class RetryLane:
    """Sends what waits, each event when it is due.

    Args:
        record: writes outcomes; False where sending has ended.
        counts: of the destination, of which dead letters may become fewer beside us.
        max_events: of one send.
        order: keeps the events of each user in order; None where that is not asked for.
        queue_id: names the queue that the offsets belong to.
        tap: where outcomes are published.
        size: how many events wait, as far as is known.
    """

    def __init__(
        self,
        destination: str,
        policy: RetryPolicy,
        state: State,
        sender: Sender,
        record: Callable[[Commit], Awaitable[bool]],
        counts: DestinationCounts,
        clock: Callable[[], int],
        max_events: int,
        *,
        order: UserOrder | None = None,
        queue_id: str = "",
        tap: Tap | None = None,
        size: int = 0,
    ) -> None:
        self._destination = destination
        self._policy = policy
        self._state = state
        self._sender = sender
        self._clock = clock
        self._record = record
        self._counts = counts
        self._max_events = max_events
        self._order = order
        self._queue_id = queue_id
        self._tap = Tap() if tap is None else tap
        self._due_ms: dict[int, int] = {}  # of all that waits, where there is an order
        self._successes_at: dict[int, int] = {}  # offset to the successes when it last failed
        self._added = asyncio.Event()
        self.size = size

    def use(self, policy: RetryPolicy, max_events: int) -> None:
        """Go by these from now on."""
        self._policy = policy
        self._max_events = max_events

    async def look(self, *, anew: bool = False) -> None:
        """Learn how many events wait, and how many are dead.

        Args:
            anew: whether nothing that was known before counts.
        """
        self.size, stored = await self._state.standing(self._destination)
        # Commands that work on the file, such as `gateway dead retry`, move events from one to the
        # other beside us.
        self._counts.dead, self._counts.filtered = stored.dead, stored.filtered
        if self._order is not None and (anew or self.size != len(self._due_ms)):
            await self._learn_order(self._order)

    async def _learn_order(self, order: UserOrder) -> None:
        """Put all that waits in its user's line; it may have been put into the lane beside us."""
        rows = await self._state.waiting_index(self._destination)
        self._due_ms = {offset: due_ms for offset, due_ms, _, _ in rows}
        for offset, _, user_id, anonymous_id in rows:
            order.enter(offset, user_id, anonymous_id)
        order.set_aside(self._due_ms)

    def wake(self) -> None:
        """Look again at what is due."""
        self._added.set()

    def has_room(self, number: int) -> bool:
        """Whether so many more may wait."""
        return self.size + number <= self._policy.max_waiting

    def added(self, entries: Sequence[Waiting], overlapping: int) -> None:
        """These were committed to the lane, so many of which were in it before."""
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
        """Send what is due until sending ends."""
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
        """Events whose time and turn has come; if none has, the time of the next one."""
        # Twice the longest wait: what is to wait for longer was put here by a clock set back since.
        latest_ms = now_ms + int(self._policy.max_seconds * 2000)
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
        """Of these, as many as may go together: those that have been due for longest."""
        able = order.choose(ready, len(ready))
        if len(able) <= self._max_events:
            return able
        longest = sorted(nsmallest(self._max_events, able, key=self._due_ms.__getitem__))
        # What stands behind one that is not among them cannot go.
        return order.choose(longest, len(longest)) or able[: self._max_events]

    async def _send(self, due: Sequence[Waiting]) -> bool:
        # One that failed alone is sent alone, so that it takes no other down with it. Whose turn it
        # is goes by time, or two that bring the destination down would take all turns.
        order = self._order
        heads = due if order is None else [w for w in due if not order.behind(w.offset)]
        first = min(heads, key=lambda waiting: waiting.next_ms)
        due = [first] if first.alone else [w for w in due if not w.alone]
        if order is not None:
            able = order.choose([w.offset for w in due], len(due))
            due = [w for w in due if w.offset in able]
        if not await self._sender.admitted():
            return False
        batch = Batch(
            [decode_events(b"[" + w.event + b"]")[0] for w in due],
            [w.offset for w in due],
            max(w.attempts for w in due) + 1,
            self._queue_id,
        )
        # Of what failed in an earlier run nothing is known: it is heard once before it is blamed.
        failed_at = self._successes_at.get(due[0].offset, self._sender.successes)
        blame = len(due) == 1 and self._sender.successes > failed_at
        began_ms, began = self._clock(), asyncio.get_running_loop().time()
        verdict = await self._sender.attempt(batch, blame=blame)
        took_ms = round((asyncio.get_running_loop().time() - began) * 1000, 2)
        attempts = attempts_of(batch, verdict, began_ms, took_ms)
        if self._tap:
            show(self._tap, self._destination, batch, attempts)
        commit = self._outcome(due, verdict, attempts, self._clock())
        if not await self._record(commit):
            return False
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
        return True

    def _outcome(
        self, due: Sequence[Waiting], verdict: Verdict, attempts: list[Attempt], now_ms: int
    ) -> Commit:
        dead: list[DeadLetter] = []
        waiting: list[Waiting] = []
        retried = set(verdict.again)
        # Where the destination failed as a whole it was no attempt of theirs.
        charged = 0 if verdict.whole else 1
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
                delay_ms = self._delay_ms(max(1, failures), verdict.retry_after_seconds)
                detail = verdict.again_detail.get(index, verdict.detail)
                alone = entry.alone or verdict.suspicious
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
        if verdict.paused:
            return False  # settings that a person has to mend are no reason to throw it away
        too_old = entry.last_ms - entry.first_ms >= self._policy.max_age_seconds * 1000
        return too_old or (bool(charged) and entry.attempts >= self._policy.max_attempts)
