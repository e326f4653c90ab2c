"""The events of one request, passed from a source to intake, and the receipt it gets back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Raw, Struct

from gateway.events.envelope.client import Client
from gateway.events.envelope.heads import Head
from gateway.events.event import EMPTY, Event

__all__ = ["Arrival", "Plain", "Receipt"]


class Plain(Struct, frozen=True):
    """The events of a request, most of them undecoded.

    Attributes:
        array: JSON array of the events, in UTF-8, as `gateway.events.envelope.sealed` stores it.
        heads: the head of each event, or the event itself if it is in `made`.
        largest: upper bound in bytes for the size of each event.
        made: by place, the events that have no head, decoded by the source.
        discarded: by place, the codes of those in `made` that could not be decoded either.
        context, integrations: objects beside the batch that are part of each event, or `EMPTY`.
        type: type that the request's path dictates, or empty.
        sent_at: of the batch, from outside its events.
        write_key: of the batch or of its first event.
    """

    array: bytes
    heads: Sequence[Head | Event]
    largest: int
    made: dict[int, Event] = {}
    discarded: dict[int, str] = {}
    context: Raw = EMPTY
    integrations: Raw = EMPTY
    type: str = ""
    sent_at: str | None = None
    write_key: str | None = None


@dataclass(slots=True)
class Arrival:
    """The decoded events of one request, and the request's own data.

    Attributes:
        events: in the order of the request.
        discarded: number of events that the source itself discarded, by code. Intake adds those
            that it discards.
        sent_at: of the batch or of a header, for events that have none.
        client: sender of the request.
        body_bytes: size of the request's body. The events' bodies are views of it.
        types: event types that the write key may send; None for all.
    """

    source_id: str
    received_ms: int
    events: list[Event]
    discarded: Counter[str] = field(default_factory=Counter)
    sent_at: str | None = None
    client: Client = field(default_factory=Client)
    body_bytes: int = 0
    types: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Counts of a request's events by result.

    Attributes:
        accepted: stored events.
        duplicate: events that were stored before.
        discarded: number of discarded events by code.
    """

    accepted: int
    duplicate: int
    discarded: Mapping[str, int]
