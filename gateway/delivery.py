"""From the queue to one destination. One worker for each; they share nothing but the queue.

A worker reads batches, sends several of them at a time if it may, and commits them in the order of
the queue. Failures take one of two ways:

* **Single events fail** while the destination works: they go to the retry lane (`gateway.lane`) and
  the cursor moves on.
* **The destination fails as a whole**: the circuit (`gateway.circuit`) opens, the cursor stands
  still, events wait in the queue, and one probe at a time tests recovery. If the probe's batch
  itself is at fault it is cut smaller, until the event is found that fails alone while others do
  not.

What was not committed when the process ends is read and sent again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.collect import Collector, Outgoing
from gateway.component import Batch
from gateway.errors import StateError
from gateway.event import Event
from gateway.lane import Lane
from gateway.ledger import DestinationCounts
from gateway.retry import Verdict, describe, trace_of
from gateway.sending import Condition, Sender
from gateway.settings import RetryPolicy
from gateway.state import Commit, DeadLetter, State, Waiting

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Worker"]

_BROKEN_WORKER_SECONDS = 5.0
_FAILURES_BEFORE_CUTTING = 3
_UNCOMMITTED_PER_SEND = 4


@dataclass(slots=True)
class _Ticket:
    """A batch on its way, and what became of its events so far.

    Attributes:
        todo: events without an outcome yet, with their offsets.
        size: how many of them go into one send.
        attempts: sends so far.
        blamed: those in which single events failed.
        failures: of the destination as a whole, in a row.
        suspects: events that failed alone, by offset, with the count of successes at that time.
        detail: the last error.
    """

    outgoing: Outgoing
    first_ms: int
    todo: deque[tuple[Event, int]]
    size: int
    attempts: int = 0
    blamed: int = 0
    failures: int = 0
    suspects: dict[int, int] = field(default_factory=dict)
    detail: str = ""
    delivered: int = 0
    dead: list[DeadLetter] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    done: bool = False


class Worker:
    """Delivers to one destination.

    Args:
        collector: gives the batches; it begins at the destination's cursor.
        sender: the destination's door.
        max_events: of one send from the retry lane.
        max_concurrency: bounds how many batches may be finished and not committed.
        counts: of this destination, over all runs; kept up to date here.
    """

    def __init__(
        self,
        id_: str,
        *,
        collector: Collector,
        sender: Sender,
        policy: RetryPolicy,
        max_events: int,
        max_concurrency: int,
        state: State,
        counts: DestinationCounts,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self.id = id_
        self.counts = counts
        self.cursor = collector.position
        self._collector = collector
        self._sender = sender
        self._policy = policy
        self._state = state
        self._clock = clock
        self._log = log
        self._max_tickets = _UNCOMMITTED_PER_SEND * max_concurrency
        self._tickets: deque[_Ticket] = deque()
        self._committing = asyncio.Lock()
        self._lane = Lane(id_, policy, state, sender, self._record, counts, clock, max_events)

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
        return self._sender.condition

    @property
    def concurrency(self) -> int:
        """Sends that may be under way now."""
        return self._sender.concurrency

    # -- life cycle ----------------------------------------------------------

    async def run(self) -> None:
        """Deliver until `drain` was called and everything that can be delivered is."""
        try:
            while not await self._run_once():
                pass
        finally:
            await self._collector.close()

    def drain(self) -> None:
        """Deliver what the queue holds without waiting for more; do not wait for what fails."""
        self._sender.drain()

    async def _run_once(self) -> bool:
        """Deliver from the cursor on; False if it has to begin again."""
        try:
            await self._session()
        except Exception as error:  # noqa: BLE001
            # A defect of ours must not end a destination for good.
            self._log.error(
                "delivery failed unexpectedly", destination=self.id, trace=trace_of(error)
            )
            self._sender.fails("retrying", describe(error))
            self._tickets.clear()
            self._sender.reset()
            await self._collector.rewind(self.cursor)
            return await self._sender.pause(_BROKEN_WORKER_SECONDS)
        return True

    async def _session(self) -> None:
        await self._lane.look()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lane.run())
            while True:
                await self._has_room()
                outgoing = await self._collector.next(self._sender.draining)
                if outgoing is None:
                    break
                ticket = _Ticket(
                    outgoing,
                    self._clock(),
                    deque(zip(outgoing.events, outgoing.offsets, strict=True)),
                    len(outgoing.events),
                )
                self._tickets.append(ticket)
                tasks.create_task(self._deliver(ticket))

    async def _has_room(self) -> None:
        """Wait until another batch may be read: one more than can be sent now, and bounded."""
        while not self._sender.draining.is_set():
            under_way = sum(not ticket.done for ticket in self._tickets)
            if under_way <= self._sender.concurrency and len(self._tickets) < self._max_tickets:
                return
            await self._sender.until_change(None)

    # -- sending -------------------------------------------------------------

    async def _deliver(self, ticket: _Ticket) -> None:
        """See to it that every event of a batch has an outcome, then commit."""
        while ticket.todo:
            if not await self._sender.admitted():
                return  # nothing after this batch is committed either: it is read again
            part = [ticket.todo.popleft() for _ in range(min(ticket.size, len(ticket.todo)))]
            batch = Batch([e for e, _ in part], [o for _, o in part], ticket.attempts + 1)
            failed_at = ticket.suspects.get(batch.offsets[0]) if len(part) == 1 else None
            blame = failed_at is not None and self._sender.successes > failed_at
            verdict = await self._sender.attempt(batch, blame=blame)
            ticket.detail = verdict.detail or ticket.detail
            ticket.attempts += 1
            now_ms = self._clock()
            ticket.delivered += len(part) - len(verdict.dead) - len(verdict.again)
            ticket.dead += [
                self._dead(ticket, *part[i], "rejected", why, now_ms)
                for i, why in verdict.dead.items()
            ]
            if verdict.whole:
                self._whole_failed(ticket, [part[i] for i in verdict.again], verdict, now_ms)
            else:
                ticket.failures = 0
                if verdict.again:
                    await self._set_aside(ticket, batch, verdict)
                ticket.size = min(ticket.size * 2, max(1, len(ticket.todo)))
                self._release_suspects(ticket)
        ticket.done = True
        await self._commit_ready()

    def _whole_failed(
        self, ticket: _Ticket, again: list[tuple[Event, int]], verdict: Verdict, now_ms: int
    ) -> None:
        self.counts.retried += len(again)
        ticket.failures += 1
        too_old = now_ms - ticket.first_ms >= self._policy.max_age_seconds * 1000
        if too_old and not verdict.paused:
            ticket.dead += [
                self._dead(ticket, *item, "expired", verdict.detail, now_ms) for item in again
            ]
        elif not verdict.suspicious:
            ticket.todo.extendleft(reversed(again))
        elif len(again) == 1 and ticket.size == 1:
            # Either the destination is down, or this event brings it down. Another goes next: if
            # that is delivered, it was the event.
            ticket.suspects[again[0][1]] = self._sender.successes
            ticket.todo.extend(again)
        else:
            ticket.todo.extendleft(reversed(again))
            if ticket.failures >= _FAILURES_BEFORE_CUTTING:
                ticket.size = max(1, min(ticket.size, len(again)) // 2)

    async def _set_aside(self, ticket: _Ticket, batch: Batch, verdict: Verdict) -> None:
        """Items that failed on their own go to the retry lane; if that is full, they stay here."""
        ticket.blamed += 1
        if ticket.blamed >= self._policy.max_attempts:
            now_ms = self._clock()
            ticket.dead += [
                self._dead(
                    ticket,
                    batch.events[i],
                    batch.offsets[i],
                    "expired",
                    verdict.again_detail.get(i, verdict.detail),
                    now_ms,
                )
                for i in verdict.again
            ]
            return
        self.counts.retried += len(verdict.again)
        uncommitted = sum(len(t.waiting) for t in self._tickets)
        if self._lane.has_room(uncommitted + len(verdict.again)):
            ticket.waiting += self._lane.waiting(batch, verdict, ticket.blamed, ticket.first_ms)
            return
        ticket.todo.extendleft((batch.events[i], batch.offsets[i]) for i in reversed(verdict.again))
        await self._sender.pause(
            self._sender.delay_seconds(ticket.blamed, verdict.retry_after_seconds)
        )

    def _release_suspects(self, ticket: _Ticket) -> None:
        """Events that failed alone while another was delivered wait in the lane, alone."""
        guilty = [o for o, at in ticket.suspects.items() if self._sender.successes > at]
        now_ms = self._clock()
        for item in [item for item in ticket.todo if item[1] in guilty]:
            if not self._lane.has_room(1 + sum(len(t.waiting) for t in self._tickets)):
                return
            ticket.todo.remove(item)
            del ticket.suspects[item[1]]
            delay_ms = int(self._sender.delay_seconds(1, None) * 1000)
            ticket.waiting.append(
                Waiting.of(
                    *item,
                    detail=ticket.detail,
                    attempts=1,
                    first_ms=ticket.first_ms,
                    last_ms=now_ms,
                    next_ms=now_ms + delay_ms,
                    alone=True,
                )
            )

    def _dead(
        self,
        ticket: _Ticket,
        event: Event,
        offset: int,
        reason: str,
        detail: str,
        now_ms: int,
    ) -> DeadLetter:
        return DeadLetter.of(
            event, offset, reason, detail, ticket.attempts, ticket.first_ms, now_ms
        )

    # -- committing ----------------------------------------------------------

    async def _commit_ready(self) -> None:
        """Commit the finished batches that no unfinished one precedes."""
        async with self._committing:
            ready = []
            while self._tickets and self._tickets[0].done:
                ready.append(self._tickets.popleft())
            if ready and not await self._record(self._merged(ready)):
                self._tickets.extendleft(reversed(ready))
        self._sender.notify()

    def _merged(self, tickets: list[_Ticket]) -> Commit:
        filtered: Counter[str] = Counter()
        for ticket in tickets:
            filtered += ticket.outgoing.filtered
        return Commit(
            self.id,
            tickets[-1].outgoing.cursor,
            sum(ticket.delivered for ticket in tickets),
            filtered,
            [letter for t in tickets for letter in (*t.outgoing.dead, *t.dead)],
            sum(ticket.outgoing.lost for ticket in tickets),
            [entry for ticket in tickets for entry in ticket.waiting],
        )

    async def _record(self, commit: Commit) -> bool:
        """Write outcomes, however often it takes; False when draining gave up."""
        attempt = 0
        while True:
            try:
                await self._state.commit(commit)
                break
            except StateError as error:
                attempt += 1
                self._sender.fails("retrying", f"outcomes cannot be recorded: {error}")
                if await self._sender.pause(self._sender.delay_seconds(attempt, None)):
                    return False
        if attempt:
            self._sender.succeeds()
        if commit.cursor is not None:
            self.cursor = commit.cursor
            self._lane.added(len(commit.waiting))
        self.counts.delivered += commit.delivered
        self.counts.filtered += Counter(commit.filtered)
        self.counts.dead += commit.dead_counts()
        if commit.dead or commit.lost:
            self._log.warning(
                "events became dead letters",
                destination=self.id,
                reasons=dict(commit.dead_counts()),
                detail=commit.dead[0].detail if commit.dead else "damaged in the queue",
            )
        return True
