"""Conformance of the tracking API, section "bodies": routes, encodings, limits, broken input."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.segment_harness import (
    KEY,
    SUCCESS,
    basic,
    dumps,
    event,
    gzipped,
    segment_gateway,
)

KINDS = {"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias"}
TEXT = {"Content-Type": "text/plain"}


@pytest.mark.parametrize(("letter", "kind"), KINDS.items())
async def test_case_09_path_fixes_the_type(letter: str, kind: str) -> None:
    """On a route for single events, the path's type wins over the body's."""
    fields = {"userId": "u", "previousId": "p", "groupId": "g", "event": "e", "writeKey": KEY}
    async with segment_gateway() as gateway:
        for path in (f"/v1/{letter}", f"/v1/{kind}", f"/v1/{letter}/", f"/v1/{kind}/"):
            for wrong in ("screen" if kind == "track" else "track", None, 5):
                reply = await gateway.post(path, {**fields, "type": wrong}, TEXT)
                assert (reply.status, reply.body) == (200, SUCCESS)
        assert [stored["type"] for stored in gateway.stored] == [kind] * 12


async def test_case_10_batch_paths_are_the_same() -> None:
    """All three batch paths store the same events."""
    batch = [event(messageId="m", properties={"a": 1}), {"type": "page", "anonymousId": "x"}]
    stored: list[Any] = []
    for path in ("/v1/b", "/v1/batch", "/v1/import", "/v1/batch/"):
        async with segment_gateway() as gateway:
            body = {"batch": batch, "sentAt": "2026-11-23T13:59:59Z", "context": {"locale": "de"}}
            assert (await gateway.post(path, body)).status == 200
            for one in gateway.stored:
                assert one.pop("messageId")
                stored.append(one)
    assert len(stored) == 8
    assert stored[0::2] == [stored[0]] * 4
    assert stored[1::2] == [stored[1]] * 4


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_case_11_and_12_gzip_under_any_content_type(kind: str) -> None:
    """A gzip body is read under any Content-Type."""
    headers = {**basic(), "Content-Type": kind, "Content-Encoding": "gzip"}
    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/batch", gzipped({"batch": [event()]}), headers)
        assert (reply.status, reply.body) == (200, SUCCESS)
        reply = await gateway.post("/v1/track", gzipped(event()), headers)
        assert reply.status == 200
        assert len(gateway.stored) == 2


async def test_case_13_gzip_in_chunks() -> None:
    """A gzip body in chunks, without a length and with the key inside, is read (Kotlin)."""

    async def chunks() -> AsyncIterator[bytes]:
        data = gzipped({"batch": [event(), event()], "writeKey": KEY})
        for start in range(0, len(data), 7):
            yield data[start : start + 7]

    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/b", chunks(), {**TEXT, "Content-Encoding": "gzip"})
        assert reply.status == 200
        assert len(gateway.stored) == 2


async def test_case_14_plain_body_called_gzip() -> None:
    """Plain JSON with Content-Encoding gzip is refused as an encoding error."""
    async with segment_gateway() as gateway:
        headers = {**basic(), "Content-Encoding": "gzip"}
        reply = await gateway.post("/v1/track", event(), headers)
        assert (reply.status, reply.json["code"]) == (400, "invalid_encoding")
        assert gateway.rejected == {"invalid_encoding": 1}


async def test_case_15_truncated_gzip() -> None:
    """A gzip body that ends too early is refused."""
    data = gzipped({"batch": [event(properties={"a": "b" * 500})]})
    async with segment_gateway() as gateway:
        for cut in (1, 4, 9, len(data) // 2):
            headers = {**basic(), "Content-Encoding": "gzip"}
            reply = await gateway.post("/v1/batch", data[:-cut], headers)
            assert (reply.status, reply.json["code"]) == (400, "invalid_encoding")
        assert gateway.stored == []


async def test_case_16_gzip_bomb() -> None:
    """A body that decompresses to far more than allowed is refused early on."""
    bomb = gzip.compress(b"[" + b"0," * 50_000_000, compresslevel=9)
    assert len(bomb) < 500_000
    async with segment_gateway() as gateway:
        headers = {**basic(), "Content-Encoding": "gzip"}
        tracemalloc.start()
        try:
            reply = await gateway.post("/v1/batch", bomb, headers)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (reply.status, reply.json["code"]) == (400, "payload_too_large")
        assert peak < 4_000_000


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/i"])
@pytest.mark.parametrize(
    "body", [b'{"a":', b"{", b"nonsense", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1} x', b'{"a":1']
)
async def test_case_17_malformed_json(path: str, body: bytes) -> None:
    """A body that is not JSON is a 400 with a JSON object, which no SDK sends again."""
    async with segment_gateway() as gateway:
        reply = await gateway.post(path, body)
        assert (reply.status, reply.json["code"]) == (400, "invalid_json")
        assert reply.json["error"]


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
async def test_case_18_empty_body(path: str) -> None:
    """An empty body is a 400."""
    async with segment_gateway() as gateway:
        reply = await gateway.post(path, b"")
        assert (reply.status, reply.json["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null", b"true"])
async def test_case_19_not_an_object(path: str, body: bytes) -> None:
    """JSON that is no object is a 400."""
    async with segment_gateway() as gateway:
        reply = await gateway.post(path, body)
        assert (reply.status, reply.json["code"]) == (400, "invalid_json")


async def test_case_20_single_event_too_large() -> None:
    """A single event of 33 KB is refused; one of just the limit is stored."""
    base = len(dumps(event(properties={"a": ""})))
    async with segment_gateway() as gateway:
        too_large = event(properties={"a": "x" * (32_769 - base)})
        reply = await gateway.post("/v1/track", too_large)
        assert (reply.status, reply.json["code"]) == (400, "payload_too_large")
        exactly = event(properties={"a": "x" * (32_768 - base)})
        assert (await gateway.post("/v1/track", exactly)).status == 200
        assert len(gateway.stored) == 1


async def test_case_21_batch_too_large() -> None:
    """A batch of 501 KiB is refused; one of 499 000 bytes, of 15 KB events, is stored whole."""
    one = event(properties={"a": "x" * 14_900})
    batch = {"batch": [one] * 33}
    assert 490_000 < len(dumps(batch)) <= 499_000
    async with segment_gateway() as gateway:
        assert (await gateway.post("/v1/batch", batch)).status == 200
        assert len(gateway.stored) == 33
        batch["batch"] += [one]
        assert len(dumps(batch)) < 512_000
        batch["padding"] = ["x" * (501 * 1024 - len(dumps(batch)) - 14)]
        for headers, body in (
            (basic(), dumps(batch)),
            ({**basic(), "Content-Encoding": "gzip"}, gzipped(batch)),
        ):
            reply = await gateway.post("/v1/batch", body, headers)
            assert (reply.status, reply.json["code"]) == (400, "payload_too_large")
        assert len(gateway.stored) == 33


@pytest.mark.parametrize("field", ["properties", "userId", "event", "unknown"])
async def test_case_22_one_event_of_a_batch_too_large(field: str) -> None:
    """An event of 40 KB is discarded, and the other events of its batch are stored."""
    large: Any = "x" * 40_000
    batch = [event(userId="1"), event(), event(userId="3")]
    batch[1][field] = {"a": large} if field == "properties" else large
    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/batch", {"batch": batch})
        assert (reply.status, reply.body) == (200, SUCCESS)
        assert [stored["userId"] for stored in gateway.stored] == ["1", "3"]
        assert gateway.discarded() == {"event_too_large": 1}


async def test_case_22_exactly_at_the_limit() -> None:
    """In a large batch each event is measured as it was sent, to the byte."""
    sizes = [32_767, 32_768, 32_769, 200, 32_700, 33_000]
    batch = []
    for size in sizes:
        one = event(userId=str(size), properties={"a": ""})
        one["properties"]["a"] = "x" * (size - len(dumps(one)))
        assert len(dumps(one)) == size
        batch.append(one)
    async with segment_gateway() as gateway:
        assert (await gateway.post("/v1/batch", {"batch": batch})).status == 200
        kept = [int(stored["userId"]) for stored in gateway.stored]
        assert kept == [size for size in sizes if size <= 32_768]
        assert gateway.discarded() == {"event_too_large": 2}


@pytest.mark.parametrize("extra", [{}, {"unknown": 1}])
async def test_case_23_too_many_events(extra: dict[str, Any]) -> None:
    """Of 2501 events the first 2500 are stored, on the fast path and on the slow one."""
    batch = [event(userId=f"{i}", **extra) for i in range(2501)]
    async with segment_gateway() as gateway:
        assert (await gateway.post("/v1/batch", {"batch": batch})).status == 200
        assert [stored["userId"] for stored in gateway.stored] == [f"{i}" for i in range(2500)]
        assert gateway.discarded() == {"batch_count_exceeded": 1}


async def test_case_24_empty_batch() -> None:
    """An empty batch is answered 200 and counted."""
    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/batch", {"batch": []})
        assert (reply.status, reply.body) == (200, SUCCESS)
        assert gateway.discarded() == {"empty_batch": 1}


@pytest.mark.parametrize("batch", [..., None, {}, "x", 5])
async def test_case_25_no_batch(batch: Any) -> None:
    """A batch that is missing or no array is a 400."""
    body = {"writeKey": KEY} if batch is ... else {"writeKey": KEY, "batch": batch}
    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/batch", body, {})
        assert (reply.status, reply.json["code"]) == (400, "empty_batch")


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
async def test_other_encodings_are_refused(encoding: str) -> None:
    """An unknown encoding is refused, with a message that says so."""
    async with segment_gateway() as gateway:
        headers = {**basic(), "Content-Encoding": encoding}
        async with gateway.session.post(
            "/v1/track", data=dumps(event()), headers=headers, skip_auto_headers=["Content-Type"]
        ) as response:
            assert response.status == 400
            reply = await response.json()
        assert reply["code"] == "invalid_encoding"
        assert "gzip" in reply["message"]


async def test_nesting_bomb() -> None:
    """Tens of thousands of brackets are refused or discarded, and do no harm."""
    async with segment_gateway() as gateway:
        body = b'{"type":"track","userId":"u","event":"e","properties":{"a":' + b"[" * 16_000
        reply = await gateway.post("/v1/track", body)
        assert (reply.status, reply.json["code"]) == (400, "invalid_json")
        closed = body + b"]" * 16_000 + b"}}"
        reply = await gateway.post("/v1/track", closed)
        assert reply.status in (200, 400)
        assert gateway.stored == []
        reply = await gateway.post("/v1/batch", b'{"batch":[' + b"[" * 250_000)
        assert reply.status == 400
        assert (await gateway.post("/v1/track", event())).status == 200


async def test_nesting_at_the_edge() -> None:
    """Bodies around the depth at which the parser gives up always get an answer."""
    async with segment_gateway() as gateway:
        for levels in range(900, 1010):
            deep = "[" * levels + "]" * levels
            one = f'{{"type":"track","userId":"u","event":"e","context":{{"a":{deep}}}}}'
            large = f'{{"type":"page","userId":"u","properties":{{"a":"{"x" * 33_000}"}}}}'
            for batch in (one, f"{one},5", f"{one},{large}"):
                reply = await gateway.post("/v1/batch", f'{{"batch":[{batch}]}}'.encode())
                assert reply.status in (200, 400)
            assert (await gateway.post("/v1/track", one.encode())).status in (200, 400)
            reply = await gateway.get(f"/v1/pixel/track?writeKey={KEY}&data={quote(one)}")
            assert reply.status == 200
        assert gateway.stored == []


@pytest.mark.parametrize("seed", range(3))
async def test_random_bytes_as_gzip(seed: int) -> None:
    """Damage anywhere in a gzip body is refused, or the body still has its content."""
    chance = random.Random(seed)
    good = gzipped({"batch": [event(properties={"a": "b" * 50})]})
    async with segment_gateway() as gateway:
        for _ in range(60):
            bad = bytearray(good)
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
            headers = {**basic(), "Content-Encoding": "gzip"}
            reply = await gateway.post("/v1/batch", bytes(bad), headers)
            assert reply.status in (200, 400)
        assert all(stored["properties"] == {"a": "b" * 50} for stored in gateway.stored)
