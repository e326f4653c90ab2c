"""The road that real clients' requests take through intake, event by event."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.clients import FORMS
from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.plain import MOST_GROWTH, limited, plain_batch
from gateway.builtin.transforms.filter import Filter, FilterConfig
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.components.transform import Transform
from gateway.events.envelope.sealed import stored_events
from gateway.events.envelope.stored_ids import briefs
from tests.support.segment_harness import KEY, SegmentHarness, event, segment_gateway

RECORDED = Path(__file__).parents[3] / "shared" / "wire" / "requests.jsonl"
FAST_SHARE = 0.95
SIZE = 100


def roads(gateway: SegmentHarness) -> Counter[str]:
    return +gateway.ledger.roads


@pytest.mark.parametrize("name", FORMS)
async def test_batches_of_all_clients_are_stored_as_sent(name: str) -> None:
    """Blanks, a context beside the batch or a missing id send no event off the fast road."""
    moment = "2026-11-23T14:36:00.000Z"
    events = [event(messageId=f"m-{n}", timestamp=moment, properties={}) for n in range(SIZE)]
    async with segment_gateway() as gateway:
        await gateway.post("/v1/batch", FORMS[name](events))
        odd = 1 if name.startswith("one odd") else 0
        assert roads(gateway) == +Counter(fast=SIZE - odd, mixed=odd)
        assert len({one["messageId"] for one in gateway.stored}) == SIZE


@pytest.mark.parametrize("masked", [False, True])
async def test_recorded_requests_take_the_fast_road(masked: bool, tmp_path: Path) -> None:
    """Of the events that real clients sent, 95 % are stored as sent, and none goes the slow road.

    With a mask, events with personal data are decoded, each by itself.
    """
    if not RECORDED.exists():
        pytest.skip(f"the recorded requests are not at {RECORDED}")
    transforms: list[tuple[str, Transform]] = []
    if masked:
        transforms = [("privacy", Mask(MaskConfig(), tmp_path, at_intake=True))]
    events = 0
    async with segment_gateway(transforms=transforms) as gateway:
        for line in RECORDED.read_bytes().splitlines():
            request = json.loads(line)
            body = request["body"].encode("utf-8", "surrogatepass")
            decoded = json.loads(body)
            events += len(decoded["batch"]) if "batch" in decoded else 1
            path = request["path"].replace("writeKey=demo", f"writeKey={KEY}")
            assert (await gateway.post(path, body)).status == 200
        found = roads(gateway)
        duplicates = gateway.ledger.source("web").duplicate
    assert found["slow"] == 0
    assert found.total() + duplicates == events
    assert found["fast"] >= FAST_SHARE * found.total()


ODD: dict[str, dict[str, Any]] = {
    "a number as an id": {"userId": 17},
    "a key of its own": {"app": "till"},
    "blanks around an id": {"messageId": " m "},
    "no id at all": {"messageId": None},
    "a consent event": {
        "event": "Segment Consent Preference Updated",
        "context": {"consent": {"categoryPreferences": {"Ads": True}}},
    },
}


@pytest.mark.parametrize("kind", ODD)
async def test_an_odd_event_leaves_its_neighbours_on_the_fast_road(kind: str) -> None:
    """Of a hundred events, only the one in another form is decoded."""
    batch = [event(messageId=f"m-{n}") for n in range(SIZE)]
    batch[50] |= ODD[kind]
    async with segment_gateway() as gateway:
        await gateway.post("/v1/batch", {"batch": batch})
        assert roads(gateway) == Counter(fast=SIZE - 1, mixed=1)
        stored = [one["messageId"] for one in gateway.stored]
        assert stored[:50] == [f"m-{n}" for n in range(50)]
        assert stored[51:] == [f"m-{n}" for n in range(51, SIZE)]


@pytest.mark.parametrize("text", [b"\\ud800", b"\\u0000", b"\xff"])
async def test_text_that_cannot_be_stored_is_cleaned_on_the_fast_road(text: bytes) -> None:
    """A lone surrogate, a NUL or a byte outside UTF-8 is replaced where it stands."""
    batch = [event(messageId=f"m-{n}", properties={"note": "HERE"}) for n in range(SIZE)]
    body = json.dumps({"batch": batch}).encode().replace(b"HERE", text, 1)
    async with segment_gateway() as gateway:
        await gateway.post("/v1/batch", body)
        assert roads(gateway) == Counter(fast=SIZE)
        assert gateway.stored[0]["properties"]["note"] in ("\ufffd", "")


LEFT_OUT: dict[str, tuple[Any, str]] = {
    "invalid": (event(event=" ", messageId="x"), "event_not_defined"),
    "no object": (5, "bad_request"),
    "an object as an id": (event(userId={}), "id_not_string"),
    "too large": (event(properties={"note": "x" * 33_000}), "event_too_large"),
    "a duplicate": (event(messageId="m-0"), ""),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
async def test_what_is_left_out_leaves_its_neighbours_on_the_fast_road(kind: str) -> None:
    """An event that is discarded or was seen before is counted, and the others stay as sent."""
    one, code = LEFT_OUT[kind]
    batch = [*[event(messageId=f"m-{n}") for n in range(SIZE - 1)], one]
    async with segment_gateway() as gateway:
        await gateway.post("/v1/batch", {"batch": batch})
        counts = gateway.ledger.source("web")
        assert roads(gateway) == Counter(fast=SIZE - 1)
        assert counts.accepted == SIZE - 1
        assert dict(counts.discarded) == ({code: 1} if code else {})
        assert counts.duplicate == (0 if code else 1)


async def test_a_transform_that_cannot_tell_sees_all_events() -> None:
    """With a filter all events are decoded, and what it drops is counted."""
    drop = Filter(FilterConfig(drop='event = "dropped"'))
    batch = [event(messageId=f"m-{n}", event="dropped" if n == 3 else "x") for n in range(9)]
    async with segment_gateway(transforms=[("few", drop)]) as gateway:
        await gateway.post("/v1/batch", {"batch": batch})
        assert roads(gateway) == Counter(slow=8)
        assert gateway.discarded() == {"filtered:few": 1}


async def test_what_stands_beside_a_batch_is_stored_once() -> None:
    """Each event has the context of its batch, and its own values win."""
    context = {"library": {"name": "till", "version": "7"}, "note": "once in the queue"}
    batch = [event(messageId=f"m-{n}") for n in range(3)]
    batch[1]["context"] = {"library": {"version": "8"}}
    async with segment_gateway() as gateway:
        chunks: list[bytes] = []
        put = gateway.queue.put

        async def note(events: Any, data: bytes, sources: Any) -> None:
            chunks.append(data)
            await put(events, data, sources)

        gateway.queue.put = note  # type: ignore[method-assign]
        await gateway.post("/v1/batch", {"batch": batch, "context": context})
        contexts = [one["context"] for one in gateway.stored]
    assert chunks[0].count(b"once in the queue") == 1
    assert contexts[0]["library"] == contexts[2]["library"] == context["library"]
    assert contexts[1]["library"] == {"name": "till", "version": "8"}
    assert {found["note"] for found in contexts} == {context["note"]}


async def test_a_given_id_is_the_same_whenever_it_is_read() -> None:
    """An id that the gateway gives lies with the event: each reader finds the same one."""
    batch = [event(), event(messageId="m"), event()]
    async with segment_gateway() as gateway:
        chunks: list[bytes] = []
        put = gateway.queue.put

        async def note(events: Any, data: bytes, sources: Any) -> None:
            chunks.append(data)
            await put(events, data, sources)

        gateway.queue.put = note  # type: ignore[method-assign]
        await gateway.post("/v1/batch", {"batch": batch})
        assert roads(gateway) == Counter(fast=3)
        (data,) = chunks
        once, again = ([one.message_id for one in stored_events(data)] for _ in range(2))
        assert once == again == [brief.message_id for brief in briefs(data)]
        assert once[1] == "m"
        assert len(set(once)) == 3


def test_a_small_body_does_not_grow_without_limit() -> None:
    """A context that would make the events many times as large as the request is not shared."""
    batch = [{"type": "track", "event": "e", "userId": "u"}] * 1_000
    config = SegmentConfig()
    for size, fits in ((400, True), (1_600, False)):
        body = msgspec.json.encode({"batch": batch, "context": {"note": "x" * size}})
        plain = plain_batch(body)
        assert plain is not None
        assert (limited(plain, config) is not None) == fits
        assert (size * len(batch) <= MOST_GROWTH * len(body)) == fits


@pytest.mark.parametrize(
    ("beside", "fits"),
    [
        ({"context": {"a": {"b": {"c": 1}}}}, True),
        ({"context": {"a": {"b": {"c": {}}}}}, False),
        ({"integrations": {"All": {"b": {"c": {}}}}}, False),
        ({"context": {"device": {"advertisingId": 5}}}, False),
        ({"context": "text", "integrations": [1]}, True),
    ],
)
def test_what_stands_beside_a_batch_has_limits(beside: dict[str, Any], fits: bool) -> None:
    """An object beside a batch that the slow road would refuse does not take the fast one."""
    plain = plain_batch(msgspec.json.encode({"batch": [event(messageId="m")], **beside}))
    assert plain is not None
    assert (limited(plain, SegmentConfig(max_depth=3)) is not None) == fits
