"""Decoding of bodies: both paths give the same events, and no forged field is kept."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.builtin.sources.segment.answers import Rejected
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import Parsed, parse_batch, parse_event
from gateway.builtin.sources.segment.limits import select
from gateway.events.event import EMPTY, Event
from tests.support.segment_harness import dumps, event
from tests.support.sizes import examples

STAMPS = {
    "receivedAt": "2001-01-01T00:00:00Z",
    "sourceId": "forged",
    "version": 99,
    "_notes": {"requestIp": "6.6.6.6", "notes": ["forged"]},
    "_extra": {"userId": "forged"},
    "writeKey": "secret",
}


def events_of(parsed: Parsed) -> list[Event]:
    """Returns all events of a body, without limits that matter here."""
    return select(parsed, SegmentConfig(max_event_bytes=10_000_000, max_depth=500))


def both_paths(*elements: Any) -> tuple[list[Event], list[Event]]:
    """Returns the elements by the fast path, and by the slow path that an odd element needs."""
    hot = parse_batch(dumps({"batch": elements}))
    slow = parse_batch(dumps({"batch": [*elements, 5]}))
    assert hot.elements is None
    assert slow.elements is not None
    return events_of(hot), events_of(slow)


@pytest.mark.parametrize("stamp", STAMPS)
def test_stamps_are_not_believed(stamp: str) -> None:
    """Fields that only the gateway may write are dropped on both paths."""
    forged = event(**{stamp: STAMPS[stamp]})
    hot, slow = both_paths(forged)
    (single,) = events_of(parse_event(dumps(forged), "track"))
    (mended,) = events_of(parse_event(dumps({**forged, "unknown": 1}), "track"))
    for one in (*hot, *slow, single, mended):
        assert one.raw_notes is EMPTY
        assert one.extra in ({}, {"unknown": 1})
        # Intake stamps these over whatever they are.
        one.version, one.source_id, one.received_at = 2, "web", "now"
        assert "forged" not in str(one.to_dict())
        assert "secret" not in str(one.to_dict())


def test_stamps_of_the_wrong_type() -> None:
    """A forged stamp that is no string takes the slow path, and is dropped there."""
    for forged in ({"receivedAt": 5}, {"sourceId": {}}, {"writeKey": 7}):
        (one,) = events_of(parse_event(dumps(event(**forged)), "track"))
        assert one.extra == {}
        assert (one.received_at, one.source_id) == (None, "")


def test_unknown_keys_are_kept() -> None:
    """Top-level keys that the specification does not name are kept unchanged."""
    odd = event(rudderId="r", nested={"a": [1, 2.50, None]}, name=7)
    parsed = parse_batch(dumps({"batch": [odd, event(userId="second")]}))
    first, second = events_of(parsed)
    assert first.to_dict() == odd
    assert second.user_id == "second"


TEXT = st.text(st.characters(), max_size=20)
BODIES = st.dictionaries(TEXT, st.recursive(st.none() | st.booleans() | TEXT, st.lists))
SENSIBLE = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "page", "identify"]), "userId": TEXT},
    optional={
        "anonymousId": st.none() | TEXT,
        "event": TEXT,
        "messageId": TEXT,
        "properties": BODIES,
        "traits": BODIES,
        "context": BODIES,
        "integrations": BODIES,
        "timestamp": TEXT,
        "writeKey": TEXT,
    },
)


@given(st.lists(SENSIBLE, max_size=4))
@settings(max_examples=examples(15, 200), deadline=None)
def test_both_paths_agree(elements: list[dict[str, Any]]) -> None:
    """An event does not depend on the other elements of its batch."""
    hot, slow = both_paths(*elements)
    assert [one.to_dict() for one in hot] == [one.to_dict() for one in slow]


def _cleaned(text: str) -> str:
    """Returns a text without NUL, and with U+FFFD for lone surrogates."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "")


# UTF-16 code units, so that halves of pairs meet each other often.
UNITS = st.lists(
    st.sampled_from(["\\", '"', "/", "a", "é", "\0", "\n", "\ud83d", "\ude00", "\ud800", "\udfff"])
)


@given(UNITS, UNITS)
def test_text_that_cannot_be_stored(before: list[str], after: list[str]) -> None:
    """In ids and bodies, lone surrogates become U+FFFD and NUL is dropped; pairs stay."""
    for units in (before, [*before, "\ud800", *after], [*before, "\0", *after]):
        text = "".join(units)
        body = json.dumps({"userId": "u" + text, "properties": {"p": text}}).encode()
        (one,) = events_of(parse_event(body, "track"))
        expected = json.loads(json.dumps(text))  # pairs of escapes are one character to any reader
        assert _same(one.user_id, "u" + expected)
        assert _same(one.properties["p"], expected)


def _same(stored: str | None, sent: str) -> bool:
    assert stored is not None
    stored.encode()  # it can be stored
    assert "\0" not in stored
    return stored == _expected(sent)


def _expected(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text if c != "\0")


def test_escaped_backslashes_are_no_escapes() -> None:
    """An escaped backslash before u0000 is text, and stays."""
    for text in ("\\u0000", "\\\\u0000", "\\\\\\ud800", "a\\u0000\0b"):
        body = dumps({"userId": "u", "properties": {"p": text}})
        (one,) = events_of(parse_event(body, "track"))
        assert one.properties["p"] == text.replace("\0", "")


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xf8\x88"])
@pytest.mark.parametrize("place", ["userId", "properties"])
def test_bytes_that_are_not_utf8(bad: bytes, place: str) -> None:
    """A byte outside UTF-8 is replaced, and costs neither the batch nor the event."""
    value = b'"a%sb"' % bad
    body = b'{"batch":[{"type":"page","userId":"u"},{"type":"page","userId":%s,"properties":%s}]}'
    parts = (value, b"{}") if place == "userId" else (b'"u"', b'{"a":' + value + b"}")
    first, second = events_of(parse_batch(body % parts))
    assert first.user_id == "u"
    text = second.user_id if place == "userId" else second.properties["a"]
    assert text is not None
    assert text.startswith("a\ufffd")
    assert text.endswith("b")


def test_byte_order_mark_and_blanks() -> None:
    """A byte order mark and blanks around the body change nothing."""
    body = b"\xef\xbb\xbf \r\n" + dumps(event()) + b"\n"
    assert len(events_of(parse_event(body, "track"))) == 1


def test_duplicate_keys() -> None:
    """Of a repeated key the last one counts."""
    body = b'{"userId":"a","userId":"b","event":"e","properties":{"x":1},"properties":{"x":2}}'
    (one,) = events_of(parse_event(body, "track"))
    assert (one.user_id, one.properties) == ("b", {"x": 2})


def test_key_of_a_batch() -> None:
    """The write key of a batch is on top or in its first element, and must be a string."""
    for extra in ({}, {"odd": 1}):
        first = event(writeKey="in event", **extra)
        assert parse_batch(dumps({"batch": [first], "writeKey": "on top"})).write_key == "on top"
        assert parse_batch(dumps({"batch": [first]})).write_key == "in event"
        assert parse_batch(dumps({"batch": [event(**extra), first]})).write_key is None
        assert parse_batch(dumps({"batch": [first], "writeKey": None})).write_key == "in event"
    assert parse_batch(dumps({"batch": [5, first]})).write_key is None
    assert parse_batch(dumps({"batch": [], "writeKey": 5})).write_key is None
    assert parse_event(dumps(event(writeKey="k", odd=1)), "track").write_key == "k"


def test_array_of_empty_objects() -> None:
    """A body full of empty objects does not become events before they are counted."""
    body = b'{"batch":[' + b",".join([b"{}"] * 170_000) + b"]}"
    tracemalloc.start()
    try:
        parsed = parse_batch(body)
        kept = select(parsed, SegmentConfig())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 2_500
    assert all(one.type == "" for one in kept)
    assert parsed.discarded == {"batch_count_exceeded": 167_500}
    assert peak < 16_000_000


@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    """Any bytes give events, or a rejection with a known code."""
    codes: set[str] = set()
    for parse in (parse_batch, lambda data: parse_event(data, "track")):
        for data in (body, b'{"batch":[' + body + b"]}", b'{"userId":' + body + b"}"):
            try:
                events_of(parse(data))
            except Rejected as error:
                codes.add(error.code)
    assert codes <= {"invalid_json", "empty_batch"}
