"""What a source hands to intake: the events of one request; and what it is told in return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.events.envelope.client import Client
from gateway.events.envelope.heads import Head
from gateway.events.event import Event

__all__ = ["Arrival", "Plain", "Receipt"]


@dataclass(frozen=True, slots=True)
class Plain:
    """The events of a request that need no mending, for all that their source can tell.

    Attributes:
        array: a JSON array of them, in UTF-8, as `gateway.events.envelope.sealed` stores it.
        heads: of each of them.
        largest: bytes; none of them has more.
        type: what the request's path says that they are, or empty.
        sent_at, write_key: as the request says, outside of the events or in the first of them.
    """

    array: bytes
    heads: Sequence[Head]
    largest: int
    type: str = ""
    sent_at: str | None = None
    write_key: str | None = None


@dataclass(slots=True)
class Arrival:
    """The events of one request, decoded, and what the request says about them.

    Attributes:
        events: in the order of the request.
        discarded: events that the source itself could not accept, by code; `accept` adds its own.
        sent_at: for events that have none: of the batch, or of a header.
        client: who sent the request.
        body_bytes: size of the request's body, which the events' bodies are views of.
        types: of events that its write key may send; None for all.
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
    """What became of the events of a request."""

    accepted: int
    duplicate: int
    discarded: Mapping[str, int]
