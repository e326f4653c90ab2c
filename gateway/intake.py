"""The one road from decoded events to the queue, for every source.

In order: is the source on, is the event valid, stamp it, was it seen before, the intake transforms,
the queue. Nothing awaits before the queue, so that the events of a request are taken up as one.
What a transform masks here never reaches the disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.chain import Chain
from gateway.config import SourceSettings
from gateway.dedup import RecentIds
from gateway.enrich import Client, enrich
from gateway.errors import QueueError
from gateway.event import Event, decode_events, encode_events
from gateway.ledger import Ledger
from gateway.normalise import add_notes
from gateway.timestamps import correct, format_ms, parse_ms
from gateway.validate import validate

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from gateway.queue.batching import BatchingQueue

__all__ = ["API_EVENT_VERSION", "Arrival", "Intake", "Receipt"]

API_EVENT_VERSION = 2
"""Value of `version` in every event, as Segment stamps it."""

_DAY_MS = 86_400_000


@dataclass(slots=True)
class Arrival:
    """The events of one request, decoded, and what the request says about them.

    Attributes:
        events: in the order of the request.
        discarded: events that the source itself could not accept, by code.
        sent_at: for events that have none: of the batch, or of a header.
        client: who sent the request.
        body_bytes: size of the request's body, which the events' bodies are views of.
    """

    source_id: str
    received_ms: int
    events: list[Event]
    discarded: Counter[str] = field(default_factory=Counter)
    sent_at: str | None = None
    client: Client = field(default_factory=Client)
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the events of a request."""

    accepted: int
    duplicate: int
    discarded: Mapping[str, int]


class Intake:
    """Takes events in.

    Args:
        sources: the configured sources by id.
        queue: where accepted events go.
        recent_ids: for de-duplication; None where it is switched off.
        transforms: the intake transforms.
        clock: wall clock in milliseconds.
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
    ) -> None:
        self._sources = dict(sources)
        self._source_of_key = {
            key: id_ for id_, source in sources.items() for key in source.write_keys
        }
        self._queue = queue
        self._recent_ids = recent_ids
        self._transforms = transforms
        self._log = log
        self.ledger = ledger
        self.clock = clock

    def source_of(self, write_key: str) -> str | None:
        """Id of the source that a write key belongs to."""
        return self._source_of_key.get(write_key)

    def enabled(self, source_id: str) -> bool:
        """Whether the source takes events."""
        return self._sources[source_id].enabled

    async def accept(self, arrival: Arrival) -> Receipt:
        """Take up a request's events; returns once they are as safe as `queue.ack` promises.

        Raises:
            QueueFull: nothing was stored; the client is to send all of it again.
            QueueClosed: the same; the gateway is stopping, or its store failed.
        """
        source_id = arrival.source_id
        counts = self.ledger.source(source_id)
        discarded = Counter(arrival.discarded)
        if not self._sources[source_id].enabled:
            discarded["source_disabled"] += len(arrival.events)
            counts.discarded += discarded
            return Receipt(0, 0, discarded)
        events = self._prepare(arrival, discarded)
        new = events
        if self._recent_ids is not None:
            new = self._recent_ids.take_new(source_id, events, arrival.received_ms)
        duplicate = len(events) - len(new)
        kept = self._transform(new, discarded) if self._transforms and new else new
        try:
            if kept:
                await self._store(kept, arrival.body_bytes)
            if duplicate:
                # The first copy may still be on its way to the disk: this answer vouches for it.
                await self._queue.settle()
        except QueueError:
            if self._recent_ids is not None:
                self._recent_ids.forget(source_id, new)
            counts.refused += len(arrival.events) + arrival.discarded.total()
            raise
        counts.accepted += len(kept)
        counts.duplicate += duplicate
        counts.discarded += discarded
        return Receipt(len(kept), duplicate, discarded)

    async def _store(self, events: list[Event], body_bytes: int) -> None:
        data = encode_events(events)
        if 2 * len(data) < body_bytes:
            # Little of the request is left: do not let a few events keep all of its bytes alive.
            events = decode_events(data)
        await self._queue.put(events, data)

    def _prepare(self, arrival: Arrival, discarded: Counter[str]) -> list[Event]:
        received_ms = arrival.received_ms
        received_at = format_ms(received_ms)
        source_id, client, batch_sent_at = arrival.source_id, arrival.client, arrival.sent_at
        ready = []
        for event in arrival.events:
            code = validate(event)
            if code is not None:
                discarded[code] += 1
                continue
            event.source_id = source_id
            event.received_at = received_at
            event.version = API_EVENT_VERSION
            if event.sent_at is None:
                event.sent_at = batch_sent_at
            _stamp_times(event, received_ms, received_at)
            enrich(event, client)
            ready.append(event)
        return ready

    def _transform(self, events: list[Event], discarded: Counter[str]) -> list[Event]:
        outcome = self._transforms.run(events)
        for id_, number in outcome.filtered.items():
            discarded[f"filtered:{id_}"] += number
        if outcome.failed:
            for _, id_, _ in outcome.failed:
                discarded[f"transform_failed:{id_}"] += 1
            _, id_, error = outcome.failed[0]
            # The error's text may quote the event; the type cannot.
            self._log.error(
                "intake transform failed; the events are discarded, not passed on untransformed",
                transform=id_,
                events=len(outcome.failed),
                error=type(error).__name__,
            )
        return outcome.kept


def _stamp_times(event: Event, received_ms: int, received_at: str) -> None:
    """Set the four times; see `gateway.timestamps` for the formula."""
    sent_ms = None
    if event.sent_at is not None:
        sent_ms = _read_time(event, event.sent_at, "sent_at_unreadable")
        event.sent_at = format_ms(sent_ms) if sent_ms is not None else None
    original = event.original_timestamp
    if original is None:
        original = event.timestamp
    original_ms = None
    if original is not None:
        original_ms = _read_time(event, original, "timestamp_unreadable")
    if original_ms is None:
        event.original_timestamp = event.timestamp = received_at
        return
    event.original_timestamp = format_ms(original_ms)
    corrected = correct(original_ms, sent_ms, received_ms)
    event.timestamp = format_ms(corrected)
    if corrected > received_ms + _DAY_MS:
        add_notes(event, ("timestamp_in_future",))


def _read_time(event: Event, text: str, note: str) -> int | None:
    milliseconds = parse_ms(text)
    if milliseconds is None and text.strip() and not text.startswith("0001-01-01"):
        add_notes(event, (note,), raw_timestamp=text[:100])
    return milliseconds
