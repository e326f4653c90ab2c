"""Reads the ids of stored events without making the events.

A payload has the form that `gateway.events.envelope.sealed` describes.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from gateway.events.envelope.sealed import Ids, Origin
from gateway.events.event import Notes

__all__ = ["Brief", "OwnedElement", "Owner", "briefs", "newest_ids", "owned_elements"]


class Brief(Struct, gc=False):
    """The source id and message id of a stored event, read without making the event."""

    source_id: str = field(default="", name="sourceId")
    message_id: str = field(default="", name="messageId")


class _BriefElement(Brief, gc=False):
    origin: Brief | None = None
    sent: list[Brief] = []


_briefs = msgspec.json.Decoder(list[_BriefElement])


def newest_ids(payload: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yields source ids and message ids of a frame's payload, the newest first."""
    for element in reversed(_briefs.decode(payload)):
        if element.origin is None:
            yield element.source_id, [element.message_id]
        else:
            yield element.origin.source_id, [brief.message_id for brief in reversed(element.sent)]


def briefs(payload: bytes) -> list[Brief]:
    """Returns source id and message id of each event of a frame's payload."""
    found: list[Brief] = []
    for element in _briefs.decode(payload):
        if element.origin is None:
            found.append(element)
            continue
        for brief in element.sent:
            brief.source_id = element.origin.source_id
        found += element.sent
    return found


class Owner(Ids, rename="camel"):
    """The ids of an event that say whom it belongs to."""

    type: str = ""
    previous_id: str | None = None


class OwnedElement(Owner, rename="camel"):
    """An element of a payload, read without making its events.

    Attributes:
        notes: the notes about the event.
        origin: None if the element is an event itself.
        sent: the ids of the sealed events, as the client sent them.
    """

    notes: Notes = field(default=Notes(), name="_notes")
    origin: Origin | None = None
    sent: list[Owner] = field(default_factory=list)


_owned = msgspec.json.Decoder(list[OwnedElement])


def owned_elements(payload: bytes) -> list[OwnedElement]:
    """Reads whom the events of a frame's payload belong to, one entry for each element."""
    return _owned.decode(payload)
