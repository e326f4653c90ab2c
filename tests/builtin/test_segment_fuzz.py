"""Any input on any path gets an answer that SDKs can read, no 5xx but 503, and no traceback."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.builtin.sources.segment.pixel import GIF
from gateway.events.event import EVENT_TYPES
from tests.support.segment_harness import (
    KEY,
    SUCCESS,
    Reply,
    SegmentHarness,
    basic,
    dumps,
    event,
    segment_gateway,
)
from tests.support.sizes import examples

POSTS = ["/v1/batch", "/v1/import/", "/beacon/v1/batch?writeKey=" + KEY, "/v1/m"] + [
    f"/v1/{kind}" for kind in sorted(EVENT_TYPES)
]
PIXELS = [f"/v1/pixel/{kind}" for kind in sorted(EVENT_TYPES)] + ["/pixel/v1/track"]
HEADERS = [
    *("Authorization", "Origin", "Host", "Content-Encoding", "SentAt", "User-Agent"),
    *("X-Forwarded-For", "X-Forwarded-Proto", "Access-Control-Request-Headers"),
]
ENCODINGS = ["", "gzip", "deflate", "br", "identity"]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", " ", "\ud800", "\0", "track", "2026-11-23T14:00:00Z", "0001-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    *("type", "event", "userId", "anonymousId", "previousId", "groupId", "messageId", "name"),
    *("category", "channel", "timestamp", "originalTimestamp", "sentAt", "receivedAt", "version"),
    *("properties", "traits", "context", "integrations", "_metadata", "_notes", "_extra"),
    *("writeKey", "sourceId", "unknown"),
]
CONTEXTS = st.dictionaries(
    st.sampled_from(["ip", "userAgent", "library", "direct", "traits", "consent", "page"]), VALUES
)
MUTATED = st.builds(
    lambda base, changes, context: {**base, **context, **changes},
    st.sampled_from(sorted(EVENT_TYPES)).map(lambda kind: event(type=kind, groupId="g")),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4),
    st.just({}) | CONTEXTS.map(lambda context: {"context": context}),
)
BATCHES = st.builds(
    lambda batch, extra: {**extra, "batch": batch},
    st.lists(MUTATED | VALUES, max_size=5) | VALUES,
    st.dictionaries(st.sampled_from(["sentAt", "writeKey", "context", "integrations"]), VALUES),
)
# Numbers that are JSON and that no double or machine integer holds.
ODD_NUMBERS = ["1e999", "-1e999", "1" * 30, "1" * 5000, "0.1e-999", "-0"]


def run(talk: Any) -> None:
    """Runs one exchange with its own gateway, and fails the test on a line in the log."""

    async def main() -> None:
        async with segment_gateway() as gateway:
            await talk(gateway)

    asyncio.run(main())


def check(reply: Reply) -> None:
    """Checks that an answer is a success, or an error with all fields that SDKs need."""
    assert reply.status in (200, 400, 401)
    if reply.status == 200:
        assert reply.body == SUCCESS
    else:
        assert reply.json.keys() == {"success", "code", "message", "error"}


def received(gateway: SegmentHarness) -> int:
    """Returns the number of events that are accounted for."""
    counts = gateway.ledger.source("web")
    assert counts.accepted == len(gateway.queue.stored)
    assert all(kept.to_dict()["messageId"] for kept in gateway.queue.stored)
    return counts.received


RELAXED = settings(
    deadline=None,
    max_examples=examples(20, 200),
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)


@RELAXED
@given(st.lists(st.tuples(st.sampled_from(POSTS), st.sampled_from(ENCODINGS), st.binary())))
def test_random_bytes(requests: list[tuple[str, str, bytes]]) -> None:
    """Random bytes under any encoding on any path are answered."""

    async def talk(gateway: SegmentHarness) -> None:
        for path, encoding, body in requests:
            for data in (body, gzip.compress(body)):
                check(await gateway.post(path, data, {**basic(), "Content-Encoding": encoding}))

    run(talk)


@RELAXED
@given(st.lists(MUTATED, min_size=1, max_size=8))
def test_mutated_events(events: list[Any]) -> None:
    """An event with any value in any field is stored or discarded, on its own path and others."""

    async def talk(gateway: SegmentHarness) -> None:
        asked = 0
        for number, one in enumerate(events):
            body = json.dumps({"writeKey": KEY, **one}).encode()
            path = POSTS[4 + number % len(EVENT_TYPES)]
            reply = await gateway.post(path, body)
            check(reply)
            asked += reply.status == 200
        assert received(gateway) == asked

    run(talk)


@RELAXED
@given(st.lists(BATCHES, min_size=1, max_size=4))
def test_mutated_batches(batches: list[Any]) -> None:
    """Every element of a batch is accounted for, of any type."""

    async def talk(gateway: SegmentHarness) -> None:
        asked = 0
        for batch in batches:
            reply = await gateway.post("/v1/batch", json.dumps(batch).encode())
            check(reply)
            if reply.status == 200:
                asked += max(1, len(batch["batch"]))
        assert received(gateway) == asked

    run(talk)


@RELAXED
@example("context", "1" * 30, "group")  # what was read of it once stayed in place of the batch's
@given(st.sampled_from(FIELDS), st.sampled_from(ODD_NUMBERS), st.sampled_from(sorted(EVENT_TYPES)))
def test_odd_numbers(field: str, number: str, kind: str) -> None:
    """Numbers too large for any machine type get a 200, in a field and within each body."""

    async def talk(gateway: SegmentHarness) -> None:
        marked = [
            event(**{"groupId": "g", field: "@"}),
            event(groupId="g", context={"ip": "@"}),
            event(groupId="g", context={"traits": {"a": "@"}}),
            event(groupId="g", context={"library": "@", "direct": True}),
            event(groupId="g", properties={"a": ["@"]}, traits={"a": "@"}),
        ]
        if field != "type":
            marked = [{**one, "type": kind} for one in marked]
        body = {"batch": marked, "context": {"shared": "@"}, "sentAt": "@"}
        data = dumps(body).replace(b'"@"', number.encode())
        assert (await gateway.post("/v1/batch", data)).body == SUCCESS
        assert received(gateway) == len(marked)

    run(talk)


@RELAXED
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PIXELS),
            st.dictionaries(
                st.sampled_from(FIELDS).map(lambda name: f"{name}.x")
                | st.sampled_from(FIELDS)
                | st.text(max_size=5),
                st.text(max_size=10),
                max_size=6,
            ),
            st.none() | VALUES | MUTATED | st.binary(max_size=20),
        ),
        max_size=6,
    )
)
def test_pixels(requests: list[tuple[str, dict[str, str], Any]]) -> None:
    """A pixel with any query is answered with the picture."""

    async def talk(gateway: SegmentHarness) -> None:
        for path, parameters, data in requests:
            query = [("writeKey", KEY), *parameters.items()]
            if data is not None:
                raw = data if isinstance(data, bytes) else json.dumps(data).encode()
                query.append(("data", raw.decode("latin-1")))
            text = "&".join(
                f"{quote(name, errors='replace')}={quote(value, errors='replace')}"
                for name, value in query
            )
            reply = await gateway.get(f"{path}?{text}")
            assert (reply.status, reply.body) == (200, GIF)
        received(gateway)

    run(talk)


@RELAXED
@given(
    st.sampled_from(POSTS + PIXELS),
    st.sampled_from(["GET", "POST", "OPTIONS", "PUT"]),
    st.sampled_from(HEADERS),
    st.lists(st.sampled_from([9, *range(32, 127), *range(128, 256)]), max_size=30).map(bytes),
)
def test_any_header(path: str, method: str, name: str, value: bytes) -> None:
    """Any bytes in any header that the source reads get an answer."""

    async def talk(gateway: SegmentHarness) -> None:
        body = dumps(event(writeKey=KEY, context={"direct": True}))
        headers = {"Host": b"x", "Origin": b"http://o", name: value}
        headers["Content-Length"] = b"%d" % len(body)
        lines = [f"{method} {path} HTTP/1.1".encode()]
        lines += [key.encode() + b": " + text for key, text in headers.items()]
        request = b"\r\n".join([*lines, b"", body])
        reply = await gateway.raw(request)
        assert reply.status < 500

    run(talk)


@RELAXED
@given(st.sampled_from(POSTS), st.integers(0, 200), st.booleans())
def test_half_requests(path: str, cut: int, announce: bool) -> None:
    """A client that disconnects at any point leaves at most a count."""

    async def talk(gateway: SegmentHarness) -> None:
        body = dumps(event())
        length = b"Content-Length: %d" % len(body) if announce else b"Transfer-Encoding: chunked"
        request = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: "
            f"{basic()['Authorization']}\r\n".encode()
            + length
            + b"\r\n\r\n"
            + (body if announce else b"%x\r\n" % len(body) + body)
        )
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request[: max(1, len(request) - cut)])
        await writer.drain()
        writer.transport.abort()
        assert (await gateway.post("/v1/track", event(userId="next"))).body == SUCCESS
        assert gateway.stored[-1]["userId"] == "next"

    run(talk)
