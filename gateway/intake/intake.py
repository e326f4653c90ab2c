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
from collections.abc import Iterator, Sequence

from msgspec import structs

from gateway.errors import QueueError
from gateway.events.envelope.arrival import Arrival, Plain, Receipt
from gateway.events.envelope.client import additions
from gateway.events.envelope.heads import HasUsers, examine, mention_any
from gateway.events.envelope.mixed import AsSent, Mixed, mixed
from gateway.events.envelope.sealed import Origin, finish
from gateway.events.event import Event, decode_events, encode_events
from gateway.events.timestamps import parse_ms
from gateway.intake.acceptance import discards_of, preparer, transform
from gateway.intake.context import IntakeContext, identity_of
from gateway.intake.long_work import LongWork
from gateway.intake.source_directory import SourceDirectory
from gateway.intake.tally import RequestTally
from gateway.state.ledger.source_ledger import SourceLedger
from gateway.state.live_tail import LiveTail

__all__ = ["Arrival", "Intake", "Plain", "Receipt"]

_LOG_EVERY_MS = 60_000
_AT_ONCE = 50  # events that are received or prepared before others get their turn; 0.5 ms at most


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
        for part in _parts(arrival.events):
            self.transforms.receive(part)
            if part is not arrival.events:
                await asyncio.sleep(0)
        if not self.enabled(source_id):
            tally.discard(arrival.events, "source_disabled")
            await self._record(tally)
            return tally.receipt()
        valid = await self._prepare(arrival, tally)
        tally.new = new = self._new(valid, tally)
        repeated = len(valid) - len(new)
        # The answer also promises that the first copies of duplicates are stored. Their write may
        # still be under way. Ask for its result now: once our own write is done, it is too late.
        first_copies = self._queue.settle() if repeated else None
        not_yet_put = self.long_work.under_way if repeated else ()
        try:
            if self.transforms and new:
                await self._transform(tally)
            else:
                tally.kept = new
            if tally.kept or tally.added:
                await self._store(tally, arrival.body_bytes)
        except BaseException as error:
            self._forget(tally)
            self.long_work.settle(tally.announced, error)
            if isinstance(error, QueueError):
                self.refuse(source_id, received)
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
                self.refuse(source_id, received - len(tally.kept))
                raise
            taken = set(map(id, new))
            tally.repeat([event for event in valid if id(event) not in taken])
        if self._live_tail:
            self._live_tail.publish(tally.received_ms, "accepted", tally.kept)
            self._live_tail.publish(tally.received_ms, "", tally.not_stored)
        if tally.duplicate or tally.discarded:
            await self._record(tally)
        return tally.receipt()

    async def accept_as_sent(self, origin: Origin, plain: Plain) -> bool:
        """Stores the events of a request as they were sent, where that gives what `accept` gives.

        Only those events of a batch that a transform has to look at are decoded.

        Returns:
            False if an event is invalid, a duplicate or suppressed, or if a transform does more
            than change a few events. Then nothing was stored, counted or remembered, and the caller
            passes the decoded events to `accept`.

        Raises:
            QueueFull: nothing was stored. The client must send all events again.
            QueueClosed: likewise; the gateway is stopping, or its store failed.
        """
        heads, transforms, source_id = plain.heads, self.transforms, origin.source_id
        found = examine(heads, plain.type)
        if (
            found is None
            or not self._sources[source_id].enabled
            or await self._mention_suppressed(heads)
            or (origin.sent_at is not None and parse_ms(origin.sent_at) is None)
        ):
            return False
        if transforms:
            client = transforms.of_client(origin.client)
            if not transforms.passes(additions(client)):
                return False
            if client is not origin.client:
                origin = structs.replace(origin, client=client)
        sent = self._decode_suspects(plain)
        if sent is None:
            return False
        ids, remembered = sent.ids, self._recent_ids
        seen_ms = self._steady_ms(origin.received_ms)
        if remembered is not None and not remembered.take_all(source_id, ids, seen_ms):
            return False
        if sent.events and not self._transform_suspects(sent, origin):
            if remembered is not None:
                remembered.forget(source_id, ids)
            return False
        if self._identity.active:
            origin = self._with_visitors(sent, origin, plain.type)
        events, data = sent.seal(origin, addressed=found.addressed)
        try:
            await self._queue.put(events, data, {source_id: len(heads)})
        except BaseException as error:
            if remembered is not None:
                remembered.forget(source_id, ids)
            if isinstance(error, QueueError):
                self.refuse(source_id, len(heads))
            raise
        if self._live_tail:
            self._live_tail.publish(origin.received_ms, "accepted", events)
        return True

    def _decode_suspects(self, plain: Plain) -> AsSent | Mixed | None:
        """Decodes the events that a transform may change; None if that gains nothing."""
        places = self.transforms.suspects(plain.array)
        if places is None:
            return None
        if not places:
            return AsSent(plain.array, plain.heads)
        some = mixed(plain.array, plain.heads, places)
        if some is not None:
            self.transforms.receive(some.events)
        return some

    def _transform_suspects(self, sent: AsSent | Mixed, origin: Origin) -> bool:
        """Runs the transforms over the decoded events; False if they do more than change these."""
        finish(sent.events, origin)
        if self._identity.active:
            self._identity.preview(sent.events, sent.ids)
        outcome = self.transforms.begin(sent.events)
        if outcome.left:
            return False
        outcome.note_changes()
        return not (outcome.filtered or outcome.failed or outcome.added)

    def _with_visitors(self, sent: AsSent | Mixed, origin: Origin, type_: str) -> Origin:
        """Links users to visitors; returns the origin with the visitors of sealed events."""
        visitors = self._identity.learn_and_note(sent.events, sent.ids, type_)
        return structs.replace(origin, visitors=visitors) if visitors else origin

    async def _prepare(self, arrival: Arrival, tally: RequestTally) -> list[Event]:
        """Validates and stamps events; returns those that are valid."""
        await self._mention_suppressed(arrival.events)  # then it is known of each user
        prepare = preparer(arrival, self._suppressed)
        valid = []
        for part in _parts(arrival.events):
            for event in part:
                code = prepare(event)
                if code is None:
                    valid.append(event)
                else:
                    tally.discard((event,), code)
            if part is not arrival.events:
                await asyncio.sleep(0)
        return valid

    async def _mention_suppressed(self, events: Sequence[HasUsers]) -> bool:
        """Tells whether any of the events has a suppressed user, and lets others go on meanwhile.

        Where users are suppressed by hashes, each new user takes a while.
        """
        if not len(self._suppressed):
            return False
        found = False
        for first in range(0, len(events), _AT_ONCE):
            found |= mention_any(events[first : first + _AT_ONCE], self._suppressed)
            if first + _AT_ONCE < len(events):
                await asyncio.sleep(0)
        return found

    def _steady_ms(self, received_ms: int) -> int:
        """Returns a time of the wall clock on the clock for durations.

        Otherwise a jump of the wall clock would end the window of de-duplication at once.
        """
        return received_ms if self._steady is None else received_ms + self._steady() - self.clock()

    def _new(self, events: list[Event], tally: RequestTally) -> list[Event]:
        """Returns the events that were not seen before, and remembers their ids."""
        if self._recent_ids is None:
            return events
        seen_ms = self._steady_ms(tally.received_ms)
        return self._recent_ids.take_new(tally.source_id, events, seen_ms)

    async def _transform(self, tally: RequestTally) -> None:
        """Runs the transforms over the new events; in a thread if that would take long."""
        outcome = transform(tally.new, self.transforms.begin, self._identity)
        if outcome.left:
            tally.announced = self.long_work.announce()
            await self.long_work.finish(self.transforms, outcome)
        outcome.note_changes()
        for code, events in discards_of(outcome):
            tally.discard(events, code)
        if outcome.failed:
            self._log_failure(*outcome.failed[0][1:])
        for meter in self._meters:
            meter.saw(outcome)
        tally.kept, tally.made = outcome.kept, outcome.added
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

    async def _store(self, tally: RequestTally, body_bytes: int) -> None:
        """Puts the kept and added events into the queue."""
        kept, added = tally.kept, tally.added
        events = kept + added if added else kept
        if self._identity.active:
            self._identity.learn_and_note(events, events)
        sources = Counter(event.source_id for event in added) if added else {}
        sources[tally.source_id] = sources.get(tally.source_id, 0) + len(kept)
        data = encode_events(events)
        if 2 * len(data) < body_bytes:
            # Little of the request is left. A copy frees the request's bytes, which the events'
            # bodies are views of.
            events = decode_events(data)
        await self._queue.put(events, data, sources)

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


def _parts(events: list[Event]) -> Iterator[list[Event]]:
    """Cuts the events of a large request into parts of `_AT_ONCE`."""
    if len(events) <= _AT_ONCE:
        yield events
        return
    for start in range(0, len(events), _AT_ONCE):
        yield events[start : start + _AT_ONCE]
