"""Stores events as the client sent them, sealed together with data about their request.

An event is a function of the client's bytes and of the *origin*: source, time of receiving, the
client's clock, the client's address. If intake changes and drops no event of a request, it does not
compute that function. The queue stores the bytes once, and the origin beside them. The events are
made when code first reads them.

A frame's payload (`gateway.queue`) is a JSON array. Sealed events are one element of it, among
events that are stored one by one::

    {"sealed":2,"addressed":true,"origin":{"sourceId":"web","receivedMs":1793},"sent":[{...},{...}]}

``sealed`` is the number of events. ``addressed`` is present, and true, if any of them names
destinations that it should or should not go to. A ``context`` or ``integrations`` that the client
has sent beside its batch is part of the origin. It is stored once, and merged into each event when
the events are made. A release that does not know these two keys makes the events without
them.

The work of `finish` is part of the format: events that one release has sealed must look the same in
the next.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import cast, overload

import msgspec
from msgspec import Raw, Struct

from gateway.events.envelope.client import Client, enrich
from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.peek import Peek, contexts_of, peek_all
from gateway.events.envelope.shared import Shared
from gateway.events.envelope.stamp import Stamp
from gateway.events.envelope.validate import validate
from gateway.events.event import EMPTY, Event, decode_events

__all__ = [
    "API_EVENT_VERSION",
    "Ids",
    "Origin",
    "Run",
    "Sealed",
    "SentEvent",
    "complete",
    "finish",
    "seal",
    "sent_events",
    "share",
    "stored_events",
    "strip_reserved",
]

API_EVENT_VERSION = 2
"""Value of `version` in every event, as Segment stamps it."""


class Origin(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Data about a request that holds for all its events.

    Attributes:
        sent_at: of the batch or of a header, for events that have none.
        type: type that the request's path dictates, or empty.
        visitors: userId to visitor, for events without an anonymousId; see
            `gateway.identity.visitors`.
        context, integrations: objects beside the batch that are part of each event, or `EMPTY`.
        changed: ids of the intake transforms that changed `context`.
    """

    source_id: str
    received_ms: int
    sent_at: str | None = None
    type: str = ""
    client: Client = Client()
    visitors: dict[str, str] = {}
    context: Raw = EMPTY
    integrations: Raw = EMPTY
    changed: tuple[str, ...] = ()

    @property
    def shared_bytes(self) -> int:
        """Bytes that each event takes over from beside the batch."""
        return len(self.context) + len(self.integrations)


class SentEvent(Event, kw_only=True):
    """An event as a client sends it. After `strip_reserved` it is an `Event` like any other."""

    version: Raw = EMPTY  # of any type, as the gateway overwrites it
    write_key: str | None = None

    def strip_reserved(self) -> None:
        """Removes the write key, and the fields that only the gateway may write."""
        self.write_key = None
        self.raw_notes = self.raw_extra = EMPTY


def complete(event: Event, origin: Origin, stamp: Stamp, seen: Peek, context: bytes) -> None:
    """Writes the origin's data into a valid event.

    Args:
        stamp: made from the origin.
        seen: result of `peek` for `context`.
        context: the event's context.
    """
    event.source_id = origin.source_id
    event.version = API_EVENT_VERSION
    stamp.times(event)
    enrich(event, origin.client, seen, context)


class _OnDemand(Sequence[Event]):
    """Events that are made when code first reads one of them."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self._made()[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._made())

    @abstractmethod
    def _made(self) -> list[Event]:
        """Returns the events; the same objects each time."""


class Ids(Struct, gc=False, rename="camel"):
    """The ids of an event, read without making the event."""

    message_id: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None


_ids = msgspec.json.Decoder(list[Ids])


class Sealed(_OnDemand):
    """The events of one request, made when code first reads one of them.

    Attributes:
        addressed: at least one event names destinations that it should or should not go to.
    """

    __slots__ = ("_count", "_events", "_origin", "_sent", "addressed")

    def __init__(
        self, origin: Origin, sent: Raw | memoryview, count: int, *, addressed: bool
    ) -> None:
        self.addressed = addressed
        self._origin = origin
        self._sent = sent
        self._count = count
        self._events: list[Event] | None = None

    def __len__(self) -> int:
        return self._count

    def ids(self) -> Sequence[Ids | Event]:
        """Returns the ids of each event, or the events themselves if they are made already."""
        return _ids.decode(self._sent) if self._events is None else self._events

    def _made(self) -> list[Event]:
        events = self._events
        if events is None:
            events = self._events = sent_events(self._sent, self._origin.type)
            finish(events, self._origin)
        return events


class _Some(_OnDemand):
    """Events at some places of a sequence."""

    __slots__ = ("_places", "_whole", "addressed")

    def __init__(self, whole: Sequence[Event], places: Sequence[int], *, addressed: bool) -> None:
        self.addressed = addressed
        self._whole = whole
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def _made(self) -> list[Event]:
        whole = self._whole
        return [whole[place] for place in self._places]


def strip_reserved(events: Iterable[SentEvent]) -> None:
    """Calls `SentEvent.strip_reserved` where it has anything to do."""
    for event in events:
        # Checked here, because nearly all events have nothing to remove and a call costs more.
        if (
            event.write_key is not None
            or event.raw_notes is not EMPTY
            or event.raw_extra is not EMPTY
        ):
            event.strip_reserved()


def sent_events(array: bytes | memoryview | Raw, type_: str = "") -> list[Event]:
    """Decodes a JSON array of events as clients send them.

    Args:
        type_: wins over the events' own types, unless it is empty.
    """
    events: list[SentEvent] = _sent.decode(array)
    strip_reserved(events)
    if type_:
        for event in events:
            event.type = type_
    return cast("list[Event]", events)


_sent = msgspec.json.Decoder(list[SentEvent])


def share(events: Sequence[Event], origin: Origin) -> None:
    """Merges what stands beside a batch into its events."""
    for body in ("context", "integrations"):
        shared: Raw = getattr(origin, body)
        if len(shared):
            into = Shared(body, shared).into
            for event in events:
                into(event)


def finish(events: Sequence[Event], origin: Origin) -> None:
    """Brings valid events from the client's form into the form that destinations see."""
    stamp = Stamp(origin.sent_at, origin.received_ms)
    if origin.shared_bytes:
        share(events, origin)
    contexts = contexts_of(events)
    for event, context, seen in zip(events, contexts, peek_all(contexts), strict=True):
        validate(event, seen)  # known to be valid; this brings the fields into their final form
        complete(event, origin, stamp, seen, context)
    if origin.changed:
        changed = tuple(f"changed:{id_}" for id_ in origin.changed)
        for event in events:
            add_notes(event, changed)
    if origin.visitors:
        for event in events:
            if event.anonymous_id is None and event.user_id in origin.visitors:
                add_notes(event, (), visitor=origin.visitors[event.user_id])


def seal(
    origin: Origin, array: bytes | memoryview, count: int, *, addressed: bool
) -> tuple[Sealed, bytes]:
    """Seals valid events.

    Args:
        array: JSON array of `count` events. `finish` must give the same result for them each time,
            so no event may need a new id, for example.

    Returns:
        The events, and the bytes that the queue stores: a JSON array with one element. The events
        keep only these bytes alive.
    """
    head = b"".join(
        (
            b'[{"sealed":%d,' % count,
            b'"addressed":true,' if addressed else b"",
            b'"origin":',
            _encode(origin),
            b',"sent":',
        )
    )
    data = b"".join((head, array, b"}]"))
    return Sealed(origin, memoryview(data)[len(head) : -2], count, addressed=addressed), data


_encode = msgspec.json.Encoder().encode


# -- reading what was stored ---------------------------------------------------


class Run(_OnDemand):
    """Consecutive events, some of which may still be sealed.

    Attributes:
        addressed: at least one event may name destinations that it should or should not go to.
    """

    __slots__ = ("_count", "_flat", "_parts", "addressed")

    def __init__(self, parts: Iterable[Sequence[Event]] = ()) -> None:
        self._parts: list[Sequence[Event]] = []
        self._flat: list[Event] | None = None
        self._count = 0
        self.addressed = False
        for part in parts:
            self.append(part)

    def append(self, events: Sequence[Event], *, addressed: bool | None = None) -> None:
        """Adds events at the end.

        Args:
            addressed: as the attribute, for these events. None asks the events; if they cannot
                tell, it counts as true.
        """
        if events:
            self._parts.append(events)
            self._count += len(events)
            self._flat = None
            if addressed is None:
                addressed = getattr(events, "addressed", True)
            self.addressed = self.addressed or addressed

    def ids(self) -> list[Ids | Event]:
        """Returns the ids of each event, or the event itself if it is made already."""
        found: list[Ids | Event] = []
        for part in self._parts:
            found += part.ids() if isinstance(part, Sealed | Run) else part
        return found

    def some(self, places: Sequence[int]) -> Sequence[Event]:
        """Returns the events at these places without making them yet."""
        return _Some(self, places, addressed=self.addressed)

    def __len__(self) -> int:
        return self._count

    def _made(self) -> list[Event]:
        if self._flat is None:
            self._flat = list(chain.from_iterable(self._parts))
            self._parts = [self._flat]
        return self._flat


class _Element(Event, kw_only=True):
    """An element of a payload: one event, or several sealed ones."""

    sealed: int = 0
    addressed: bool = False
    origin: Origin | None = None
    sent: Raw = EMPTY


_elements = msgspec.json.Decoder(list[_Element])
_SEALED = b'{"sealed":'


def stored_events(payload: bytes) -> Sequence[Event]:
    """Reads the events of a frame's payload; their bodies are views of it."""
    # A single event never begins with that key. A match inside an event only costs time.
    if _SEALED not in payload:
        return decode_events(payload)
    run = Run()
    singles: list[Event] = []
    for element in _elements.decode(payload):
        if element.origin is None:
            singles.append(element)
            continue
        run.append(singles)
        singles = []
        run.append(
            Sealed(element.origin, element.sent, element.sealed, addressed=element.addressed)
        )
    run.append(singles)
    return run
