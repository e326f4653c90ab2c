"""Hostile and broken bodies and keys get a clear answer from a running gateway, and do no harm.

After each test `AttackHarness.check` asserts that the gateway took no harm.
"""

from __future__ import annotations

import gzip
import json
import zlib
from base64 import b64encode
from collections.abc import Iterator
from itertools import product
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.attack_harness import APP, FUZZ, WIDE, AttackHarness, attack_harness, event
from tests.support.raw_http import request
from tests.support.sizes import sizes

BATCH_PATHS = [b"/v1/batch", b"/v1/b", b"/v1/import", b"/beacon/v1/batch"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackHarness]:
    with attack_harness(tmp_path_factory.mktemp("gateway")) as harness:
        yield harness


@pytest.fixture
def harness(running: AttackHarness) -> Iterator[AttackHarness]:
    yield running
    running.check()


@pytest.mark.parametrize("path", [b"/v1/track", *BATCH_PATHS])
def test_nesting_bomb(harness: AttackHarness, path: bytes) -> None:
    """A body that nests deeper than the decoder can go is refused as invalid JSON.

    The depth depends on the interpreter: some 1,000 levels, and 10,000 from CPython 3.13.
    """
    brackets = [(b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b'{"a":', b"")]
    for levels, (opening, closing) in product([20_000, 100_000], brackets):
        nest = opening * levels + b"1" + closing * levels
        for body in (nest, b'{"context":%s,"batch":[%s]}' % (nest, event()), _with(nest)):
            answer = harness.send_one(request(body, WIDE, path=path + b"?writeKey=wide-key"))
            assert (answer.status, answer.code) == (400, "invalid_json")


def test_nesting_over_the_bound(harness: AttackHarness) -> None:
    """An event that nests deeper than its source allows is discarded, but not its batch."""
    before = harness.process.metric(
        "headgate_events_discarded_total", source="app", code="too_deep"
    )
    elements = [_with(b"[" * n + b"]" * n) for n in (65, 500)]
    body = b'{"batch":[%s]}' % b",".join([*elements, harness.good_event()])
    assert harness.send_one(request(body, APP, path=b"/v1/batch")).status == 200
    after = harness.process.metric("headgate_events_discarded_total", source="app", code="too_deep")
    assert after - before == 2


def _with(properties: bytes) -> bytes:
    return b'{"type":"track","userId":"u","event":"Tested","properties":%s}' % properties


@pytest.mark.parametrize("path", [b"/v1/track", *BATCH_PATHS])
def test_decompression_bomb(harness: AttackHarness, path: bytes) -> None:
    """A small body that decompresses beyond the limit of its source is refused."""
    zeros = bytes(10_000_000)
    bombs = [
        (b"gzip", gzip.compress(zeros)),
        (b"gzip", gzip.compress(zeros) * 20),
        (b"deflate", zlib.compress(zeros)),
        (b"gzip", gzip.compress(b'{"batch":[' + b"{}," * 3_000_000)),
    ]
    for encoding, bomb in bombs:
        answer = harness.send_one(request(bomb, APP, b"Content-Encoding: " + encoding, path=path))
        assert (answer.status, answer.code) == (400, "payload_too_large")


@pytest.mark.slow
def test_hundreds_of_megabytes(harness: AttackHarness) -> None:
    """A body of the largest allowed compressed size is never in memory as a whole."""
    packer = zlib.compressobj(9, wbits=31)
    megabyte = bytes(1_000_000)
    bomb = b"".join(packer.compress(megabyte) for _ in range(200)) + packer.flush()
    assert len(bomb) < 512_000
    answer = harness.send_one(request(bomb, APP, b"Content-Encoding: gzip", path=b"/v1/batch"))
    assert (answer.status, answer.code) == (400, "payload_too_large")


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (rb"\ud800", "\ufffd"),
        (rb"\udc00\ud800", "\ufffd\ufffd"),
        (rb"\ud83e\udd8a", "🦊"),
        (rb"\\ud800", r"\ud800"),
        (rb"a\u0000b", "ab"),
        (b"a\xff\xfeb\xe9", "a\ufffd\ufffdb\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xf4\x90\x80\x80", "\ufffd" * 4),
    ],
)
def test_text_that_cannot_be_stored(harness: AttackHarness, text: bytes, stored: str) -> None:
    """Bytes that are not UTF-8, lone surrogates and NUL are replaced, and the event is kept."""
    body = harness.good_event(properties={"text": "TEXT"}).replace(b"TEXT", text)
    assert harness.send_one(request(body, APP)).status == 200
    assert harness.delivered(harness.good[-1])["properties"] == {"text": stored}


def test_duplicate_keys(harness: AttackHarness) -> None:
    """The last of duplicate keys in an object counts, and the write key is never stored."""
    body = (
        harness.good_event()[:-1]
        + b',"userId":"v","writeKey":"x","writeKey":"app-key","event":"B"}'
    )
    assert harness.send_one(request(body)).status == 200
    stored = harness.delivered(harness.good[-1])
    assert (stored["userId"], stored["event"], "writeKey" in stored) == ("v", "B", False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0" + event(),
        event(properties={"a": "NUL"}).replace(b"NUL", b"\0"),
        event().decode().encode("utf-16"),
        event()[:-1],
        event() + b"}",
        b"[]",
        b"null",
        b'"text"',
        b"NaN",
        b'{"userId":"u","event":"E","properties":{"a":NaN}}',
        b"{'userId':'u'}",
        b"userId=u&event=E",
        bytes(range(256)),
    ],
)
def test_what_is_no_json_object(harness: AttackHarness, body: bytes) -> None:
    """A body that is no JSON object is refused as final."""
    for path in (b"/v1/track", b"/v1/batch"):
        answer = harness.send_one(request(body, APP, path=path))
        assert (answer.status, answer.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", event()),
        (b"gzip", gzip.compress(event(), mtime=0)[:-1]),
        (b"gzip", gzip.compress(event(), mtime=0) + b"more"),
        (b"gzip", b""),
        (b"br", event()),
        (b"gzip, gzip", gzip.compress(gzip.compress(event(), mtime=0), mtime=0)),
        (b"\xff", event()),
    ],
)
def test_wrong_encoding(harness: AttackHarness, encoding: bytes, body: bytes) -> None:
    """A body that does not match its Content-Encoding is refused as final."""
    answer = harness.send_one(request(body, APP, b"Content-Encoding: " + encoding))
    assert (answer.status, answer.code) == (400, "invalid_encoding")


@pytest.mark.parametrize(
    "credentials",
    [
        b"",
        b"Basic",
        b"Basic ====",
        b"Basic !!!!",
        b"Basic \xff\xfe",
        b"Basic " + b64encode(b"\xff\xfe:"),
        b"Basic " + b64encode(b":app-key"),
        b"Basic " + b64encode(b"app-key\0:"),
        b"Basic " + b64encode(b" app-key:"),
        b"Basic " + b64encode(b"APP-KEY:"),
        b"Basic " + b"QUJD" * 1_500,
        b"Bearer app-key",
        b"app-key",
        b"Digest username=app-key",
    ],
)
def test_rubbish_for_a_key(harness: AttackHarness, credentials: bytes) -> None:
    """Credentials without the write key of a source are refused."""
    before = harness.process.metric("headgate_requests_rejected_total", code="invalid_write_key")
    answer = harness.send_one(request(event(), b"Authorization: " + credentials))
    assert (answer.status, answer.code) == (401, "invalid_write_key")
    after = harness.process.metric("headgate_requests_rejected_total", code="invalid_write_key")
    assert after - before == 1


def test_key_in_the_query(harness: AttackHarness) -> None:
    """Only beacons and pixels may have the write key in the query, because URLs end up in logs."""
    answer = harness.send_one(request(event(), path=b"/v1/track?writeKey=app-key"))
    assert (answer.status, answer.code) == (401, "invalid_write_key")
    for body in (harness.good_event(), harness.good_event(writeKey="no-such-key")):
        beacon = request(b'{"batch":[%s]}' % body, path=b"/beacon/v1/batch?writeKey=app-key")
        assert harness.send_one(beacon).status == 200
    keys = b"writeKey=no-such-key&writeKey=app-key"
    answer = harness.send_one(
        request(b'{"batch":[%s]}' % event(), path=b"/beacon/v1/batch?" + keys)
    )
    assert (answer.status, answer.code) == (401, "invalid_write_key")


KINDS = [b"track", b"identify", b"page", b"screen", b"group", b"alias"]
POST_PATHS = [b"/v1/" + name for kind in KINDS for name in (kind, kind[:1])] + BATCH_PATHS
PIXEL_PATHS = [base + kind for kind in KINDS for base in (b"/v1/pixel/", b"/pixel/v1/")]
BODIES = [
    event(properties={"text": "Zoë 🦊", "list": [1, {"a": None}], "number": -1.5e3}),
    event(
        context={"library": {"name": "analytics.js"}, "direct": True}, integrations={"All": True}
    ),
    json.dumps(
        {
            "sentAt": "2026-01-02T03:04:05Z",
            "context": {"locale": "de"},
            "batch": [
                {"type": "identify", "anonymousId": 7, "traits": {"name": "\ud83e\udd8a"}},
                {"type": "page", "userId": "u", "name": None, "timestamp": 1_700_000_000},
                {"type": "alias", "userId": "u", "previousId": "v", "own": "key"},
            ],
        }
    ).encode(),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Returns a valid body after removing, inserting or doubling some of its bytes."""
    body = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 20)))
        tokens = st.sampled_from(
            [b"{", b"]", b'"', b"\\u0000", b"\\ud800", b"1e999", b"null", b","]
        )
        put = draw(st.one_of(st.binary(max_size=8), tokens, st.just(body[start:end] * 2)))
        body = body[:start] + put + body[end:]
    return body


@pytest.mark.slow
@sizes("number", small=40, full=300)
def test_anything(harness: AttackHarness, number: int) -> None:
    """Any bytes on a path for events get an answer that SDKs expect, and no event is lost."""

    @settings(max_examples=number, deadline=None)
    @given(
        st.sampled_from(POST_PATHS + PIXEL_PATHS),
        st.one_of(st.binary(max_size=500), mutated(), mutated()),
        st.sampled_from([b"", b"gzip", b"deflate"]),
        st.booleans(),
    )
    @example(b"/v1/batch", BODIES[-1], b"", False)  # one that is stored
    def ask(path: bytes, body: bytes, encoding: bytes, packed: bool) -> None:
        if path in PIXEL_PATHS:
            query = b"?writeKey=fuzz-key&data=" + quote_from_bytes(body).encode()
            answer = harness.send_one(request(None, path=path + query, method=b"GET"))
            assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
            return
        if packed:
            body = zlib.compress(body) if encoding == b"deflate" else gzip.compress(body)
        answer = harness.send_one(request(body, FUZZ, b"Content-Encoding: " + encoding, path=path))
        if answer.status == 200:
            assert answer.body == b'{"success":true}'
        else:
            assert answer.status == 400
            assert answer.code in ("invalid_json", "invalid_encoding", "empty_batch")

    ask()
    harness.process.wait_delivered("files")
    events = [e for e in harness.process.events("events") if e["sourceId"] == "fuzz"]
    stored = harness.process.metric("headgate_events_accepted_total", source="fuzz")
    assert len(events) == stored > 0
