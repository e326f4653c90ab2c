"""Takes the events of all sources from the request to the queue.

`Intake.accept` takes decoded events. It checks that the source is enabled, validates and stamps the
events, discards those of suppressed users, drops duplicates, runs the intake transforms, and puts
the rest into the queue. The events of a request stay together. Data that a transform masks never
reaches the disk. Transforms that would take long run in a thread (`gateway.intake.long_work`).

`Intake.accept_as_sent` is the fast path, and the usual one. It stores the bytes of a request as the
client sent them (`gateway.events.envelope.sealed`), if all events are valid and new, and no
transform has to change or drop any. If a transform suspects a few of the events, only these are
decoded (`gateway.events.envelope.mixed`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from msgspec import structs

from gateway.errors import QueueError
from gateway.events.envelope.arrival import Arrival, Plain, Receipt
from gateway.events.envelope.mixed import Decoded, Part, Taken
from gateway.events.envelope.sealed import Origin, Run
from gateway.events.event import Event, encode_events
from gateway.intake.acceptance import (
    discards_of,
    origin_of,
    parts,
    preparer,
    receive,
    suppressed_places,
    transform,
)
from gateway.intake.context import IntakeContext, identity_of
from gateway.intake.long_work import LongWork
from gateway.intake.source_directory import SourceDirectory
from gateway.intake.split import split
from gateway.intake.tally import RequestTally
from gateway.queue.record import joined
from gateway.state.ledger.source_ledger import SourceLedger
from gateway.state.live_tail import LiveTail

__all__ = ["Arrival", "Intake", "Plain", "Receipt"]

_LOG_EVERY_MS = 60_000


class Intake(SourceDirectory):
    """Accepts events and puts them into the queue.

    Attributes:
        long_work: the requests whose transforms take long.

    Args:
        before: the intake of the previous config; see `SourceDirectory`.

    Raises:
        ConfigError: a transform makes events for a source that does not exist.
    """

    def __init__(self, context: IntakeContext, before: SourceDirectory | None = None) -> None:
        super().__init__(context, before)
        self.ledger = context.ledger
        self._queue = context.queue
        self._recent_ids = context.recent_ids
        self.transforms = context.transforms
        self._suppressed = context.suppressed
        self._source_ledger = (
            SourceLedger(context.ledger) if context.source_ledger is None else context.source_ledger
        )
        self._live_tail = LiveTail() if context.live_tail is None else context.live_tail
        self._identity = identity_of(context)
        self._meters = context.meters
        self._log = context.log
        self._steady = context.steady
        self._logged_ms: dict[str, int] = {}
        earlier = before.long_work if isinstance(before, Intake) else None
        self.long_work: LongWork = earlier or LongWork(context.queue.max_pending_bytes)
        context.queue.when_stored = self._source_ledger.stored

    @property
    def decodes_all(self) -> bool:
        """A transform has to see all events, so that `accept_as_sent` gains nothing."""
        return self.transforms.sees_all

    def reject(self, code: str) -> None:
        """Counts a request that has no events to count, by the code of its answer."""
        self.ledger.rejected_requests[code] += 1

    def refuse(self, source_id: str, events: int) -> None:
        """Counts events that were answered 429 or 503; the client sends them again."""
        self.ledger.source(source_id).refused += events

    async def accept(self, arrival: Arrival) -> Receipt:
        """Stores the events of a request; returns once they are as safe as `queue.ack` promises.

        Raises:
            QueueFull: not all events were stored. The client must send all of them again.
            QueueClosed: likewise; the gateway is stopping, or its store failed.
        """
        source_id = arrival.source_id
        tally = RequestTally(source_id, arrival.received_ms, arrival.discarded)
        received = len(arrival.events) + arrival.discarded.total()
        arrival.client = self.transforms.of_client(arrival.client)
        # First of all, because duplicates and discarded events are remembered by their message ids.
        await receive(arrival.events, self.transforms)
        if not self.enabled(source_id):
            tally.discard(arrival.events, "source_disabled")
            await self._record(tally)
            return tally.receipt()
        valid = await self._prepare(arrival, tally)
        await self._take(Decoded(valid, arrival.body_bytes), origin_of(arrival), tally, received)
        self.ledger.roads["mixed" if received == 1 else "slow"] += len(tally.kept)
        return tally.receipt()

    async def accept_as_sent(self, origin: Origin, plain: Plain) -> bool:
        """Stores the events of a request as they were sent, where that gives what `accept` does.

        Only those events are decoded that are in an odd form, or that a transform has to look at.

        Returns:
            False if too many events would have to be decoded at once, or if the source is disabled.
            Then nothing was stored, counted or remembered, and the caller passes the decoded events
            to `accept`.

        Raises:
            QueueFull: not all events were stored. The client must send all of them again.
            QueueClosed: likewise; the gateway is stopping, or its store failed.
        """
        if not self.enabled(origin.source_id):
            return False
        tally = RequestTally(origin.source_id, origin.received_ms)
        found = await split(origin, plain, self.transforms, self._suppressed, tally)
        if found is None:
            return False
        sent, received = found.sent, len(plain.heads)
        await self._take(sent, found.origin, tally, received, addressed=found.addressed)
        roads = self.ledger.roads
        roads["fast"] += len(sent.ids) - len(sent.events)
        roads["slow" if found.whole else "mixed"] += len(sent.events)
        return True

    async def _take(
        self,
        sent: Taken,
        origin: Origin,
        tally: RequestTally,
        received: int,
        *,
        addressed: bool = True,
    ) -> None:
        """Stores the valid events of a request that are new, and counts all its events.

        Args:
            received: number of events in the request, with those that are discarded.
            addressed: at least one event names destinations that it should or should not go to.
        """
        repeated = self._leave_new(sent, tally)
        # The answer also promises that the first copies of duplicates are stored. Their write may
        # still be under way. Ask for its result now: once our own write is done, it is too late.
        first_copies = self._queue.settle() if repeated else None
        not_yet_put = self.long_work.under_way if repeated else ()
        try:
            if self.transforms and sent.events:
                await self._transform(sent, tally)
            if sent.ids or tally.added:
                await self._store(sent, origin, tally, addressed)
        except BaseException as error:
            self._forget(tally)
            self.long_work.settle(tally.announced, error)
            if isinstance(error, QueueError):
                self.refuse(tally.source_id, received)
            raise
        self.long_work.settle(tally.announced)
        if tally.made:
            await self._record_made(tally)
        if first_copies is not None:
            try:
                await first_copies
                for request in not_yet_put:
                    await asyncio.shield(request)
            except QueueError:
                self.refuse(tally.source_id, received - len(tally.kept))
                raise
            tally.repeat(repeated)
        if self._live_tail:
            self._live_tail.publish(tally.received_ms, "accepted", tally.kept)
            self._live_tail.publish(tally.received_ms, "", tally.not_stored)
        if tally.duplicate or tally.discarded:
            await self._record(tally)

    async def _prepare(self, arrival: Arrival, tally: RequestTally) -> list[Event]:
        """Validates and stamps events; returns those that are valid."""
        await suppressed_places(arrival.events, self._suppressed)  # then it is known of each user
        prepare = preparer(origin_of(arrival), self._suppressed, arrival.types)
        valid = []
        for part in parts(arrival.events):
            for event, code in zip(part, prepare(part), strict=True):
                if code is None:
                    valid.append(event)
                else:
                    tally.discard((event,), code)
            if part is not arrival.events:
                await asyncio.sleep(0)
        return valid

    def _steady_ms(self, received_ms: int) -> int:
        """Returns a time of the wall clock on the clock for durations.

        Otherwise a jump of the wall clock would end the window of de-duplication at once.
        """
        return received_ms if self._steady is None else received_ms + self._steady() - self.clock()

    def _leave_new(self, sent: Taken, tally: RequestTally) -> Sequence[Part]:
        """Leaves out the events that were seen before, and returns them; remembers the new ids."""
        ids = tally.new = sent.ids
        if self._recent_ids is None or not ids:
            return ()
        seen_ms = self._steady_ms(tally.received_ms)
        if self._recent_ids.take_all(tally.source_id, ids, seen_ms):
            return ()
        tally.new = self._recent_ids.take_new(tally.source_id, ids, seen_ms)
        sent.keep(tally.new)
        taken = set(map(id, tally.new))
        return [one for one in ids if id(one) not in taken]

    async def _transform(self, sent: Taken, tally: RequestTally) -> None:
        """Runs the transforms over the decoded events; in a thread if that would take long."""
        events = list(sent.events)
        outcome = transform(events, self.transforms.begin, self._identity, sent.ids)
        if outcome.left:
            tally.announced = self.long_work.announce()
            await self.long_work.finish(self.transforms, outcome)
        outcome.note_changes()
        if len(outcome.kept) < len(events):
            dropped = set(map(id, events)) - set(map(id, outcome.kept))
            sent.keep([one for one in sent.ids if id(one) not in dropped])
        for code, gone in discards_of(outcome):
            tally.discard(gone, code)
        if outcome.failed:
            self._log_failure(*outcome.failed[0][1:])
        for meter in self._meters:
            meter.saw(outcome)
        tally.made = outcome.added
        tally.added = self._new_made(tally) if tally.made else []

    def _new_made(self, tally: RequestTally) -> list[Event]:
        """Returns the events made by transforms that are new to their own sources."""
        wanted = [event for event in tally.made if self._takes(event.source_id)]
        if self._recent_ids is None:
            return wanted
        added = []
        for source_id in dict.fromkeys(event.source_id for event in wanted):
            own = [event for event in wanted if event.source_id == source_id]
            added += self._recent_ids.take_new(source_id, own, self._steady_ms(tally.received_ms))
        return added

    def _takes(self, source_id: str) -> bool:
        settings = self._sources.get(source_id)
        return settings is not None and settings.enabled

    async def _store(
        self, sent: Taken, origin: Origin, tally: RequestTally, addressed: bool
    ) -> None:
        """Puts the events into the queue, with those that transforms made."""
        added, stored = tally.added, len(sent.ids)
        if self._identity.active:
            decoded, ids = sent.events, sent.ids
            if added:
                decoded, ids = [*decoded, *added], [*ids, *added]
            visitors = self._identity.learn_and_note(decoded, ids, origin.type)
            origin = structs.replace(origin, visitors=visitors) if visitors else origin
        events: Sequence[Event] = ()
        chunks = []
        sources = Counter(event.source_id for event in added) if added else Counter[str]()
        if stored:
            events, data = sent.seal(origin, addressed=addressed)
            chunks.append(data)
            sources[tally.source_id] += stored
        if added:
            chunks.append(encode_events(added))
        tally.kept = events
        await self._queue.put(
            Run((events, added)) if added else events,
            joined(chunks) if added else chunks[0],
            sources,
        )

    def _forget(self, tally: RequestTally) -> None:
        """Forgets the ids of events that may not be stored.

        If they were remembered, the same events would count as duplicates when the client sends
        them again, and would be lost.
        """
        if self._recent_ids is not None:
            self._recent_ids.forget(tally.source_id, tally.new)
            for event in tally.added:
                self._recent_ids.forget(event.source_id, (event,))

    async def _record(self, tally: RequestTally) -> None:
        """Counts the events that were not stored."""
        await self._source_ledger.not_stored(
            tally.source_id, tally.duplicate, tally.discarded, tally.not_stored
        )

    async def _record_made(self, tally: RequestTally) -> None:
        """Counts the events made by transforms that were not stored, for their own sources."""
        stored = set(map(id, tally.added))
        rest = [event for event in tally.made if id(event) not in stored]
        for source_id in dict.fromkeys(event.source_id for event in rest):
            own = [event for event in rest if event.source_id == source_id]
            of_source = RequestTally(source_id, tally.received_ms)
            if self._takes(source_id):
                of_source.repeat(own)
            else:
                of_source.discard(own, "source_disabled")
            await self._record(of_source)

    def _log_failure(self, transform: str, error: Exception) -> None:
        """Logs that a transform fails, at most once a minute; the counts say how often."""
        now_ms = self.clock()
        if now_ms - self._logged_ms.get(transform, -_LOG_EVERY_MS) < _LOG_EVERY_MS:
            return
        self._logged_ms[transform] = now_ms
        self._log.error(
            "intake transform failed; its events are discarded, not passed on untransformed",
            transform=transform,
            error=type(error).__name__,  # not its text, which may quote the event
        )
