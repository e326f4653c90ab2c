"""Events that are stored as sent come out as if each had been decoded at intake."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import Parsed, parse_batch, parse_event
from gateway.builtin.sources.segment.plain import limited, plain_batch, plain_event
from gateway.components.transform import Transform
from gateway.events.envelope.heads import examine
from gateway.events.envelope.sealed import Origin, Run, seal, stored_events
from gateway.events.envelope.stored_ids import briefs
from gateway.events.event import Event, encode_events
from gateway.intake.intake import Plain
from gateway.testing import START_MS, make_event
from tests.support.fast_path import CLIENT, COMPACT, SHOP_EVENT, FastPathHarness, dumps
from tests.support.sizes import examples

# -- values as clients write them, and as they should not -------------------------

BLANKS = st.sampled_from(["", " ", "\u00a0", "\t"])
TEXTS = st.one_of(st.sampled_from(["u", "ü", "\U0001f600", " x ", '"', "\\", "batch", "]"]), BLANKS)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), TEXTS)
OBJECTS = st.dictionaries(TEXTS, SCALARS, max_size=3)
TIMES = st.sampled_from(
    [
        "2026-01-05T10:00:00.000Z",
        "2026-01-05T10:00:00+02:00",
        "yesterday",
        "",
        "0001-01-01T00:00:00Z",
    ]
)
LIBRARIES = st.sampled_from(["analytics.js", "analytics-python"])
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "library": st.one_of(st.fixed_dictionaries({"name": LIBRARIES}), SCALARS),
        "ip": st.sampled_from(["", "0.0.0.0", "198.51.100.1"]),
        "userAgent": TEXTS,
        "direct": st.booleans(),
        "device": st.fixed_dictionaries({}, optional={"advertisingId": SCALARS}),
        "traits": OBJECTS,
        "consent": OBJECTS,
    },
)
FIELDS = {
    "type": st.sampled_from(["track", "page", "screen", "group", "identify", "alias", "x", ""]),
    "messageId": st.one_of(st.sampled_from(["a", "b", "c", "d"]), st.text(max_size=3), BLANKS),
    "userId": TEXTS,
    "anonymousId": TEXTS,
    "event": st.sampled_from(["Viewed", "Segment Consent Preference Updated", "", " "]),
    "name": TEXTS,
    "category": TEXTS,
    "groupId": TEXTS,
    "previousId": TEXTS,
    "channel": st.sampled_from(["web", "server"]),
    "timestamp": TIMES,
    "originalTimestamp": TIMES,
    "sentAt": TIMES,
    "writeKey": TEXTS,
    "properties": OBJECTS,
    "traits": OBJECTS,
    "context": CONTEXTS,
    "integrations": st.dictionaries(st.sampled_from(["All", "Tool"]), SCALARS, max_size=2),
    "_metadata": OBJECTS,
}
USUAL = st.fixed_dictionaries(
    {"type": FIELDS["type"], "messageId": st.uuids().map(str), "userId": st.just("u")},
    optional={key: FIELDS[key] for key in FIELDS if key not in ("type", "messageId", "userId")},
)
ODD = st.fixed_dictionaries(
    {},
    optional={
        **{key: st.one_of(values, SCALARS) for key, values in FIELDS.items()},
        "newField": SCALARS,
        "_notes": OBJECTS,
        "_extra": OBJECTS,
        "receivedAt": TIMES,
        "sealed": SCALARS,
    },
)
EVENTS = st.one_of(USUAL, USUAL, USUAL, ODD)
BATCHES = st.fixed_dictionaries(
    {"batch": st.lists(st.one_of(EVENTS, EVENTS, EVENTS, SCALARS), max_size=4)},
    optional={
        "sentAt": st.one_of(TIMES, SCALARS),
        "writeKey": SCALARS,
        "context": st.one_of(SCALARS, CONTEXTS),
        "integrations": OBJECTS,
        'x"batch': st.lists(SCALARS, max_size=2),
        "other": st.one_of(OBJECTS, st.lists(SCALARS, max_size=2)),
    },
)
STYLES = st.sampled_from(
    [
        {"separators": (",", ":")},
        {"separators": (",", ":"), "ensure_ascii": False},
        {"separators": (", ", ": "), "ensure_ascii": False},
    ]
)

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Shout(Transform):
    """Does not implement `passes`."""

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.event = (event.event or "").upper()
        return events


def assert_alike(body: bytes, fast: Plain, slow: Parsed) -> None:
    assert fast.write_key == slow.write_key
    sealed, counted = FastPathHarness().take(fast)
    looked_at, expected = FastPathHarness().take(slow)
    assert (decoded(sealed, body), counted) == (decoded(looked_at, body), expected)


def decoded(stored: list[bytes], body: bytes) -> list[dict[str, Any]]:
    """Decodes stored events, without the ids that the gateway gave: those are new each time."""
    events: list[dict[str, Any]] = [msgspec.json.decode(one)[0] for one in stored]
    for event in events:
        if UUID.fullmatch(event["messageId"]) and event["messageId"].encode() not in body:
            del event["messageId"]
    return events


@settings(
    max_examples=examples(60, 600), suppress_health_check=[HealthCheck.too_slow], deadline=None
)
@given(batch=BATCHES, style=STYLES)
def test_a_batch_that_takes_the_fast_path_ends_where_the_slow_one_does(
    batch: dict[str, Any], style: dict[str, Any]
) -> None:
    """A batch on the fast path stores the same events as on the slow path."""
    body = dumps(batch, style)
    fast = plain_batch(body)
    if fast is None or (fast := limited(fast, SegmentConfig())) is None:
        return
    assert_alike(body, fast, parse_batch(body))


@settings(
    max_examples=examples(60, 600), suppress_health_check=[HealthCheck.too_slow], deadline=None
)
@given(event=EVENTS, kind=st.sampled_from(["track", "page", "identify", "group"]), style=STYLES)
def test_a_single_event_that_takes_the_fast_path_ends_where_the_slow_one_does(
    event: dict[str, Any], kind: str, style: dict[str, Any]
) -> None:
    """The path's type wins over the event's, on the fast path and on the slow one."""
    body = dumps(event, style)
    fast = plain_event(body, kind)
    if fast is None or (fast := limited(fast, SegmentConfig())) is None:
        return
    assert_alike(body, fast, parse_event(body, kind))


@pytest.mark.parametrize("sdk_style", [{"separators": (",", ":")}, {"separators": (", ", ": ")}])
def test_what_sdks_send_takes_the_fast_path(sdk_style: dict[str, Any]) -> None:
    """JSON with keys in any order takes the fast path, compact or with blanks."""
    events = [{**SHOP_EVENT, "messageId": f"m-{n}", "userId": None} for n in range(3)]
    for batch in (
        {"batch": events, "sentAt": "2026-01-05T10:00:00.000Z"},
        {"writeKey": "k", "sentAt": "2026-01-05T10:00:00.000Z", "batch": events},
    ):
        parsed = plain_batch(dumps(batch, sdk_style))
        assert parsed is not None
        harness = FastPathHarness()
        harness.take(parsed)
        assert +harness.ledger.roads == {"fast": 3}


@pytest.mark.parametrize(
    "body",
    [
        b'{"batch":[{"messageId":"m","type":"track"}],"batch":[]}',
        b'{"x":{"batch":[{"messageId":"m","type":"track"}]}}',
        b'{"x":{"batch":[{"messageId":"m","type":"track"}]},"batch":[]}',
        b'{"x\\"batch":[{"messageId":"m","type":"track"}]}',
        b'{"writeKey":"\\"batch\\":[{\\"messageId\\":\\"m\\"}]","batch":[]}',
        b'{"batch":[{"messageId":"m","type":"track"}]',
        b'{"batch":[{"messageId":"m","type":"track"}]}}',
        b'{"batch":[],"sentAt":"x"}',
        b'{"b\\u0061tch":[],"context":{"batch":[{"messageId":"m","type":"track"}]}}',
    ],
)
def test_what_only_looks_like_a_batch_is_left_to_the_slow_path(body: bytes) -> None:
    """A body takes the fast path only if the text around its events proves them its batch."""
    assert plain_batch(body) is None


@pytest.mark.parametrize(
    ("events", "fits"),
    [
        ([{"p": "x" * 30_000}, {"p": "y"}], True),
        ([{"p": "x" * 33_000}, {"p": "y"}], False),
        ([{"p": "y"}, {"p": ["messageId", "x" * 33_000]}], False),
        ([{"p": [{"messageId": "x" * 20_000}, "x" * 20_000]}] * 2, False),
        ([{"p": {"a": {"b": [[1]]}}}] * 3, True),
        ([{"p": "]}"}] * 3, False),
        ([{"p": "{[]}"}] * 3, True),
    ],
)
def test_limits_are_told_from_the_bytes(events: list[dict[str, Any]], fits: bool) -> None:
    """Events that may be over a limit take the slow path."""
    batch = [{"messageId": f"m{n}", "type": "track", "properties": e} for n, e in enumerate(events)]
    parsed = plain_batch(dumps({"batch": batch}, COMPACT))
    assert parsed is not None
    fitting = limited(parsed, SegmentConfig())
    assert (fitting is not None and not fitting.discarded) == fits


@given(depth=st.integers(1, 80), arrays=st.booleans())
def test_depth_is_told_to_the_level(depth: int, arrays: bool) -> None:
    """A body at the depth limit takes the fast path, and one level more does not."""
    nested = b"[" * depth + b"]" * depth if arrays else b'{"a":' * depth + b"1" + b"}" * depth
    opened = b'{"a":%b}' % nested
    body = b'{"batch":[{"messageId":"m","type":"track","properties":%b}]}' % opened
    parsed = plain_batch(body)
    assert parsed is not None
    fits = limited(parsed, SegmentConfig()) is not None
    assert fits == (depth + 1 <= SegmentConfig().max_depth)


def test_an_event_that_a_transform_may_touch_is_not_sealed() -> None:
    """If a transform does not implement `passes`, all events are decoded and run through it."""
    body = dumps({"batch": [{**SHOP_EVENT}]}, COMPACT)
    parsed = plain_batch(body)
    assert parsed is not None
    stored, _ = FastPathHarness(transforms=[("t", Shout())]).take(parsed)
    assert msgspec.json.decode(stored[0])[0]["event"] == "ORDER COMPLETED"


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "Segment Consent Preference Updated"},
        {"event": "\u3000"},
        {"type": "group", "groupId": ""},
        {"type": "alias", "userId": "u", "previousId": " "},
        {"type": "alias"},
        {"anonymousId": ""},
        {"messageId": " m"},
        {"type": "tracks"},
    ],
)
def test_what_has_to_be_looked_at_is_not_taken_as_it_is(fields: dict[str, Any]) -> None:
    """An event that must be corrected or discarded does not take the fast path."""
    body = dumps({"batch": [SHOP_EVENT, {**SHOP_EVENT, "messageId": "m-2", **fields}]}, COMPACT)
    parsed = plain_batch(body)
    assert parsed is not None
    assert examine(parsed.heads).odd == [1]
    assert_alike(body, parsed, parse_batch(body))


@pytest.mark.parametrize(
    "fields", [{"type": "alias", "userId": "u"}, {"type": "page", "name": " ", "category": ""}]
)
def test_what_is_completed_later_is_sealed(fields: dict[str, Any]) -> None:
    """A sealed alias gets its previousId, and a page loses a blank name, when it is made."""
    body = dumps({"batch": [{**SHOP_EVENT, **fields}]}, COMPACT)
    parsed = plain_batch(body)
    assert parsed is not None
    assert examine(parsed.heads).odd == []
    assert_alike(body, parsed, parse_batch(body))


def test_suppressed_users_are_found_among_the_heads() -> None:
    """No event of a suppressed user is sealed, and no alias with such an id."""
    for fields in ({"userId": "gone"}, {"type": "alias", "userId": "u", "previousId": "gone"}):
        body = dumps({"batch": [{**SHOP_EVENT, **fields}]}, COMPACT)
        parsed = plain_batch(body)
        assert parsed is not None
        assert FastPathHarness(suppressed={"gone"}).take(parsed) == ([], {"suppressed": 1})


def test_a_duplicate_is_found_on_both_paths() -> None:
    """An id from the fast path is a duplicate on the slow path, and the other way round."""
    body = dumps({"batch": [SHOP_EVENT]}, COMPACT)
    harness = FastPathHarness()
    first, second = plain_batch(body), parse_batch(body)
    assert first is not None
    assert len(harness.take(first)[0]) == 1
    assert len(harness.take(second)[0]) == 1
    assert len(harness.take(first)[0]) == 1
    assert harness.intake.ledger.source("web").duplicate == 2


def test_a_payload_holds_both_kinds() -> None:
    """Sealed and single events share one array, keep their order, and are read as one run."""
    origin = Origin("web", START_MS, client=CLIENT)
    array = dumps([SHOP_EVENT, {**SHOP_EVENT, "messageId": "m-2"}], COMPACT)
    events, data = seal(origin, array, 2, addressed=False)
    assert not events.addressed
    one = make_event(message_id="single", source_id="app")
    payload = b"[" + encode_events([one])[1:-1] + b"," + data[1:-1] + b"]"
    run = stored_events(payload)
    assert len(run) == 3
    assert [event.message_id for event in run] == ["single", "m-1", "m-2"]
    assert [event.source_id for event in run] == ["app", "web", "web"]
    assert [(brief.source_id, brief.message_id) for brief in briefs(payload)] == [
        ("app", "single"),
        ("web", "m-1"),
        ("web", "m-2"),
    ]
    assert encode_events(list(events)) == encode_events(run[1:])
    assert run[1].context["ip"] == "203.0.113.9"


def test_a_run_makes_its_events_once() -> None:
    """Reading an event twice, alone or with others, returns the same object."""
    origin = Origin("web", START_MS)
    events, _ = seal(origin, dumps([SHOP_EVENT], {}), 1, addressed=True)
    run = Run([events])
    assert run.addressed
    assert run[0] is run[0]
    assert run[0] is events[0]
    run.append([Event(message_id="later")])
    assert [event.message_id for event in run] == ["m-1", "later"]
