"""Hostile and broken bodies and keys against a running gateway: a clear answer, and no harm done.

What no harm is, says `Gate.check`, which follows each test.
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
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.gate import APP, FUZZ, WIDE, Gate, event, open_gate
from tests.support.raw_http import request
from tests.support.sizes import sizes

BATCH_PATHS = [b"/v1/batch", b"/v1/b", b"/v1/import", b"/beacon/v1/batch"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with open_gate(tmp_path_factory.mktemp("gateway")) as gate:
        yield gate


@pytest.fixture
def gate(running: Gate) -> Iterator[Gate]:
    yield running
    running.check()


@pytest.mark.parametrize("path", [b"/v1/track", *BATCH_PATHS])
def test_nesting_bomb(gate: Gate, path: bytes) -> None:
    """A body that nests deeper than the decoder goes is not JSON to us.

    How deep that is depends on the interpreter: some 1,000 levels, and 10,000 from CPython 3.13.
    """
    brackets = [(b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b'{"a":', b"")]
    for levels, (opening, closing) in product([20_000, 100_000], brackets):
        nest = opening * levels + b"1" + closing * levels
        for body in (nest, b'{"context":%s,"batch":[%s]}' % (nest, event()), _with(nest)):
            answer = gate.send_one(request(body, WIDE, path=path + b"?writeKey=wide-key"))
            assert (answer.status, answer.code) == (400, "invalid_json")


def test_nesting_over_the_bound(gate: Gate) -> None:
    """An event that nests deeper than its source allows is discarded, and the batch is not."""
    before = gate.process.metric("headgate_events_discarded_total", source="app", code="too_deep")
    elements = [_with(b"[" * n + b"]" * n) for n in (65, 500)]
    body = b'{"batch":[%s]}' % b",".join([*elements, gate.good_event()])
    assert gate.send_one(request(body, APP, path=b"/v1/batch")).status == 200
    after = gate.process.metric("headgate_events_discarded_total", source="app", code="too_deep")
    assert after - before == 2


def _with(properties: bytes) -> bytes:
    return b'{"type":"track","userId":"u","event":"Tested","properties":%s}' % properties


@pytest.mark.parametrize("path", [b"/v1/track", *BATCH_PATHS])
def test_decompression_bomb(gate: Gate, path: bytes) -> None:
    """A small body that unfolds to much more than a source allows is refused, unfolded or not."""
    zeros = bytes(10_000_000)
    bombs = [
        (b"gzip", gzip.compress(zeros)),
        (b"gzip", gzip.compress(zeros) * 20),
        (b"deflate", zlib.compress(zeros)),
        (b"gzip", gzip.compress(b'{"batch":[' + b"{}," * 3_000_000)),
    ]
    for encoding, bomb in bombs:
        answer = gate.send_one(request(bomb, APP, b"Content-Encoding: " + encoding, path=path))
        assert (answer.status, answer.code) == (400, "payload_too_large")


@pytest.mark.slow
def test_hundreds_of_megabytes(gate: Gate) -> None:
    """As many bytes as the compressed size lets through are never all in memory."""
    packer = zlib.compressobj(9, wbits=31)
    megabyte = bytes(1_000_000)
    bomb = b"".join(packer.compress(megabyte) for _ in range(200)) + packer.flush()
    assert len(bomb) < 512_000
    answer = gate.send_one(request(bomb, APP, b"Content-Encoding: gzip", path=b"/v1/batch"))
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
def test_text_that_cannot_be_stored(gate: Gate, text: bytes, stored: str) -> None:
    """Bytes that are not UTF-8, lone surrogates and NUL are replaced, and the event is kept."""
    body = gate.good_event(properties={"text": "TEXT"}).replace(b"TEXT", text)
    assert gate.send_one(request(body, APP)).status == 200
    assert gate.delivered(gate.good[-1])["properties"] == {"text": stored}


def test_duplicate_keys(gate: Gate) -> None:
    """Of keys that stand twice in an object the last counts, and the write key is never stored."""
    body = (
        gate.good_event()[:-1] + b',"userId":"v","writeKey":"x","writeKey":"app-key","event":"B"}'
    )
    assert gate.send_one(request(body)).status == 200
    stored = gate.delivered(gate.good[-1])
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
def test_what_is_no_json_object(gate: Gate, body: bytes) -> None:
    """A body that is no JSON object is refused for good."""
    for path in (b"/v1/track", b"/v1/batch"):
        answer = gate.send_one(request(body, APP, path=path))
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
def test_wrong_encoding(gate: Gate, encoding: bytes, body: bytes) -> None:
    """A body that is not what Content-Encoding says is refused for good."""
    answer = gate.send_one(request(body, APP, b"Content-Encoding: " + encoding))
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
def test_rubbish_for_a_key(gate: Gate, credentials: bytes) -> None:
    """What is not the write key of a source opens none."""
    before = gate.process.metric("headgate_requests_rejected_total", code="invalid_write_key")
    answer = gate.send_one(request(event(), b"Authorization: " + credentials))
    assert (answer.status, answer.code) == (401, "invalid_write_key")
    after = gate.process.metric("headgate_requests_rejected_total", code="invalid_write_key")
    assert after - before == 1


def test_key_in_the_query(gate: Gate) -> None:
    """A write key in the query counts for beacons and pixels only: addresses end up in logs."""
    answer = gate.send_one(request(event(), path=b"/v1/track?writeKey=app-key"))
    assert (answer.status, answer.code) == (401, "invalid_write_key")
    for body in (gate.good_event(), gate.good_event(writeKey="no-such-key")):
        beacon = request(b'{"batch":[%s]}' % body, path=b"/beacon/v1/batch?writeKey=app-key")
        assert gate.send_one(beacon).status == 200
    keys = b"writeKey=no-such-key&writeKey=app-key"
    answer = gate.send_one(request(b'{"batch":[%s]}' % event(), path=b"/beacon/v1/batch?" + keys))
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
    """A body that was valid before some of its bytes were taken out, put in or doubled."""
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
def test_anything(gate: Gate, number: int) -> None:
    """Whatever bytes a path for events gets, it answers as SDKs expect, and no event is lost."""

    @settings(max_examples=number, deadline=None)
    @given(
        st.sampled_from(POST_PATHS + PIXEL_PATHS),
        st.one_of(st.binary(max_size=500), mutated(), mutated()),
        st.sampled_from([b"", b"gzip", b"deflate"]),
        st.booleans(),
    )
    def ask(path: bytes, body: bytes, encoding: bytes, packed: bool) -> None:
        if path in PIXEL_PATHS:
            query = b"?writeKey=fuzz-key&data=" + quote_from_bytes(body).encode()
            answer = gate.send_one(request(None, path=path + query, method=b"GET"))
            assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
            return
        if packed:
            body = zlib.compress(body) if encoding == b"deflate" else gzip.compress(body)
        answer = gate.send_one(request(body, FUZZ, b"Content-Encoding: " + encoding, path=path))
        if answer.status == 200:
            assert answer.body == b'{"success":true}'
        else:
            assert answer.status == 400
            assert answer.code in ("invalid_json", "invalid_encoding", "empty_batch")

    ask()
    gate.process.wait_delivered("files")
    events = [e for e in gate.process.events("events") if e["sourceId"] == "fuzz"]
    stored = gate.process.metric("headgate_events_accepted_total", source="fuzz")
    assert len(events) == stored > 0
