"""Matches and redacts the events of data subjects.

A data subject is named by userId or by anonymousId. An event belongs to a subject named by userId
if that is its `userId`, or the `previousId` of an alias. It belongs to a subject named by
anonymousId if that is its `anonymousId`, or the `previousId` of an alias. As with Segment, the same
id among properties or traits does not count.

Redaction replaces an erased event by a *mark*: an event of type ``erased`` with nothing but its
source id. So offsets and counts stay the same. If another person's event has a subject noted as its
visitor (`gateway.identity.visitors`), only that note is removed.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct, structs

from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event, decode_events, encode_events

__all__ = ["ERASED", "MOST_SUBJECTS", "Redacted", "Subjects", "redact"]

ERASED = "erased"
"""Type of a mark, and name of the rule that keeps it from destinations."""

MOST_SUBJECTS = 5_000
"""Limit for one regulation, as with Segment."""


class Subjects(Struct, frozen=True):
    """Data subjects.

    Attributes:
        users: those named by userId.
        anonymous: those named by anonymousId.
    """

    users: frozenset[str] = frozenset()
    anonymous: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.users) + len(self.anonymous)

    def own(
        self, kind: str, user_id: str | None, anonymous_id: str | None, previous_id: str | None
    ) -> bool:
        """Tells whether an event with these ids belongs to a subject.

        Args:
            kind: the event's type.
        """
        if user_id in self.users or anonymous_id in self.anonymous:
            return True
        return kind == "alias" and (previous_id in self.users or previous_id in self.anonymous)

    def owns(self, event: Event) -> bool:
        """Tells whether an event belongs to a subject."""
        return self.own(event.type, event.user_id, event.anonymous_id, event.previous_id)

    def owns_json(self, event: bytes) -> bool:
        """Tells whether an event belongs to a subject, given its JSON."""
        return self._owns(_decoder.decode(event))

    def without_visitor(self, event: bytes) -> bytes | None:
        """Removes the note that a subject is the event's visitor; None if there is no such note.

        Args:
            event: as JSON.
        """
        if not self._names(_decoder.decode(event)):
            return None
        (changed,) = decode_events(b"[" + event + b"]")
        self._forget_visitor(changed)
        return encode_events([changed])[1:-1]

    def _names(self, owner: _Owner) -> bool:
        """Tells whether a subject is noted as the visitor of an event, or of a sealed one."""
        visitors = (owner.notes.visitor, *(owner.origin.visitors.values() if owner.origin else ()))
        return any(visitor in self.users or visitor in self.anonymous for visitor in visitors)

    def _forget_visitor(self, event: Event) -> None:
        notes = event.notes
        if notes.visitor in self.users or notes.visitor in self.anonymous:
            event.raw_notes = Raw(msgspec.json.encode(structs.replace(notes, visitor=None)))

    def _owns(self, owner: _Owner) -> bool:
        return self.own(owner.type, owner.user_id, owner.anonymous_id, owner.previous_id)

    def _may_own_some(self, sealed: _Owner) -> bool:
        """Tells whether any sealed event has a subject's id, so that it may belong to one."""
        subject_ids = self.users | self.anonymous
        return any(
            id_ is not None and (id_ in subject_ids or id_.strip() in subject_ids)
            for owner in sealed.sent
            for id_ in (owner.user_id, owner.anonymous_id, owner.previous_id)
        )


class Redacted(NamedTuple):
    """The result of a redaction.

    Attributes:
        payload: JSON array of events, with marks in place of erased events.
        ids: source id and message id of each erased event; empty if only notes were changed.
    """

    payload: bytes
    ids: list[tuple[str, str]]


def redact(subjects: Subjects, payload: bytes) -> Redacted | None:
    """Replaces the subjects' events in a frame's payload by marks; None if there are none.

    If one of several events that are sealed together (`gateway.events.envelope.sealed`) is erased,
    the others are stored one by one afterwards.
    """
    owners = _list_decoder.decode(payload)
    touched = {
        place
        for place, owner in enumerate(owners)
        if subjects._names(owner)
        or (subjects._owns(owner) if owner.origin is None else subjects._may_own_some(owner))
    }
    if not touched:
        return None
    kept: list[bytes | Raw] = []
    ids: list[tuple[str, str]] = []
    changed = False
    elements: list[Raw] = _raw_decoder.decode(payload)
    for place, element in enumerate(elements):
        if place not in touched:
            kept.append(element)
            continue
        events = stored_events(b"[" + bytes(element) + b"]")
        erased = [event for event in events if subjects.owns(event)]
        if not erased and not subjects._names(owners[place]):
            kept.append(element)
            continue
        changed = True
        ids += [(event.source_id, event.message_id) for event in erased]
        for event in events:
            subjects._forget_visitor(event)
        left = [_mark(event) if subjects.owns(event) else event for event in events]
        kept.append(encode_events(left)[1:-1])
    return Redacted(b"[" + b",".join(kept) + b"]", ids) if changed else None


def _mark(event: Event) -> Event:
    return Event(type=ERASED, source_id=event.source_id)


class _Origin(Struct):
    """The part of a sealed element's origin that redaction needs."""

    visitors: dict[str, str] = {}


class _Notes(Struct, frozen=True):
    """The part of an event's notes that redaction needs."""

    visitor: str | None = None


class _Owner(Struct, rename="camel"):
    """The ids of an event, or of several that are sealed together."""

    type: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    notes: _Notes = msgspec.field(default=_Notes(), name="_notes")
    origin: _Origin | None = None
    sent: list[_Owner] = []


_decoder = msgspec.json.Decoder(_Owner)
_list_decoder = msgspec.json.Decoder(list[_Owner])
_raw_decoder = msgspec.json.Decoder(list[Raw])
