"""The one road from decoded events to the queue, for every source.

In order: is the source on, is the event valid, is its user suppressed, stamp it, was it seen
before, the intake transforms, the queue. Nothing awaits before the queue, so that the events of a
request are taken up as one. What a transform masks here never reaches the disk.

Where all events of a request are as they should be, new, and nothing that a transform is there for,
they are stored as they were sent (`gateway.events.envelope.sealed`): that is the usual case, and
the fast one. If a transform is there for a few of them, the others still are
(`gateway.events.envelope.mixed`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from gateway.components.chain import Chain
from gateway.config.settings import SourceSettings
from gateway.errors import ConfigError, QueueError
from gateway.events.envelope.arrival import Arrival, Plain, Receipt
from gateway.events.envelope.client import additions
from gateway.events.envelope.heads import examine, of_any
from gateway.events.envelope.mixed import AsSent, Mixed, mixed
from gateway.events.envelope.peek import peek
from gateway.events.envelope.sealed import Origin, complete, finish
from gateway.events.envelope.stamp import Stamp
from gateway.events.envelope.validate import validate
from gateway.events.event import EMPTY, Event, decode_events, encode_events
from gateway.events.timestamps import parse_ms
from gateway.identity.visitors import Identity
from gateway.intake.dedup import RecentIds
from gateway.intake.write_keys import Key, Keys
from gateway.queue.batching import BatchingQueue
from gateway.state import Discard
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import Books
from gateway.state.live_tail import Tap

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from gateway.rollouts.meter import IntakeMeter

__all__ = ["Arrival", "Intake", "Plain", "Receipt"]

_LOG_EVERY_MS = 60_000


class Intake:
    """Takes events in.

    Args:
        sources: the configured sources by id.
        queue: where accepted events go.
        recent_ids: for de-duplication; None where it is switched off.
        transforms: the intake transforms.
        clock: wall clock in milliseconds.
        suppressed: ids of users whose events are thrown away. Asked for each event, so that it may
            change; its lookup is to be constant in time.
        books: where the counts of `ledger` are kept; without them they end with the process.
        tap: where what comes in is published.
        identity: learns who is who, once it is active.
        meters: measure what transforms drop and fail on, for rollouts.
        workers: processes that take events in, which share the rates of write keys out.
        before: the intake that this one takes the place of; see `Keys`.

    Raises:
        ConfigError: a transform makes events for a source that there is not.
    """

    def __init__(
        self,
        sources: Mapping[str, SourceSettings],
        queue: BatchingQueue,
        recent_ids: RecentIds | None,
        transforms: Chain,
        ledger: Ledger,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        *,
        suppressed: Collection[str] = frozenset(),
        books: Books | None = None,
        tap: Tap | None = None,
        identity: Identity | None = None,
        meters: Sequence[IntakeMeter] = (),
        workers: int = 1,
        before: Intake | None = None,
    ) -> None:
        self._meters = meters
        for transform, source_id in transforms.adds_to:
            if source_id not in sources:
                raise ConfigError(f"transforms.{transform}: there is no source {source_id!r}")
        self._sources = dict(sources)
        self._keys: Keys = Keys(sources, clock, workers, None if before is None else before._keys)
        self._queue = queue
        self._recent_ids = recent_ids
        self._transforms = transforms
        self._suppressed = suppressed
        self._log = log
        self._logged_ms: dict[str, int] = {}
        self._books = books or Books(ledger)
        self._tap = Tap() if tap is None else tap
        self._identity = Identity.idle(log) if identity is None else identity
        queue.when_stored = self._books.stored
        self.ledger = ledger
        self.clock = clock

    def source_of(self, write_key: str) -> str | None:
        """Id of the source that a write key belongs to."""
        key = self._keys.find(write_key)
        return None if key is None else key.source_id

    def key_of(self, write_key: str) -> Key | None:
        """What a write key may send; None if there is none such, or no longer."""
        return self._keys.find(write_key)

    def write_keys(self, source_id: str) -> tuple[str, ...]:
        """The keys of a source, in the order of config.toml."""
        return self._sources[source_id].write_keys

    def enabled(self, source_id: str) -> bool:
        """Whether the source takes events."""
        return self._sources[source_id].enabled

    def reject(self, code: str) -> None:
        """Count a request that has no events to count, by the code of its answer."""
        self.ledger.rejected_requests[code] += 1

    def refuse(self, source_id: str, events: int) -> None:
        """Count events that were answered 429 or 503; the client sends them again."""
        self.ledger.source(source_id).refused += events

    async def accept(self, arrival: Arrival) -> Receipt:
        """Take up a request's events; returns once they are as safe as `queue.ack` promises.

        Raises:
            QueueFull: not all was stored; the client is to send all of it again.
            QueueClosed: the same; the gateway is stopping, or its store failed.
        """
        arrival.client = self._transforms.of_client(arrival.client)
        source_id = arrival.source_id
        counts = self.ledger.source(source_id)
        discarded = arrival.discarded
        refused = len(arrival.events) + (discarded.total() if discarded else 0)
        discards: list[Discard] = []
        # First of all: duplicates and discards are remembered by their message ids.
        self._transforms.receive(arrival.events)
        if not self._sources[source_id].enabled:
            _discard(arrival.events, "source_disabled", arrival, discarded, discards)
            await self._books.not_stored(source_id, 0, discarded, discards)
            return Receipt(0, 0, discarded)
        events = self._prepare(arrival, discarded, discards)
        new = events
        if self._recent_ids is not None:
            new = self._recent_ids.take_new(source_id, events, arrival.received_ms)
        duplicate = len(events) - len(new)
        # The answer vouches for the first copies too, which may still be on their way to the disk.
        # Asked now: by the time that our own events are stored, their failure would be past.
        settled = self._queue.settle() if duplicate else None
        kept: list[Event] = []
        made: list[Event] = []
        added: list[Event] = []
        try:
            if self._transforms and new:
                kept, made = self._transform(new, arrival, discarded, discards)
            else:
                kept = new
            added = self._take_added(made, arrival.received_ms) if made else made
            if kept or added:
                await self._store(source_id, kept, added, arrival.body_bytes)
        except BaseException as error:
            # They may not be stored, whatever the reason; remembered, they would count as
            # duplicates when they come again, and be lost.
            if self._recent_ids is not None:
                self._recent_ids.forget(source_id, new)
                for event in added:
                    self._recent_ids.forget(event.source_id, (event,))
            if isinstance(error, QueueError):
                counts.refused += refused
            raise
        if made:
            await self._count_added(made, added, arrival.received_ms)
        if settled is not None:
            try:
                await settled
            except QueueError:
                counts.refused += refused - len(kept)
                raise
        if duplicate:
            still = set(map(id, new))
            seen = [event for event in events if id(event) not in still]
            _discard(seen, "duplicate", arrival, Counter(), discards)
        self._publish(arrival.received_ms, kept, discards)
        if duplicate or discarded:
            await self._books.not_stored(source_id, duplicate, discarded, discards)
        return Receipt(len(kept), duplicate, discarded)

    async def accept_as_sent(self, origin: Origin, plain: Plain) -> bool:
        """Take up a request's events as they are; the same as `accept`, for those that allow it.

        Of a batch, a few may be such that a transform has to look at them.

        Returns:
            False where one of the events is not valid, not new or not for everybody's eyes, so that
            each has to be looked at. Then nothing was stored, counted or remembered.

        Raises:
            QueueFull: not stored; the client is to send all of it again.
            QueueClosed: the same; the gateway is stopping, or its store failed.
        """
        heads, transforms, source_id = plain.heads, self._transforms, origin.source_id
        found = examine(heads, plain.type)
        if (
            found is None
            or not self._sources[source_id].enabled
            or (len(self._suppressed) and of_any(heads, self._suppressed))
            or (origin.sent_at is not None and parse_ms(origin.sent_at) is None)
        ):
            return False
        if transforms:
            client = transforms.of_client(origin.client)
            if not transforms.passes(additions(client)):
                return False
            if client is not origin.client:
                origin = structs.replace(origin, client=client)
        sent = self._suspected(plain)
        if sent is None:
            return False
        ids, remembered = sent.ids, self._recent_ids
        if remembered is not None and not remembered.take_all(source_id, ids, origin.received_ms):
            return False
        if sent.events and not self._touch(sent, origin):
            if remembered is not None:
                remembered.forget(source_id, ids)
            return False
        if self._identity.active:
            origin = self._knowing(sent, origin, plain.type)
        events, data = sent.seal(origin, addressed=found.addressed)
        try:
            await self._queue.put(events, data, {source_id: len(heads)})
        except BaseException as error:
            if remembered is not None:
                remembered.forget(source_id, ids)
            if isinstance(error, QueueError):
                self.refuse(source_id, len(heads))
            raise
        if self._tap:
            self._tap.publish(origin.received_ms, "accepted", events)
        return True

    def _suspected(self, plain: Plain) -> AsSent | Mixed | None:
        """The events, with those made that a transform suspects; None where that is no use."""
        places = self._transforms.suspects(plain.array)
        if places is None:
            return None
        if not places:
            return AsSent(plain.array, plain.heads)
        some = mixed(plain.array, plain.heads, places)
        if some is not None:
            self._transforms.receive(some.events)
        return some

    def _touch(self, sent: AsSent | Mixed, origin: Origin) -> bool:
        """Run the transforms over what is made; False where that does more than change it."""
        finish(sent.events, origin)
        if self._identity.active:
            self._identity.foresee(sent.events, sent.ids)
        outcome = self._transforms.run(sent.events)
        outcome.note_changes()
        return not (outcome.filtered or outcome.failed or outcome.added)

    def _knowing(self, sent: AsSent | Mixed, origin: Origin, type_: str) -> Origin:
        """Learn who is who; the origin that says so to events that are sealed."""
        visitors = self._identity.settle(sent.events, sent.ids, type_)
        return structs.replace(origin, visitors=visitors) if visitors else origin

    def _publish(self, received_ms: int, kept: list[Event], discards: list[Discard]) -> None:
        if self._tap:
            self._tap.publish(received_ms, "accepted", kept)
            self._tap.publish(received_ms, "", discards)

    async def _store(
        self, source_id: str, kept: list[Event], added: list[Event], body_bytes: int
    ) -> None:
        events = kept + added if added else kept
        if self._identity.active:
            self._identity.settle(events, events)
        sources = Counter(event.source_id for event in added) if added else {}
        sources[source_id] = sources.get(source_id, 0) + len(kept)
        data = encode_events(events)
        if 2 * len(data) < body_bytes:
            # Little of the request is left: do not let a few events keep all of its bytes alive.
            events = decode_events(data)
        await self._queue.put(events, data, sources)

    def _prepare(
        self, arrival: Arrival, discarded: Counter[str], discards: list[Discard]
    ) -> list[Event]:
        origin = Origin(
            arrival.source_id, arrival.received_ms, arrival.sent_at, client=arrival.client
        )
        stamp = Stamp(arrival.sent_at, arrival.received_ms)
        suppressed = self._suppressed if len(self._suppressed) else None
        ready = []
        for event in arrival.events:
            raw_context = event.raw_context
            context = b"" if raw_context is EMPTY else bytes(raw_context)
            seen = peek(context)
            code = validate(event, seen)
            if code is not None:
                _discard((event,), code, arrival, discarded, discards)
                continue
            if arrival.types is not None and event.type not in arrival.types:
                _discard((event,), "type_not_allowed", arrival, discarded, discards)
                continue
            # Before anything remembers the event: once its user may send again, so may it.
            if suppressed is not None and (
                event.user_id in suppressed
                or (event.type == "alias" and event.previous_id in suppressed)
            ):
                _discard((event,), "suppressed", arrival, discarded, discards)
                continue
            complete(event, origin, stamp, seen, context)
            ready.append(event)
        return ready

    def _transform(
        self,
        events: list[Event],
        arrival: Arrival,
        discarded: Counter[str],
        discards: list[Discard],
    ) -> tuple[list[Event], list[Event]]:
        """The events to go on with, and those that the transforms made."""
        if self._identity.active:
            self._identity.foresee(events, events)
        outcome = self._transforms.run(events)
        for id_, dropped in outcome.filtered.items():
            _discard(dropped, f"filtered:{id_}", arrival, discarded, discards)
        outcome.note_changes()
        for event, id_, _ in outcome.failed:
            _discard((event,), f"transform_failed:{id_}", arrival, discarded, discards)
        if outcome.failed:
            self._complain(*outcome.failed[0][1:])
        for meter in self._meters:
            meter.saw(outcome)
        return outcome.kept, outcome.added

    def _takes(self, source_id: str) -> bool:
        settings = self._sources.get(source_id)
        return settings is not None and settings.enabled

    def _take_added(self, made: list[Event], now_ms: int) -> list[Event]:
        """Of the events that transforms made, those that are new to their source."""
        wanted = [event for event in made if self._takes(event.source_id)]
        if self._recent_ids is None:
            return wanted
        added = []
        for source_id in dict.fromkeys(event.source_id for event in wanted):
            own = [event for event in wanted if event.source_id == source_id]
            added += self._recent_ids.take_new(source_id, own, now_ms)
        return added

    async def _count_added(self, made: list[Event], added: list[Event], received_ms: int) -> None:
        """Count the events that transforms made and that were not stored, for their own sources."""
        stored = set(map(id, added))
        rest = [event for event in made if id(event) not in stored]
        for source_id in dict.fromkeys(event.source_id for event in rest):
            own = [event for event in rest if event.source_id == source_id]
            code = "duplicate" if self._takes(source_id) else "source_disabled"
            discards = [Discard(received_ms, source_id, e.message_id, code) for e in own]
            duplicate = len(own) if code == "duplicate" else 0
            discarded = {} if duplicate else {code: len(own)}
            await self._books.not_stored(source_id, duplicate, discarded, discards)

    def _complain(self, transform: str, error: Exception) -> None:
        """Say that a transform fails, once in a while: the counts tell how often."""
        now_ms = self.clock()
        if now_ms - self._logged_ms.get(transform, -_LOG_EVERY_MS) < _LOG_EVERY_MS:
            return
        self._logged_ms[transform] = now_ms
        self._log.error(
            "intake transform failed; its events are discarded, not passed on untransformed",
            transform=transform,
            error=type(error).__name__,  # whose text may quote the event
        )


def _discard(
    events: Iterable[Event],
    code: str,
    arrival: Arrival,
    discarded: Counter[str],
    discards: list[Discard],
) -> None:
    """Note down events that are not stored."""
    for event in events:
        discarded[code] += 1
        if event.message_id:
            discards.append(Discard(arrival.received_ms, arrival.source_id, event.message_id, code))
