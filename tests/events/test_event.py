"""The event: lazy bodies, copies, and its JSON."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.events.envelope.normalise import add_notes
from gateway.events.event import Event, Notes, decode_events, encode_events
from tests.support.values import json_objects, json_values

BODIES = ("properties", "traits", "context", "integrations", "extra")
WIRE_NAMES = {
    "type", "messageId", "userId", "anonymousId", "event", "name", "category", "groupId",
    "previousId", "channel", "timestamp", "originalTimestamp", "sentAt", "receivedAt", "sourceId",
    "version", "properties", "traits", "context", "integrations", "_metadata", "_notes", "_extra",
}  # fmt: skip

ids = st.none() | st.text(max_size=10)
bodies = json_objects.map(json.dumps) | st.sampled_from(
    [
        "{}",
        '{ "a" : 1 }',
        '{"n":1e999}',
        '{"a":1,"a":2}',
        '{"\\u00e9":"\\ud83d\\ude00é"}',
        '{"a":{}}',
    ]
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Generates any event that intake could have stored."""
    event = Event(
        type=draw(st.sampled_from(["track", "identify", "page", "alias"])),
        message_id=draw(st.text(max_size=10)),
        user_id=draw(ids),
        event=draw(ids),
        version=draw(st.sampled_from([None, 2])),
    )
    for slot in ("raw_properties", "raw_traits", "raw_context", "raw_integrations", "raw_metadata"):
        if draw(st.booleans()):
            setattr(event, slot, Raw(draw(bodies).encode()))
    if draw(st.booleans()):
        event.extra = {f"x-{key}": value for key, value in draw(json_objects).items()}
    if draw(st.booleans()):
        add_notes(event, ["note"], request_ip="10.1.2.3")
    return event


def test_names_on_the_wire() -> None:
    """JSON keys are those of the specification; the gateway's own begin with an underscore."""
    assert set(Event.__struct_encode_fields__) == WIRE_NAMES


def test_a_body_is_decoded_once() -> None:
    """Reading a body twice returns the same object."""
    event = Event(raw_properties=Raw(b'{"a":[1]}'))
    assert event.properties == {"a": [1]}
    assert event.properties is event.properties


@pytest.mark.parametrize("name", [*BODIES, "metadata"])
def test_an_absent_body_is_an_empty_mapping(name: str) -> None:
    """An absent body reads as an empty mapping, and is absent in JSON."""
    event = Event(type="track")
    assert getattr(event, name) == {}
    assert event.to_json() == b'{"type":"track"}'


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_changed_by_assignment(name: str) -> None:
    """An assigned body is read and stored; assigning an empty one removes the body."""
    event = Event(type="track")
    setattr(event, name, {"a": {"b": 1}})
    (stored,) = decode_events(encode_events([event]))
    assert getattr(event, name) == getattr(stored, name) == {"a": {"b": 1}}

    setattr(event, name, {})
    assert getattr(event, name) == {}
    assert event.to_json() == b'{"type":"track"}'


def test_new_bytes_of_a_body_replace_what_was_read() -> None:
    """A body whose bytes are set is read anew."""
    event = Event(raw_context=Raw(b'{"a":1}'))
    assert event.context == {"a": 1}
    event.set_raw("raw_context", Raw(b'{"a":2}'))
    assert event.context == {"a": 2}


@pytest.mark.parametrize("raw", [b"1", b"null", b'"a"', b"[1]", b"1" * 30])
def test_a_body_that_is_no_object_reads_as_empty(raw: bytes) -> None:
    """Plugins read events before validation, so a body is a mapping whatever was sent."""
    event = Event(raw_context=Raw(raw))
    assert event.context == {}
    assert event.own_body("context") == {}


@given(st.lists(events(), max_size=4))
def test_what_is_stored_is_what_comes_back(batch: list[Event]) -> None:
    """The queue's form keeps every digit of a body and every note."""
    assert decode_events(encode_events(batch)) == batch


@given(events())
def test_to_json_and_to_dict_agree(event: Event) -> None:
    """`to_json` and `to_dict` have the same content, without the gateway's notes."""
    decoded = json.loads(event.to_json(), parse_int=str)
    shown = event.to_dict()
    assert decoded.keys() == shown.keys()
    assert not {"_notes", "_extra"} & shown.keys()
    assert msgspec.to_builtins(event.properties) == shown.get("properties", {})
    assert shown["type"] == event.type
    for key, value in event.extra.items():
        assert shown[key] == value


@given(events())
def test_to_json_changes_nothing(event: Event) -> None:
    """Encoding an event for a destination leaves the event as it was."""
    before = encode_events([event])
    event.to_json()
    assert encode_events([event]) == before


@pytest.mark.parametrize("raw", [b'{"a":1}', b' { "a" : 1 } '])
def test_extra_of_an_event_with_nothing_else(raw: bytes) -> None:
    """An event with nothing but unknown top-level keys encodes to these keys."""
    assert Event(raw_extra=Raw(raw)).to_dict() == {"a": 1}
    assert Event(raw_extra=Raw(b"{ }")).to_dict() == {}


def test_destinations_may_encode_a_shared_event_in_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While one thread encodes an event, other threads see it complete."""
    event = Event(type="track", message_id="m")
    event.extra = {"custom": True}
    add_notes(event, ["note"])
    before = encode_events([event])
    encode = msgspec.json.Encoder().encode
    meanwhile: list[bytes] = []

    class Encoder:
        def encode(self, value: object) -> bytes:
            meanwhile.append(encode([event]))
            return encode(value)

    monkeypatch.setattr("gateway.events.event._encoder", Encoder())
    assert event.to_json() == b'{"type":"track","messageId":"m","custom":true}'
    assert meanwhile == [before]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"12345678901234567890123", 12345678901234567890123),
        (b"-12345678901234567890123", -12345678901234567890123),
        (b"7" * 400, int("7" * 400)),
        (b"7" * 5000, None),
        (b"1e999", None),
        (b"-1e999", None),
        (b"1.25", 1.25),
    ],
)
def test_numbers_beyond_what_a_double_holds(text: bytes, value: Any) -> None:
    """Integers keep all digits; a number too large for a double reads as null, without error."""
    event = Event(type="track", raw_properties=Raw(b'{"n":' + text + b',"m":1}'))
    assert event.properties == {"n": value, "m": 1}
    assert event.to_dict()["properties"] == {"n": value, "m": 1}
    assert text in event.to_json()


@given(json_values)
def test_any_value_can_be_assigned(value: Any) -> None:
    """Any JSON value that a client could send can be assigned."""
    event = Event(type="track")
    event.properties = {"value": value}
    (stored,) = decode_events(encode_events([event]))
    assert stored.properties == {"value": value}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"s": "cut \ud83d"}, {"s": "cut �"}),
        ({"\udc00": ["\ud800", {"\ud800": ("\udc00",)}]}, {"�": ["�", {"�": ["�"]}]}),
        ({"s": "\ud83d", "n": math.nan, "i": 2**80}, {"s": "�", "n": None, "i": 2**80}),
        ({"n": math.inf}, {"n": None}),
        (
            {"s": "\ud83d", "at": datetime(2026, 11, 23, tzinfo=UTC)},
            {"s": "�", "at": "2026-11-23T00:00:00Z"},
        ),
    ],
)
def test_what_json_cannot_say_is_replaced(value: dict[str, Any], stored: dict[str, Any]) -> None:
    """Lone surrogates become U+FFFD, and NaN and infinity null, so the event stays JSON."""
    event = Event(type="track")
    event.properties = value
    assert json.loads(event.to_json())["properties"] == stored


@given(events(), json_objects)
def test_a_copy_is_isolated(event: Event, body: dict[str, Any]) -> None:
    """Changes to a copy do not show in the original, and the other way round."""
    before = encode_events([event])
    _ = event.properties, event.context
    twin = event.copy()
    assert twin == event
    twin.user_id = "somebody else"
    for name in BODIES:
        setattr(twin, name, {**body, "changed": 1})
    add_notes(twin, ["changed"])
    assert encode_events([event]) == before

    changed = encode_events([twin])
    event.anonymous_id = "another"
    event.properties = {"also": "changed"}
    assert encode_events([twin]) == changed


@given(events(), json_objects)
def test_restore_undoes_changes(event: Event, body: dict[str, Any]) -> None:
    """After `restore` an event equals the copy, including its decoded bodies."""
    original = event.copy()
    _ = event.properties
    event.type = "page"
    event.user_id = "changed"
    for name in BODIES:
        setattr(event, name, {**body, "changed": 1})
    event.restore(original)
    assert event == original
    for name in BODIES:
        assert getattr(event, name) == getattr(original, name)


@given(events())
def test_size_is_near_the_truth(event: Event) -> None:
    """`size` differs from the stored bytes by no more than the short fields."""
    short = sum(
        len(getattr(event, name) or "") * 6 for name in ("message_id", "user_id", "event", "type")
    )
    apart = len(event.raw_metadata) + len(event.raw_notes)
    assert abs(event.size + apart - len(encode_events([event]))) <= 400 + short


def test_notes_are_kept_apart() -> None:
    """The gateway's notes are stored with the event and shown to no destination."""
    event = Event(type="track")
    assert event.notes == Notes()
    add_notes(event, ["properties_truncated"], request_ip="10.1.2.3")
    (stored,) = decode_events(encode_events([event]))
    assert stored.notes == Notes(request_ip="10.1.2.3", notes=("properties_truncated",))
    assert stored.to_json() == b'{"type":"track"}'


def test_bodies_are_views_of_the_stored_bytes() -> None:
    """Reading a batch copies no body: each is a view that keeps the batch alive."""
    event = Event(type="track", raw_properties=Raw(b'{"a":1}'))
    data = encode_events([event])
    holders = sys.getrefcount(data)
    (stored,) = decode_events(data)
    assert stored.properties == {"a": 1}
    assert sys.getrefcount(data) > holders
