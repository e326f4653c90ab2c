"""Events made of the JSON that clients really send."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.events.envelope.normalise import (
    Discarded,
    add_notes,
    clean_text,
    depth_exceeds,
    merge_objects,
    normalise,
)
from gateway.events.event import Event, Notes, decode_events, encode_events
from tests.support.values import json_objects, json_text, json_text_objects, json_values

KNOWN = [*sorted(Event.__struct_encode_fields__), "writeKey"]
keys = st.sampled_from(KNOWN) | st.text(max_size=6)
fields_decoder = msgspec.json.Decoder(dict[str, Raw])


def normalised(route_type: str | None = None, **fields: Any) -> Event:
    """Returns the event of these top-level values; bytes are taken as JSON text."""
    return normalise(
        {
            key: Raw(value if isinstance(value, bytes) else json.dumps(value).encode())
            for key, value in fields.items()
        },
        route_type,
    )


def code_of(**fields: Any) -> str:
    with pytest.raises(Discarded) as caught:
        normalised(**fields)
    return caught.value.code


@given(json_text_objects(keys), st.sampled_from([None, "track"]))
def test_any_object_is_an_event_or_discarded(text: bytes, route_type: str | None) -> None:
    """Any object gives an event that is valid JSON, or raises Discarded."""
    try:
        event = normalise(fields_decoder.decode(text), route_type)
    except Discarded:
        return
    (stored,) = decode_events(encode_events([event]))
    assert stored == event
    shown = json.loads(event.to_json(), parse_int=str)
    assert isinstance(shown, dict)
    assert shown.get("type", "") == event.type


@given(json_text_objects(keys))
def test_nothing_unknown_is_lost(text: bytes) -> None:
    """A top-level key that the specification does not name is kept, with its value."""
    fields = fields_decoder.decode(text)
    try:
        event = normalise(fields)
    except Discarded:
        return
    unknown = {key: bytes(raw) for key, raw in fields.items() if key not in KNOWN}
    assert unknown.keys() <= event.extra.keys()
    kept = fields_decoder.decode(event.raw_extra) if len(event.raw_extra) else {}
    assert {key: bytes(kept[key]) for key in unknown} == unknown


def test_case_28_null_is_absent() -> None:
    """Null counts as absent."""
    event = normalised(
        type="track", userId="u", anonymousId=None, event="e", name=None, channel=None,
        timestamp=None, messageId=None, groupId=None,
    )  # fmt: skip
    assert event == Event(type="track", user_id="u", event="e")


@pytest.mark.parametrize("name", ["userId", "anonymousId", "groupId", "previousId", "messageId"])
@pytest.mark.parametrize("digits", [b"123", b"-7", b"1.50", b"1e999", b"12345678901234567890123"])
def test_case_29_numbers_as_ids(name: str, digits: bytes) -> None:
    """A number is an id with the digits that the client wrote."""
    event = normalised(type="track", **{name: digits})
    assert json.loads(event.to_json())[name] == digits.decode()


@pytest.mark.parametrize("name", ["userId", "anonymousId", "groupId", "previousId"])
@pytest.mark.parametrize("value", [True, False, {}, [], {"id": 1}])
def test_case_29_what_is_no_id(name: str, value: Any) -> None:
    """Booleans, objects and arrays are no ids."""
    assert code_of(type="track", **{name: value}) == "id_not_string"


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        ("track", "event", "event_not_string"),
        ("page", "name", "name_not_string"),
        ("screen", "name", "name_not_string"),
        ("page", "category", "category_not_string"),
        ("screen", "category", "category_not_string"),
    ],
)
@pytest.mark.parametrize("value", [123, True, {}, []])
def test_case_27_and_30_names_are_texts(kind: str, name: str, code: str, value: Any) -> None:
    """The name of a track, page or screen event must be a text."""
    assert code_of(type=kind, **{name: value}) == code


@pytest.mark.parametrize("name", ["event", "name", "category"])
def test_a_name_where_it_names_nothing_is_kept(name: str) -> None:
    """An identify keeps `event` and `name` of any type, as the specification is silent there."""
    assert normalised(type="identify", userId="u", **{name: 7}).extra == {name: 7}


@pytest.mark.parametrize("value", [None, 5, "page", {}])
def test_the_route_fixes_the_type(value: Any) -> None:
    """On a route for one type, the type in the body is ignored."""
    assert normalised("track", type=value, userId="u").type == "track"


@pytest.mark.parametrize("value", [None, 5, True, {}, []])
def test_a_type_that_is_no_text_is_none(value: Any) -> None:
    """Without a type from the route, a type that is no text counts as none."""
    assert normalised(type=value, userId="u").type == ""


@pytest.mark.parametrize(
    "name", ["receivedAt", "sourceId", "version", "writeKey", "_notes", "_extra"]
)
def test_what_the_gateway_stamps_cannot_be_forged(name: str) -> None:
    """The gateway's own keys are dropped, and the write key is never stored."""
    event = normalised(type="track", userId="u", **{name: {"a": 1}})
    assert event == Event(type="track", user_id="u")


def test_bodies_stay_as_they_were_sent() -> None:
    """Every byte of a body is kept."""
    event = normalised(
        type="track", userId=1, properties=b'{ "price" : 1.10 }', context=b"5", _metadata=b"{}"
    )
    assert bytes(event.raw_properties) == b'{ "price" : 1.10 }'
    assert bytes(event.raw_context) == b"5"
    assert event.metadata == {}


@pytest.mark.parametrize("name", ["timestamp", "originalTimestamp", "sentAt"])
def test_times_as_numbers(name: str) -> None:
    """Epoch seconds and milliseconds are read; a value that is no time is noted as sent."""
    for number in (b"1795435200", b"1795435200000", b"1795435200.0"):
        shown = normalised(type="track", **{name: number}).to_dict()
        assert shown[name] == "2026-11-23T12:00:00.000Z"
    for nonsense in (b"1e999", b"true", b'{"a":1}', b"[" + b"1," * 500 + b"1]"):
        event = normalised(type="track", **{name: nonsense})
        assert name not in event.to_dict()
        assert event.notes.raw_timestamp == nonsense[:100].decode()


def test_notes_add_up() -> None:
    """Each note is kept once, and a later one does not remove an earlier one."""
    event = Event(type="track")
    add_notes(event, ["a", "b"], user_agent="UA")
    add_notes(event, ["b", "c"], request_ip="10.1.2.3", user_agent=None)
    assert event.notes == Notes(request_ip="10.1.2.3", user_agent="UA", notes=("a", "b", "c"))


# -- text --------------------------------------------------------------------------------------

_HEX = ["d83d", "D83D", "dbff", "dc00", "dFFf", "DE00", "0000", "0041", "00e9", "ffff", "005c"]
_pieces = st.sampled_from([f"\\u{code}" for code in _HEX]) | st.sampled_from(
    ["\\\\", "\\n", '\\"', "\\/", "u0000", "d83d", "a", "é", "😀", "\\\\u0000", "\\\\\\u0000"]
)
escaped = st.lists(_pieces, max_size=12).map(lambda pieces: f'"{"".join(pieces)}"'.encode())


def stored_text(text: str) -> str:
    """Returns the form in which a decoded text may be stored."""
    return re.sub("[\ud800-\udfff]", "�", text).replace("\0", "")


@given(escaped)
def test_clean_text_is_decodable_and_says_the_same(body: bytes) -> None:
    """Lone surrogates become U+FFFD and NUL is removed, in any text; all else stays."""
    cleaned = clean_text(body)
    expected = stored_text(json.loads(body))
    assert json.loads(cleaned) == expected
    assert msgspec.json.decode(cleaned) == expected


@given(escaped)
def test_clean_text_leaves_clean_text_alone(body: bytes) -> None:
    """Cleaning twice is cleaning once, and clean text keeps its bytes."""
    cleaned = clean_text(body)
    assert clean_text(cleaned) == cleaned
    text = json.loads(body)
    if stored_text(text) == text:
        assert cleaned == body


@given(json_objects, st.booleans())
def test_clean_text_of_whole_bodies(value: dict[str, Any], ascii_only: bool) -> None:
    """In any JSON, only unstorable characters change, in keys and values alike."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    if "\\u0000" not in json.dumps(value):
        assert clean_text(body) == body
    assert "\0" not in json.dumps(msgspec.json.decode(clean_text(body)), ensure_ascii=False)


@pytest.mark.parametrize("unit", [b"\\\\", b"\\n", b"\\u0000", b"\\ud800", b"\\ud83d\\ude00", b"u"])
def test_clean_text_takes_time_in_proportion(unit: bytes) -> None:
    """A megabyte of any escape is cleaned well within the time-out of this test."""
    body = b'"' + unit * (1_000_000 // len(unit)) + b'"'
    assert json.loads(clean_text(body)) == stored_text(json.loads(body))


# -- depth -------------------------------------------------------------------------------------


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(json_values, st.integers(0, 5), st.sampled_from([None, 1]))
def test_depth_is_that_of_the_decoded_value(value: Any, limit: int, indent: int | None) -> None:
    """Text nests as deep as its decoded value; brackets in strings do not count."""
    text = json.dumps(value, indent=indent).encode()
    assert depth_exceeds(text, limit) == (depth_of(value) > limit)


@given(st.lists(st.sampled_from(['"[{"', '"\\\\"', '"\\"["', "1"]), max_size=6), st.integers(0, 8))
def test_depth_ignores_what_strings_hold(strings: list[str], nesting: int) -> None:
    """Brackets and escaped quotes in strings open and close nothing."""
    text = "[" * nesting + ",".join(strings or ["0"]) + "]" * nesting
    for limit in range(9):
        assert depth_exceeds(text.encode(), limit) == (nesting > limit)


@given(json_text)
def test_depth_of_any_text(text: str) -> None:
    """For any text, a limit equal to its depth is not exceeded, and one below is."""
    # Objects as lists of their values, or a key that comes twice would hide one.
    values = json.loads(
        text, parse_int=float, object_pairs_hook=lambda pairs: [v for _, v in pairs]
    )
    depth = depth_of(values)
    assert not depth_exceeds(text.encode(), depth)
    assert depth == 0 or depth_exceeds(text.encode(), depth - 1)


def test_depth_of_long_text() -> None:
    """A megabyte of strings and a tower of brackets are measured without recursion."""
    assert not depth_exceeds(b'["' + b"[" * 1_000_000 + b'"]', 1)
    assert not depth_exceeds(b'["' + b'\\"[' * 300_000 + b'"]', 1)
    assert depth_exceeds(b"[" * 1_000_000 + b"]" * 1_000_000, 64)


# -- merging -----------------------------------------------------------------------------------


@given(json_objects, json_objects)
def test_merge_lets_the_event_win(base: dict[str, Any], over: dict[str, Any]) -> None:
    """All keys of both objects are there; if both have a key, it is merged or that of `over`."""
    before = json.dumps([base, over])
    merged = merge_objects(base, over)
    assert json.dumps([base, over]) == before
    assert merged.keys() == base.keys() | over.keys()
    for key, value in merged.items():
        below, above = base.get(key), over.get(key)
        if key not in over:
            assert value == below
        elif isinstance(below, dict) and isinstance(above, dict):
            assert value == merge_objects(below, above)
        else:
            assert value == above


@given(json_objects)
def test_merge_with_nothing(value: dict[str, Any]) -> None:
    """Merging with an empty object, or with itself, changes nothing."""
    assert merge_objects(value, {}) == merge_objects({}, value) == merge_objects(value, value)
    assert merge_objects(value, value) == value
