"""Conformance of the tracking API, section "events": the stored form of sent events."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.builtin.sources.segment import SegmentConfig
from gateway.testing import ManualClock
from tests.support.segment_harness import SUCCESS, SegmentHarness, basic, event, segment_gateway


async def send(gateway: SegmentHarness, *events: Any, **batch: Any) -> None:
    """Sends a batch, which must be accepted."""
    reply = await gateway.post("/v1/batch", {"batch": list(events), **batch})
    assert (reply.status, reply.body) == (200, SUCCESS)


async def stored(*events: Any, **batch: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Returns the events that a fresh gateway stores of a batch, and the discarded ones."""
    async with segment_gateway() as gateway:
        await send(gateway, *events, **batch)
        return gateway.stored, gateway.discarded()


async def test_case_26_bad_events_among_good_ones() -> None:
    """A bad event costs only itself, and is counted under its code."""
    kept, discarded = await stored(
        event(),
        {"type": "track", "userId": "u"},
        {"type": "identify"},
        5,
        {"type": "foo", "userId": "u"},
    )
    assert len(kept) == 1
    assert discarded == {
        "event_not_defined": 1,
        "no_user_anon_id": 1,
        "bad_request": 1,
        "invalid_type": 1,
    }


@pytest.mark.parametrize("element", [5, "x", None, True, [], [[]]])
async def test_case_26_elements_that_are_no_objects(element: Any) -> None:
    """Only the element that is no object is dropped, also if it is the first."""
    kept, discarded = await stored(element, event())
    assert len(kept) == 1
    assert discarded == {"bad_request": 1}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (event(event=123), "event_not_string"),
        (event(event={}), "event_not_string"),
        (event(event=""), "event_not_defined"),
        (event(event=None), "event_not_defined"),
        (event(properties=[]), "properties_not_object"),
        (event(properties="x"), "properties_not_object"),
        ({"type": "identify", "userId": "u", "traits": "x"}, "traits_not_object"),
        ({"type": "group", "userId": "u", "groupId": "g", "traits": []}, "traits_not_object"),
        ({"type": "group", "userId": "u"}, "id_required"),
        ({"userId": "u"}, "invalid_type"),
        ({"type": None, "userId": "u"}, "invalid_type"),
        ({"type": "Track", "userId": "u", "event": "e"}, "invalid_type"),
    ],
)
async def test_case_27_types_of_fields(bad: dict[str, Any], code: str) -> None:
    """A field of the wrong type is answered 200 and discarded under its code, alone or not."""
    kept, discarded = await stored(event(), bad)
    assert len(kept) == 1
    assert discarded == {code: 1}
    if isinstance(bad.get("type"), str) and bad["type"] != "Track":
        async with segment_gateway() as gateway:
            reply = await gateway.post(f"/v1/{bad['type']}", bad)
            assert (reply.status, reply.body) == (200, SUCCESS)
            assert gateway.discarded() == {code: 1}


async def test_case_28_null_is_absent() -> None:
    """A null id is no id."""
    (kept,), _ = await stored(event(anonymousId=None, context=None, integrations=None))
    assert kept["userId"] == "u"
    assert kept.keys().isdisjoint({"anonymousId", "context", "integrations"})


@pytest.mark.parametrize("number", ["123", "1.5", "12345678901234567890", "1e3"])
async def test_case_29_numbers_as_ids(number: str) -> None:
    """A number as an id is kept as the client wrote it."""
    async with segment_gateway() as gateway:
        body = f'{{"event":"e","userId":{number},"messageId":{number}}}'.encode()
        assert (await gateway.post("/v1/track", body)).status == 200
        (kept,) = gateway.stored
    assert (kept["userId"], kept["messageId"]) == (number, number)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"userId": True}, "id_not_string"),
        ({"userId": {}}, "id_not_string"),
        ({"anonymousId": ["a"]}, "id_not_string"),
        ({"userId": "  "}, "no_user_anon_id"),
        ({"userId": "", "anonymousId": "\t"}, "no_user_anon_id"),
    ],
)
async def test_case_29_ids_that_are_none(fields: dict[str, Any], code: str) -> None:
    """An id that is neither string nor number is discarded, and a blank one is absent."""
    _, discarded = await stored({"type": "track", "event": "e", **fields})
    assert discarded == {code: 1}


async def test_case_30_names_of_pages() -> None:
    """A page's name and category may be null, blank or absent, but not numbers."""
    page = {"type": "page", "userId": "u"}
    kept, discarded = await stored(
        {**page, "name": None, "category": None},
        {**page, "name": "", "category": ""},
        page,
        {**page, "name": 7},
        {**page, "category": 7},
    )
    assert [event.keys() & {"name", "category"} for event in kept] == [set()] * 3
    assert discarded == {"name_not_string": 1, "category_not_string": 1}


async def test_case_31_alias() -> None:
    """An alias without previousId takes the anonymousId for it."""
    alias = {"type": "alias", "userId": "new"}
    kept, discarded = await stored(
        {**alias, "previousId": "old", "anonymousId": None}, {**alias, "anonymousId": "anon"}, alias
    )
    assert [one["previousId"] for one in kept] == ["old", "anon"]
    assert discarded == {"id_required": 1}


async def test_case_32_traits_in_the_context() -> None:
    """An identify with traits only in its context gets them as traits."""
    traits = {"email": "a@b.c"}
    (kept,), _ = await stored({"type": "identify", "userId": "u", "context": {"traits": traits}})
    assert kept["traits"] == traits
    assert kept["context"]["traits"] == traits


async def test_case_33_clock_skew() -> None:
    """The client's clock is corrected by the difference between sentAt and receivedAt."""
    clock = ManualClock(ManualClock()() - 2 * 3_600_000 + 5_000)  # 12:00:05
    async with segment_gateway(clock=clock) as gateway:
        await send(
            gateway,
            event(originalTimestamp="2026-11-23T10:00:00.000Z", sentAt="2026-11-23T10:00:05.000Z"),
        )
        (kept,) = gateway.stored
    assert kept["receivedAt"] == "2026-11-23T12:00:05.000Z"
    assert kept["timestamp"] == "2026-11-23T12:00:00.000Z"
    assert kept["originalTimestamp"] == "2026-11-23T10:00:00.000Z"


async def test_case_34_old_timestamp_without_sent_at() -> None:
    """Without sentAt an old timestamp stays as it is."""
    (kept,), _ = await stored(event(timestamp="2012-12-02T00:30:12.984Z"))
    assert kept["timestamp"] == "2012-12-02T00:30:12.984Z"


@pytest.mark.parametrize("timestamp", ["garbage", "", True, {}, [1]])
async def test_case_35_unreadable_timestamp(timestamp: Any) -> None:
    """An unreadable timestamp is replaced, and the event is stored."""
    (kept,), _ = await stored(event(timestamp=timestamp))
    assert kept["timestamp"] == kept["receivedAt"]


@pytest.mark.parametrize("number", [1795442400, 1795442400000, "1795442400"])
async def test_case_35_epoch_numbers(number: Any) -> None:
    """Epoch seconds and milliseconds are read as times, in an event and on top of a batch."""
    (kept,), _ = await stored(event(timestamp=number), sentAt=number)
    assert kept["timestamp"] == kept["sentAt"] == "2026-11-23T14:00:00.000Z"


async def test_case_36_sent_at_of_the_batch() -> None:
    """The batch's sentAt applies to events without one, and the header's if there is neither."""
    kept, _ = await stored(
        event(), event(sentAt="2026-11-23T13:00:00Z"), sentAt="2026-11-23T12:00:00.000Z"
    )
    assert [one["sentAt"] for one in kept] == [
        "2026-11-23T12:00:00.000Z",
        "2026-11-23T13:00:00.000Z",
    ]
    async with segment_gateway() as gateway:
        headers = {**basic(), "SentAt": "2026-11-23T11:00:00.000Z"}
        assert (await gateway.post("/v1/track", event(), headers)).status == 200
        (one,) = gateway.stored
    assert one["sentAt"] == "2026-11-23T11:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-23T13:00:00.123456789Z", "2026-11-23T13:00:00.123Z"),
        ("2026-11-23T13:00:00+0000", "2026-11-23T13:00:00.000Z"),
        ("2026-11-23T15:00:00+02:00", "2026-11-23T13:00:00.000Z"),
        ("2026-11-23 13:00:00", "2026-11-23T13:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "2026-11-23T14:00:00.000Z"),
    ],
)
async def test_case_37_forms_of_times(text: str, read: str) -> None:
    """Times of all SDKs are read; Go's zero time counts as absent."""
    (kept,), _ = await stored(event(timestamp=text))
    assert kept["timestamp"] == read


async def test_case_38_duplicates() -> None:
    """A message id counts once for each source, and is answered 200 every time."""
    async with segment_gateway(others={"2": SegmentConfig()}) as gateway:
        for headers in (basic(), basic(), basic("key-2")):
            reply = await gateway.post("/v1/track", event(messageId="m"), headers)
            assert reply.body == SUCCESS
        assert [one["sourceId"] for one in gateway.stored] == ["web", "2"]
        assert gateway.ledger.source("web").duplicate == 1


async def test_case_39_long_message_id() -> None:
    """A message id over 100 characters is shortened, the same way each time."""
    async with segment_gateway() as gateway:
        for _ in range(2):
            await send(gateway, event(messageId="m" * 101))
        (kept,) = gateway.stored
        assert len(kept["messageId"]) <= 100
        assert gateway.ledger.source("web").duplicate == 1


async def test_case_40_context_of_the_batch() -> None:
    """A batch's context is merged into each event's, level by level; the event's values win."""
    shared = {"device": {"type": "ios", "id": "d"}, "ip": "9.9.9.9", "library": {"name": "x"}}
    kept, _ = await stored(
        event(context={"ip": "1.2.3.4", "device": {"id": "own"}}),
        event(),
        event(context={}),
        event(context=None),
        context=shared,
    )
    assert kept[0]["context"] == {
        "device": {"type": "ios", "id": "own"},
        "ip": "1.2.3.4",
        "library": {"name": "x"},
    }
    assert [one["context"] for one in kept[1:]] == [shared] * 3


async def test_case_40_integrations_of_the_batch() -> None:
    """A batch's integrations are merged the same way; anything but an object is ignored."""
    kept, _ = await stored(
        event(integrations={"A": False}), event(), integrations={"All": False, "A": True}
    )
    assert [one["integrations"] for one in kept] == [
        {"All": False, "A": False},
        {"All": False, "A": True},
    ]
    kept, _ = await stored(event(context={"a": 1}), event(), context="x", integrations=[1])
    assert kept[0]["context"] == {"a": 1}
    assert "context" not in kept[1]


async def test_case_41_integrations_are_kept_as_sent() -> None:
    """An event's integrations are stored; "Segment.io": false changes nothing."""
    integrations = {"All": False, "Segment.io": False, "Appsflyer": {"appsflyerId": "x"}}
    (kept,), _ = await stored(event(integrations=integrations))
    assert kept["integrations"] == integrations
