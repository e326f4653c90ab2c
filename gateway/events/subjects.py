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
from gateway.events.envelope.stored_ids import OwnedElement, owned_elements
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
        (decoded,) = decode_events(b"[" + event + b"]")
        return self.owns(decoded)

    def without_visitor(self, event: bytes) -> bytes | None:
        """Removes the note that a subject is the event's visitor; None if there is no such note.

        Args:
            event: as JSON.
        """
        (changed,) = decode_events(b"[" + event + b"]")
        if not self._has(changed.notes.visitor):
            return None
        self._forget_visitor(changed)
        return encode_events([changed])[1:-1]

    def _has(self, id_: str | None) -> bool:
        return id_ in self.users or id_ in self.anonymous

    def _are_visitors(self, element: OwnedElement) -> bool:
        """Tells whether a subject is noted as the visitor of an event, or of a sealed one."""
        noted = element.origin.visitors.values() if element.origin else (element.notes.visitor,)
        return any(self._has(visitor) for visitor in noted)

    def _forget_visitor(self, event: Event) -> None:
        notes = event.notes
        if self._has(notes.visitor):
            event.raw_notes = Raw(msgspec.json.encode(structs.replace(notes, visitor=None)))

    def _may_own_some(self, element: OwnedElement) -> bool:
        """Tells whether an element has a subject's id, so that it may hold events of one."""
        if element.origin is None:
            return self.own(
                element.type, element.user_id, element.anonymous_id, element.previous_id
            )
        subject_ids = self.users | self.anonymous
        return any(
            id_ is not None and (id_ in subject_ids or id_.strip() in subject_ids)
            for owner in element.sent
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
    owned = owned_elements(payload)
    touched = {
        place
        for place, element in enumerate(owned)
        if subjects._are_visitors(element) or subjects._may_own_some(element)
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
        if not erased and not subjects._are_visitors(owned[place]):
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


_raw_decoder = msgspec.json.Decoder(list[Raw])
