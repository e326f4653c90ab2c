"""From the queue to one destination: read, filter, batch, send, commit. One worker for each.

A worker shares nothing with the others but the queue, which it reads at its own pace, so that a
destination that hangs or fails costs the others nothing. A batch is committed as a whole, once each
of its events was delivered, filtered or made a dead letter; after a crash it is sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gateway.chain import Chain
from gateway.component import Batch, BatchPolicy, Destination
from gateway.config import DestinationSettings
from gateway.errors import Retryable, StateError
from gateway.event import Event, encode_events
from gateway.integrations import refusal
from gateway.ledger import DestinationCounts
from gateway.queue.batching import QueueReader
from gateway.queue.feed import Slice
from gateway.retry import Verdict, backoff_seconds, describe, judge
from gateway.state import Commit, DeadLetter, State

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Condition", "Worker"]

_LOG_EVERY_MS = 60_000
_BROKEN_WORKER_SECONDS = 5.0


@dataclass(slots=True)
class Condition:
    """How a destination is doing.

    Attributes:
        state: ``ok``; ``retrying`` while it fails; ``paused`` while its settings are refused.
        since_ms: when that began.
        error: the last error in words; empty while ok.
    """

    state: Literal["ok", "retrying", "paused"]
    since_ms: int
    error: str = ""


@dataclass(slots=True)
class _Outgoing:
    """What was read from the queue and is to be committed together.

    Attributes:
        cursor: where reading goes on after it.
        size: bytes of the events to send.
    """

    cursor: int
    events: list[Event] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    filtered: Counter[str] = field(default_factory=Counter)
    dead: list[DeadLetter] = field(default_factory=list)
    lost: int = 0
    size: int = 0


class Worker:
    """Delivers to one destination.

    Args:
        name: the destination's name in `integrations` objects.
        storage: whether it is a warehouse or archive.
        chain: the delivery transforms that apply to it.
        counts: of this destination, over all runs; kept up to date here.
        rng: source of the jitter.
    """

    def __init__(
        self,
        id_: str,
        destination: Destination,
        *,
        name: str,
        storage: bool,
        policy: BatchPolicy,
        settings: DestinationSettings,
        chain: Chain,
        reader: QueueReader,
        state: State,
        counts: DestinationCounts,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        rng: random.Random | None = None,
    ) -> None:
        self.id = id_
        self.destination = destination
        self.counts = counts
        self.cursor = reader.position
        self.condition = Condition("ok", clock())
        self._name = name
        self._storage = storage
        self._policy = policy
        self._settings = settings
        self._chain = chain
        self._reader = reader
        self._state = state
        self._clock = clock
        self._log = log
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._expected = reader.position
        self._left: Slice | None = None
        self._reading: asyncio.Task[Slice] | None = None
        self._draining = asyncio.Event()
        self._logged_ms = 0

    # -- life cycle ----------------------------------------------------------

    async def run(self) -> None:
        """Deliver until `drain` was called and everything read has been dealt with."""
        try:
            while not await self._run_once():
                pass
        finally:
            if self._reading is not None:
                self._reading.cancel()
            await self._reader.close()

    def drain(self) -> None:
        """Deliver what the queue holds without waiting for more, and stop at the first failure."""
        self._draining.set()

    async def _run_once(self) -> bool:
        """Handle one batch; True when there is nothing more to do."""
        try:
            outgoing = await self._collect()
            if outgoing is None:
                return True
            return not await self._deliver(outgoing)
        except StateError as error:
            self._fails("retrying", str(error))
        except Exception as error:  # noqa: BLE001
            # A defect of ours must not end a destination for good; what was not committed is
            # read again.
            self._log.exception("delivery failed unexpectedly", destination=self.id)
            self._fails("retrying", describe(error))
        await self._start_over()
        return self._draining.is_set() or await self._pause(_BROKEN_WORKER_SECONDS)

    async def _start_over(self) -> None:
        if self._reading is not None:
            await asyncio.wait({self._reading})
            self._reading = None
        await self._reader.close()
        self._reader.position = self._expected = self.cursor
        self._left = None

    # -- reading -------------------------------------------------------------

    async def _collect(self) -> _Outgoing | None:
        """Read until a batch is full or old enough; None once draining and at the end."""
        outgoing = _Outgoing(self._expected)
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while True:
            wait = None if deadline is None else max(0.0, deadline - loop.time())
            part = await self._next_slice(wait)
            if part is None:
                return outgoing if deadline is not None else None
            if deadline is None:
                deadline = loop.time() + self._policy.max_age_seconds
            if self._take(part, outgoing):
                return outgoing

    async def _next_slice(self, wait: float | None) -> Slice | None:
        """The next events, or None when none came in time or the worker is draining."""
        if self._left is not None:
            part, self._left = self._left, None
            return part
        if self._reading is None:
            self._reading = asyncio.create_task(self._reader.read())
        # A read is never cancelled: it may be in a thread, and what it returns must not be lost.
        if not self._reading.done():
            draining = asyncio.ensure_future(self._draining.wait())
            await asyncio.wait(
                {self._reading, draining}, timeout=wait, return_when=asyncio.FIRST_COMPLETED
            )
            draining.cancel()
            if self._draining.is_set() and self._reader.behind:
                await asyncio.wait({self._reading})
        if not self._reading.done():
            return None
        task, self._reading = self._reading, None
        return task.result()

    def _take(self, part: Slice, outgoing: _Outgoing) -> bool:
        """Add events to the batch; True when it is full."""
        if part.offset > self._expected:
            outgoing.lost += part.offset - self._expected
        room = self._policy.max_events - len(outgoing.events)
        taken, size = 0, outgoing.size
        for event in part.events:
            if taken == room or (size and size + event.size > self._policy.max_bytes):
                break
            size += event.size
            taken += 1
        if taken < len(part.events):
            self._left = Slice(part.offset + taken, part.events[taken:])
            part = Slice(part.offset, part.events[:taken])
        self._expected = outgoing.cursor = part.end
        self._filter(part, outgoing)
        return self._left is not None or len(outgoing.events) >= self._policy.max_events

    def _filter(self, part: Slice, outgoing: _Outgoing) -> None:
        events: list[Event] = []
        offsets: list[int] = []
        for offset, event in enumerate(part.events, part.offset):
            rule = refusal(event, self._name, storage=self._storage)
            if rule is None:
                events.append(event)
                offsets.append(offset)
            else:
                outgoing.filtered[rule] += 1
        if self._chain and events:
            events, offsets = self._transform(events, offsets, outgoing)
        outgoing.events += events
        outgoing.offsets += offsets
        outgoing.size += sum(event.size for event in events)

    def _transform(
        self, events: list[Event], offsets: list[int], outgoing: _Outgoing
    ) -> tuple[list[Event], list[int]]:
        if self._chain.mutates:
            events = [event.copy() for event in events]
        offset_of = dict(zip(map(id, events), offsets, strict=True))
        result = self._chain.run(events)
        outgoing.filtered += result.filtered
        now_ms = self._clock()
        for event, transform, error in result.failed:
            detail = f"transform {transform}: {type(error).__name__}"
            outgoing.dead.append(
                _dead_letter(event, offset_of[id(event)], "transform", detail, 0, now_ms, now_ms)
            )
        return result.kept, [offset_of[id(event)] for event in result.kept]

    # -- sending -------------------------------------------------------------

    async def _deliver(self, outgoing: _Outgoing) -> bool:
        """Send until every event has its outcome, and commit; False when draining gave up."""
        events, offsets = outgoing.events, outgoing.offsets
        delivered = 0
        first_ms = self._clock()
        attempt = 0
        while events:
            attempt += 1
            verdict = await self._attempt(Batch(events, offsets, attempt))
            now_ms = self._clock()
            delivered += len(events) - len(verdict.dead) - len(verdict.again)
            outgoing.dead += [
                _dead_letter(events[i], offsets[i], "rejected", why, attempt, first_ms, now_ms)
                for i, why in verdict.dead.items()
            ]
            if not verdict.again:
                self._succeeds()
                break
            if self._gives_up(verdict, attempt, now_ms - first_ms):
                outgoing.dead += [
                    _dead_letter(
                        events[i], offsets[i], "expired", verdict.detail, attempt, first_ms, now_ms
                    )
                    for i in verdict.again
                ]
                break
            events = [events[i] for i in verdict.again]
            offsets = [offsets[i] for i in verdict.again]
            self.counts.retried += len(events)
            self._fails("paused" if verdict.paused else "retrying", verdict.detail)
            delay = backoff_seconds(
                attempt, self._settings.retry, verdict.retry_after_seconds, self._rng
            )
            if await self._pause(delay):
                return False
        await self._commit(outgoing, delivered)
        return True

    def _gives_up(self, verdict: Verdict, attempt: int, age_ms: int) -> bool:
        policy = self._settings.retry
        too_old = age_ms >= policy.max_age_seconds * 1000
        return too_old or (not verdict.whole and attempt >= policy.max_attempts)

    async def _attempt(self, batch: Batch) -> Verdict:
        timeout = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(timeout):
                await self.destination.send(batch)
        except TimeoutError:
            return judge(Retryable(f"no answer within {timeout:g} s"), len(batch))
        except Exception as error:  # noqa: BLE001 - a destination may fail in any way it likes
            return judge(error, len(batch))
        return Verdict()

    async def _commit(self, outgoing: _Outgoing, delivered: int) -> None:
        commit = Commit(
            self.id, outgoing.cursor, delivered, outgoing.filtered, outgoing.dead, outgoing.lost
        )
        await self._state.commit(commit)
        self.cursor = outgoing.cursor
        self.counts.delivered += delivered
        self.counts.filtered += outgoing.filtered
        self.counts.dead += commit.dead_counts()
        if outgoing.dead or outgoing.lost:
            self._log.warning(
                "events became dead letters",
                destination=self.id,
                reasons=dict(commit.dead_counts()),
                detail=outgoing.dead[0].detail if outgoing.dead else "damaged in the queue",
            )

    async def _pause(self, seconds: float) -> bool:
        """Wait; True as soon as the worker is to drain."""
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            return False
        return True

    # -- condition -----------------------------------------------------------

    def _fails(self, state: Literal["retrying", "paused"], error: str) -> None:
        now_ms = self._clock()
        changed = self.condition.state != state
        since_ms = now_ms if changed else self.condition.since_ms
        self.condition = Condition(state, since_ms, error)
        if changed or now_ms - self._logged_ms >= _LOG_EVERY_MS:
            self._logged_ms = now_ms
            self._log.warning(
                "destination refuses our settings; its events wait"
                if state == "paused"
                else "destination fails; its events wait and are tried again",
                destination=self.id,
                error=error,
                failing_seconds=(now_ms - since_ms) // 1000,
            )

    def _succeeds(self) -> None:
        if self.condition.state != "ok":
            now_ms = self._clock()
            self._log.info(
                "destination works again",
                destination=self.id,
                failed_seconds=(now_ms - self.condition.since_ms) // 1000,
            )
            self.condition = Condition("ok", now_ms)


def _dead_letter(
    event: Event,
    offset: int,
    reason: str,
    detail: str,
    attempts: int,
    first_ms: int,
    last_ms: int,
) -> DeadLetter:
    stored = encode_events([event])[1:-1]
    return DeadLetter(
        offset,
        event.source_id,
        event.message_id,
        reason,
        detail,
        attempts,
        first_ms,
        last_ms,
        stored,
    )
