"""Those whose data is to be erased, and how an event of theirs is told and taken away.

An event is a subject's if its `userId` is, or the `previousId` of an alias, or, where the subject
is named by anonymousId, its `anonymousId` or that `previousId`. As with Segment, an id that stands
anywhere else in an event, among its properties or traits, is a value like any other.

What is erased leaves a *mark* in its place: an event of type ``erased`` with nothing but the id of
its source. Offsets stay as they are, and so do counts.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from gateway.event import Event, encode_events
from gateway.sealed import stored_events

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
        ids: source and message id of each event that was.
    """

    payload: bytes
    ids: list[tuple[str, str]]


def redact(subjects: Subjects, payload: bytes) -> Redacted | None:
    """Put marks in place of the subjects' events in a frame's payload; None where there are none.

    Events that are sealed together (`gateway.sealed`) are stored one by one afterwards, if one of
    them is taken out.
    """
    everybody = _list_decoder.decode(payload)
    touched = {
        place
        for place, who in enumerate(everybody)
        if (subjects._owns(who) if who.origin is None else subjects._may_own_some(who))
    }
    if not touched:
        return None
    kept: list[bytes | Raw] = []
    ids: list[tuple[str, str]] = []
    elements: list[Raw] = _raw_decoder.decode(payload)
    for place, element in enumerate(elements):
        if place not in touched:
            kept.append(element)
            continue
        events = stored_events(b"[" + bytes(element) + b"]")
        theirs = [event for event in events if subjects.owns(event)]
        ids += [(event.source_id, event.message_id) for event in theirs]
        kept.append(
            encode_events([_mark(event) if subjects.owns(event) else event for event in events])[
                1:-1
            ]
            if theirs
            else element
        )
    return Redacted(b"[" + b",".join(kept) + b"]", ids) if ids else None


def _mark(event: Event) -> Event:
    return Event(type=ERASED, source_id=event.source_id)


class _Origin(Struct):
    """That of sealed events; nothing of it tells whose they are."""


class _Who(Struct, rename="camel"):
    """Of an event, what tells whose it is; or of several that are sealed, as `gateway.sealed`."""

    type: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    origin: _Origin | None = None
    sent: list[_Who] = []


_decoder = msgspec.json.Decoder(_Who)
_list_decoder = msgspec.json.Decoder(list[_Who])
_raw_decoder = msgspec.json.Decoder(list[Raw])
