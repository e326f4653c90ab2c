"""Events that are stored as they were sent, sealed with what is known of their request.

An event is a function of the bytes that a client sent and of its *origin*: source, time of
receiving, the client's clock, the client's address. As long as nothing at intake changes or drops
any event of a request, there is no need to write the result of that function into each: the queue
stores the bytes once and the origin beside them, and whoever first wants the events makes them.

In the JSON array that is a frame's payload (`gateway.queue`) such events are one element in place
of many, among events that are stored one by one::

    {"sealed":2,"addressed":true,"origin":{"sourceId":"web","receivedMs":1793},"sent":[{...},{...}]}

``sealed`` is their number; ``addressed`` is there and true if any of them says where it is to go.

What `finish` does to an event is part of the format: an event that was sealed by one release must
come out the same in the next.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import cast, overload

import msgspec
from msgspec import Raw, Struct, field

from gateway.events.envelope.client import Client, enrich
from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.peek import Peek, peek
from gateway.events.envelope.stamp import Stamp
from gateway.events.envelope.validate import validate
from gateway.events.event import EMPTY, Event, decode_events

__all__ = [
    "API_EVENT_VERSION",
    "Brief",
    "Ids",
    "Origin",
    "Run",
    "Sealed",
    "SentEvent",
    "briefs",
    "complete",
    "disown",
    "finish",
    "newest_ids",
    "seal",
    "sent_events",
    "stored_events",
]

API_EVENT_VERSION = 2
"""Value of `version` in every event, as Segment stamps it."""


class Origin(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a request says about all its events.

    Attributes:
        sent_at: for events that do not say it themselves: of the batch, or of a header.
        type: what the request's path says that its event is, or empty.
        visitors: userId to visitor, for events without an anonymousId; see
        `gateway.identity.visitors`.
    """

    source_id: str
    received_ms: int
    sent_at: str | None = None
    type: str = ""
    client: Client = Client()
    visitors: dict[str, str] = {}


class SentEvent(Event, kw_only=True):
    """An event as a client sends it; from `disown` on it is an `Event` like any other."""

    version: Raw = EMPTY  # whatever it is: the gateway stamps its own
    write_key: str | None = None

    def disown(self) -> None:
        """Take away what only the gateway may write, and the key, which is nobody's business."""
        self.write_key = None
        self.raw_notes = self.raw_extra = EMPTY


def complete(event: Event, origin: Origin, stamp: Stamp, seen: Peek, context: bytes) -> None:
    """Write into a valid event what its origin says.

    Args:
        stamp: of the origin.
        seen, context: what `peek` finds in the event's context, and that context.
    """
    event.source_id = origin.source_id
    event.version = API_EVENT_VERSION
    stamp.times(event)
    enrich(event, origin.client, seen, context)


class _OnDemand(Sequence[Event]):
    """Events that are made when somebody first looks at one."""

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
        """The events; the same objects each time."""


class Ids(Struct, gc=False, rename="camel"):
    """What an event says of whom it is about, read without making it."""

    message_id: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None


_ids = msgspec.json.Decoder(list[Ids])


class Sealed(_OnDemand):
    """The events of one request, which are made when somebody first looks at one.

    Attributes:
        addressed: whether any of them says where it is to go, or not to go.
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
        """Of each event what `Ids` has; where they have been made, the events."""
        return _ids.decode(self._sent) if self._events is None else self._events

    def _made(self) -> list[Event]:
        events = self._events
        if events is None:
            events = self._events = sent_events(self._sent, self._origin.type)
            finish(events, self._origin)
        return events


class _Some(_OnDemand):
    """Some of the events of a sequence."""

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


def disown(events: Iterable[SentEvent]) -> None:
    """Take away from all of them what only the gateway may write."""
    for event in events:
        # Asked here, as nearly all are honest and a call costs more than the answer.
        if (
            event.write_key is not None
            or event.raw_notes is not EMPTY
            or event.raw_extra is not EMPTY
        ):
            event.disown()


def sent_events(array: bytes | memoryview | Raw, type_: str = "") -> list[Event]:
    """Decode a JSON array of events that are as clients send them.

    Args:
        type_: their type, over what they say; empty to leave that to them.
    """
    events: list[SentEvent] = _sent.decode(array)
    disown(events)
    if type_:
        for event in events:
            event.type = type_
    return cast("list[Event]", events)


_sent = msgspec.json.Decoder(list[SentEvent])


def finish(events: Sequence[Event], origin: Origin) -> None:
    """Bring valid events, as they were sent, into the form in which destinations see them."""
    stamp = Stamp(origin.sent_at, origin.received_ms)
    for event in events:
        raw = event.raw_context
        context = b"" if raw is EMPTY else bytes(raw)
        seen = peek(context)
        validate(event, seen)  # which brings its fields into their form; that it is valid is known
        complete(event, origin, stamp, seen, context)
    if origin.visitors:
        for event in events:
            if event.anonymous_id is None and event.user_id in origin.visitors:
                add_notes(event, (), visitor=origin.visitors[event.user_id])


def seal(
    origin: Origin, array: bytes | memoryview, count: int, *, addressed: bool
) -> tuple[Sealed, bytes]:
    """Seal valid events.

    Args:
        array: a JSON array of `count` events, none of which needs anything that is not the same
            each time, such as a new id.

    Returns:
        The events, and what the queue stores: a JSON array with one element. The first hold on to
        the second and to nothing else.
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
    """Consecutive events, not all of which need to have been made yet.

    Attributes:
        addressed: whether any of them may say where it is to go, or not to go.
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
        """Add events at the end.

        Args:
            addressed: whether any of these may say where it is to go, where they cannot tell.
        """
        if events:
            self._parts.append(events)
            self._count += len(events)
            self._flat = None
            if addressed is None:
                addressed = getattr(events, "addressed", True)
            self.addressed = self.addressed or addressed

    def ids(self) -> list[Ids | Event]:
        """Of each event what `Ids` has; of those that have been made, the event."""
        found: list[Ids | Event] = []
        for part in self._parts:
            found += part.ids() if isinstance(part, Sealed | Run) else part
        return found

    def some(self, places: Sequence[int]) -> Sequence[Event]:
        """The events at these places, none of which is made for that."""
        return _Some(self, places, addressed=self.addressed)

    def __len__(self) -> int:
        return self._count

    def _made(self) -> list[Event]:
        if self._flat is None:
            self._flat = list(chain.from_iterable(self._parts))
            self._parts = [self._flat]
        return self._flat


class _Element(Event, kw_only=True):
    """An element of a payload: an event, or several that are sealed."""

    sealed: int = 0
    addressed: bool = False
    origin: Origin | None = None
    sent: Raw = EMPTY


_elements = msgspec.json.Decoder(list[_Element])
_SEALED = b'{"sealed":'


def stored_events(payload: bytes) -> Sequence[Event]:
    """The events of a frame's payload; their bodies are views of it."""
    # No event is written with that key first, and inside of one it does no harm to find it.
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


class Brief(Struct, gc=False):
    """What tells a stored event from others, which is read without making it."""

    source_id: str = field(default="", name="sourceId")
    message_id: str = field(default="", name="messageId")


class _BriefElement(Brief, gc=False):
    origin: Brief | None = None
    sent: list[Brief] = []


_briefs = msgspec.json.Decoder(list[_BriefElement])


def newest_ids(payload: bytes) -> Iterator[tuple[str, list[str]]]:
    """Sources and message ids of a frame's payload, the newest first."""
    for element in reversed(_briefs.decode(payload)):
        if element.origin is None:
            yield element.source_id, [element.message_id]
        else:
            yield element.origin.source_id, [brief.message_id for brief in reversed(element.sent)]


def briefs(payload: bytes) -> list[Brief]:
    """Source and message id of each event of a frame's payload."""
    found: list[Brief] = []
    for element in _briefs.decode(payload):
        if element.origin is None:
            found.append(element)
            continue
        for brief in element.sent:
            brief.source_id = element.origin.source_id
        found += element.sent
    return found
