"""Matching and redacting the events of data subjects."""

from __future__ import annotations

import msgspec

from gateway.components.chain import Chain
from gateway.delivery.selection import Outgoing, Selection, SelectionContext
from gateway.events.envelope.sealed import Origin, seal, stored_events
from gateway.events.envelope.validate import validate
from gateway.events.event import Event, decode_events, encode_events
from gateway.events.subjects import ERASED, Subjects, redact
from gateway.testing import make_event


def test_a_mark_has_nothing_but_its_source() -> None:
    """A mark has only a source id, and events of other people keep every byte."""
    events = [make_event(user_id="bob"), make_event(user_id="ada", properties={"a": 1})]
    payload = encode_events(events)
    redacted = redact(Subjects(frozenset({"ada"})), payload)
    assert redacted is not None
    assert redacted.payload == (
        b"[" + encode_events(events[:1])[1:-1] + b',{"type":"erased","sourceId":"web"}]'
    )
    assert redacted.ids == [("web", events[1].message_id)]
    assert decode_events(redacted.payload)[1] == Event(type=ERASED, source_id="web")


async def test_marks_are_kept_from_every_destination() -> None:
    """Marks go to no destination, not even archives, and are counted by their own rule."""
    marks = [Event(type=ERASED, source_id="web"), make_event()]
    for storage in (True, False):
        outgoing = Outgoing(0)
        selection = Selection(
            SelectionContext(Chain([]), name="x", storage=storage, consent=("A",), clock=lambda: 0)
        )
        await selection.sort(marks, range(5, 7), outgoing)
        assert outgoing.filtered == {ERASED: [5]}
        assert list(outgoing.offsets) == [6]


def test_no_client_can_send_a_mark() -> None:
    """A client can send neither a mark nor an event that passes for one."""
    assert validate(make_event(type=ERASED)) == "invalid_type"


def sealed(*events: dict[str, object], type_: str = "") -> bytes:
    """Returns a payload as the fast path stores it."""
    origin = Origin("web", 1_795_442_400_000, type=type_)
    _, data = seal(origin, msgspec.json.encode(events), len(events), addressed=False)
    return data


def sent(user: str, **fields: object) -> dict[str, object]:
    return {"type": "track", "event": "E", "userId": user, "messageId": f"m-{user}", **fields}


def test_sealed_events_come_out_as_they_would_have() -> None:
    """Other people's sealed events stay the same for destinations, and untouched payloads too."""
    payload = sealed(sent("bob"), sent("ada"), sent("eve", context={"page": {"url": "/"}}))
    before = list(stored_events(payload))
    assert redact(Subjects(frozenset({"carl"})), payload) is None
    redacted = redact(Subjects(frozenset({"ada"})), payload)
    assert redacted is not None
    after = list(stored_events(redacted.payload))
    assert [event.to_json() for event in (after[0], after[2])] == [
        event.to_json() for event in (before[0], before[2])
    ]
    assert after[1] == Event(type=ERASED, source_id="web")
    assert redacted.ids == [("web", "m-ada")]
    assert b"ada" not in redacted.payload


def test_whose_a_sealed_event_is_depends_on_its_path() -> None:
    """The type given by the request's path decides which ids of a sealed event count."""
    alias = {"userId": "bob", "previousId": "ada", "messageId": "m"}
    assert redact(Subjects(frozenset({"ada"})), sealed(alias, type_="alias")) is not None
    assert redact(Subjects(frozenset({"ada"})), sealed(alias, type_="identify")) is None
    unnamed = {"userId": "bob", "anonymousId": "ada", "messageId": "m"}
    assert redact(Subjects(frozenset({"ada"})), sealed(unnamed, type_="alias")) is not None
    assert redact(Subjects(frozenset({"ada"})), sealed(unnamed, type_="identify")) is None
