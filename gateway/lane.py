"""The retry lane: single events that failed while the rest of their batch did not.

They leave the road so that the cursor can move on, and wait in the state store for their next
attempt. An event is blamed for a failure only if the destination is known to work: if something
else was delivered since the event was last tried. Otherwise the destination is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.component import Batch
from gateway.event import decode_events
from gateway.ledger import DestinationCounts
from gateway.retry import Verdict
from gateway.sending import Sender
from gateway.settings import RetryPolicy
from gateway.state import Commit, DeadLetter, State, Waiting

__all__ = ["Lane"]

_LOOK_EVERY_SECONDS = 3.0  # others may put dead letters into the lane: `gateway dead retry`


class Lane:
    """Sends what waits, each event when it is due.

    Args:
        record: writes outcomes; False where sending has ended.
        counts: of the destination, of which dead letters may become fewer beside us.
        max_events: of one send.
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
    ) -> None:
        self._destination = destination
        self._policy = policy
        self._state = state
        self._sender = sender
        self._clock = clock
        self._record = record
        self._counts = counts
        self._max_events = max_events
        self._added = asyncio.Event()
        self.size = 0

    async def look(self) -> None:
        """Learn how many events wait, and how many are dead."""
        self.size, self._counts.dead = await self._state.standing(self._destination)

    def has_room(self, number: int) -> bool:
        """Whether so many more may wait."""
        return self.size + number <= self._policy.max_waiting

    def waiting(
        self, batch: Batch, verdict: Verdict, attempts: int, first_ms: int
    ) -> list[Waiting]:
        """The items of a batch that are to be tried again, as the lane keeps them."""
        now_ms = self._clock()
        return [
            Waiting.of(
                batch.events[index],
                batch.offsets[index],
                detail=verdict.again_detail.get(index, verdict.detail),
                attempts=attempts,
                first_ms=first_ms,
                last_ms=now_ms,
                next_ms=now_ms + self._delay_ms(attempts, verdict.retry_after_seconds),
            )
            for index in verdict.again
        ]

    def added(self, number: int) -> None:
        """So many were committed to the lane."""
        if number:
            self.size += number
            self._added.set()

    def _delay_ms(self, attempts: int, asked_seconds: float | None) -> int:
        return int(self._sender.delay_seconds(attempts, asked_seconds) * 1000)

    async def run(self) -> None:
        """Send what is due until sending ends."""
        while True:
            self._added.clear()
            due, next_ms = await self._state.due(self._destination, self._clock(), self._max_events)
            if due:
                if not await self._send(due):
                    return
                continue
            await self.look()
            seconds = _LOOK_EVERY_SECONDS
            if next_ms is not None:
                seconds = min(seconds, max(0.001, (next_ms - self._clock()) / 1000))
            if await self._sender.pause(seconds, self._added):
                return

    async def _send(self, due: Sequence[Waiting]) -> bool:
        # One that failed alone is sent alone, so that it takes no other down with it.
        due = due[:1] if due[0].alone else [w for w in due if not w.alone]
        if not await self._sender.admitted():
            return False
        batch = Batch(
            [decode_events(b"[" + w.event + b"]")[0] for w in due],
            [w.offset for w in due],
            max(w.attempts for w in due) + 1,
        )
        blame = len(due) == 1 and self._sender.last_success_ms > due[0].last_ms
        verdict = await self._sender.attempt(batch, blame=blame)
        now_ms = self._clock()
        commit = self._outcome(due, verdict, now_ms)
        if not await self._record(commit):
            return False
        self.size -= len(commit.settled)
        return True

    def _outcome(self, due: Sequence[Waiting], verdict: Verdict, now_ms: int) -> Commit:
        dead: list[DeadLetter] = []
        waiting: list[Waiting] = []
        retried = set(verdict.again)
        # Where the destination failed as a whole it was no attempt of theirs.
        charged = 0 if verdict.whole else 1
        for index, entry in enumerate(due):
            if index in verdict.dead:
                detail = verdict.dead[index]
                tried = entry.later(now_ms, now_ms, entry.attempts + 1, detail, entry.alone)
                dead.append(tried.dead("rejected"))
            elif index in retried:
                attempts = entry.attempts + charged
                delay_ms = self._delay_ms(max(1, attempts), verdict.retry_after_seconds)
                detail = verdict.again_detail.get(index, verdict.detail)
                alone = entry.alone or verdict.suspicious
                tried = entry.later(now_ms, now_ms + delay_ms, attempts, detail, alone)
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
        )

    def _gives_up(self, entry: Waiting, verdict: Verdict, charged: int) -> bool:
        if verdict.paused:
            return False  # settings that a person has to mend are no reason to throw it away
        too_old = entry.last_ms - entry.first_ms >= self._policy.max_age_seconds * 1000
        return too_old or (bool(charged) and entry.attempts >= self._policy.max_attempts)
