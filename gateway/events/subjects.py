"""Those whose data is to be erased, and how an event of theirs is told and taken away.

An event is a subject's if its `userId` is, or the `previousId` of an alias, or, where the subject
is named by anonymousId, its `anonymousId` or that `previousId`. As with Segment, an id that stands
anywhere else in an event, among its properties or traits, is a value like any other. Where an
event of somebody else has a subject noted down as its visitor (`gateway.identity.visitors`), the
note is taken away and the event stays.

What is erased leaves a *mark* in its place: an event of type ``erased`` with nothing but the id of
its source. Offsets stay as they are, and so do counts.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct, structs

from gateway.events.envelope.sealed import stored_events
from gateway.events.event import Event, decode_events, encode_events

__all__ = ["ERASED", "MOST_SUBJECTS", "Redacted", "Subjects", "redact"]

ERASED = "erased"
"""Type of a mark, and the rule by which it is kept from destinations."""

MOST_SUBJECTS = 5_000
"""In one regulation, as with Segment."""


class Subjects(Struct, frozen=True):
    """Whose data is meant, by the ids that their events have."""

    users: frozenset[str] = frozenset()
    anonymous: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.users) + len(self.anonymous)

    def own(
        self, kind: str, user_id: str | None, anonymous_id: str | None, previous_id: str | None
    ) -> bool:
        """Whether an event with these ids is theirs.

        Args:
            kind: the event's type.
        """
        if user_id in self.users or anonymous_id in self.anonymous:
            return True
        return kind == "alias" and (previous_id in self.users or previous_id in self.anonymous)

    def owns(self, event: Event) -> bool:
        """Whether an event is theirs."""
        return self.own(event.type, event.user_id, event.anonymous_id, event.previous_id)

    def owns_json(self, event: bytes) -> bool:
        """Whether an event that is encoded as JSON is theirs."""
        return self._owns(_decoder.decode(event))

    def without_visitor(self, event: bytes) -> bytes | None:
        """An event that is encoded as JSON without the note that a subject is its visitor.

        None where there is no such note.
        """
        if not self._names(_decoder.decode(event)):
            return None
        (changed,) = decode_events(b"[" + event + b"]")
        self._forget_visitor(changed)
        return encode_events([changed])[1:-1]

    def _names(self, who: _Who) -> bool:
        """Whether a subject is noted down as the visitor of an event, or of any that is sealed."""
        visitors = (who.notes.visitor, *(who.origin.visitors.values() if who.origin else ()))
        return any(visitor in self.users or visitor in self.anonymous for visitor in visitors)

    def _forget_visitor(self, event: Event) -> None:
        notes = event.notes
        if notes.visitor in self.users or notes.visitor in self.anonymous:
            event.raw_notes = Raw(msgspec.json.encode(structs.replace(notes, visitor=None)))

    def _owns(self, who: _Who) -> bool:
        return self.own(who.type, who.user_id, who.anonymous_id, who.previous_id)

    def _may_own_some(self, sealed: _Who) -> bool:
        """Whether any event that is sealed may be theirs, once it is made: if it has their id."""
        everybody = self.users | self.anonymous
        return any(
            id_ is not None and (id_ in everybody or id_.strip() in everybody)
            for who in sealed.sent
            for id_ in (who.user_id, who.anonymous_id, who.previous_id)
        )


class Redacted(NamedTuple):
    """A JSON array of events without those that were erased.

    Attributes:
        ids: source and message id of each event that was; none where only notes were changed.
    """

    payload: bytes
    ids: list[tuple[str, str]]


def redact(subjects: Subjects, payload: bytes) -> Redacted | None:
    """Put marks in place of the subjects' events in a frame's payload; None where there are none.

    Events that are sealed together (`gateway.events.envelope.sealed`) are stored one by one
    afterwards, if one of them is taken out.
    """
    everybody = _list_decoder.decode(payload)
    touched = {
        place
        for place, who in enumerate(everybody)
        if subjects._names(who)
        or (subjects._owns(who) if who.origin is None else subjects._may_own_some(who))
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
        theirs = [event for event in events if subjects.owns(event)]
        if not theirs and not subjects._names(everybody[place]):
            kept.append(element)
            continue
        changed = True
        ids += [(event.source_id, event.message_id) for event in theirs]
        for event in events:
            subjects._forget_visitor(event)
        left = [_mark(event) if subjects.owns(event) else event for event in events]
        kept.append(encode_events(left)[1:-1])
    return Redacted(b"[" + b",".join(kept) + b"]", ids) if changed else None


def _mark(event: Event) -> Event:
    return Event(type=ERASED, source_id=event.source_id)


class _Origin(Struct):
    """That of sealed events."""

    visitors: dict[str, str] = {}


class _Notes(Struct, frozen=True):
    """What the gateway noted about an event."""

    visitor: str | None = None


class _Who(Struct, rename="camel"):
    """Of an event, what tells whose it is; or of several that are sealed together."""

    type: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    notes: _Notes = msgspec.field(default=_Notes(), name="_notes")
    origin: _Origin | None = None
    sent: list[_Who] = []


_decoder = msgspec.json.Decoder(_Who)
_list_decoder = msgspec.json.Decoder(list[_Who])
_raw_decoder = msgspec.json.Decoder(list[Raw])
