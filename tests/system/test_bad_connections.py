"""Hostile and broken connections get a clear answer from a running gateway, and do no harm.

After each test `AttackHarness.check` asserts that the gateway took no harm.
"""

from __future__ import annotations

import gzip
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.attack_harness import (
    APP,
    KEEPALIVE_SECONDS,
    MAX_CONNECTIONS,
    AttackHarness,
    attack_harness,
    event,
)
from tests.support.raw_http import basic, connect, read_answers, request

LINE_BOMB = b"a" * 100_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackHarness]:
    with attack_harness(tmp_path_factory.mktemp("gateway")) as harness:
        yield harness


@pytest.fixture
def harness(running: AttackHarness) -> Iterator[AttackHarness]:
    yield running
    running.check()


# -- slow and broken connections ---------------------------------------------------------------


def test_slow_head(harness: AttackHarness) -> None:
    """A connection whose first head comes in drips is closed after the time limit for heads."""
    begun = time.monotonic()
    assert harness.send(b"POST /v1/track HTTP/1.1\r\nX: ", drip=b"a") == []
    assert time.monotonic() - begun < KEEPALIVE_SECONDS


@pytest.mark.slow
def test_slow_head_of_a_second_request(harness: AttackHarness) -> None:
    """A connection whose later head comes in drips is closed after the idle time."""
    first = request(harness.good_event(), APP, close=False)
    answer = harness.send_one(first + b"POST /v1/track HTTP/1.1\r\nX: ", drip=b"a")
    assert answer.status == 200


@pytest.mark.parametrize(
    "head",
    [
        request(None, APP, b"Content-Length: 5000"),
        request(None, APP, b"Transfer-Encoding: chunked") + b"5000\r\n",
        request(None, b"Content-Length: 5000"),
    ],
    ids=["length", "chunked", "no key"],
)
def test_slow_body(harness: AttackHarness, head: bytes) -> None:
    """A body that comes in drips is refused as retryable, and the connection is closed."""
    answer = harness.send_one(head + b'{"userId":"', drip=b"a")
    assert (answer.status, answer.code) == (503, "request_timeout")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", [b"/v1/track", b"/health", b"/nothing"])
def test_body_that_nobody_reads(harness: AttackHarness, path: bytes) -> None:
    """A request that its head disqualifies is answered before its body, and then closed."""
    answer = harness.send_one(
        request(
            None, basic("no-such-key"), b"Content-Length: 999999999999", path=path, method=b"PUT"
        )
    )
    assert answer.status in (404, 405)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"POST /v1/tr",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nAutho",
        request(None, APP, b"Content-Length: 100"),
        request(None, APP, b"Content-Length: 100") + b'{"userId"',
        request(None, APP, b"Content-Length: 500") + event(),
        request(None, APP, b"Transfer-Encoding: chunked") + b"5\r\n{",
    ],
)
def test_client_that_goes_away(harness: AttackHarness, part: bytes, reset: bool) -> None:
    """A request that stops half way, at any point, has no effect."""
    if not reset:
        assert harness.send(part, half_close=True) == []
        return
    with connect(harness.process.url) as connection:
        connection.sendall(part)
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def test_silent_connections(harness: AttackHarness) -> None:
    """Silent connections are bounded in number and in time; those over the bound get an answer."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(connect(harness.process.url)) for _ in range(2 * MAX_CONNECTIONS)
        ]
        heard = [read_answers(connection) for connection in connections]
    assert sum(not answers for answers in heard) <= MAX_CONNECTIONS
    refused = [answer for answers in heard for answer in answers]
    assert len(refused) >= MAX_CONNECTIONS
    assert {answer.status for answer in refused} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_pipelined_requests(harness: AttackHarness) -> None:
    """Pipelined requests are answered in order, each on its own."""
    requests = [
        request(harness.good_event(), APP, close=False),
        request(b"{", APP, close=False),
        request(event(), basic("no-such-key"), close=False),
        request(gzip.compress(harness.good_event()), APP, b"Content-Encoding: gzip", close=False),
        request(None, path=b"/nothing", method=b"GET", close=False),
        request(harness.good_event(), APP),
    ]
    answers = harness.send(b"".join(requests))
    assert [answer.status for answer in answers] == [200, 400, 401, 200, 404, 200]


def test_many_pipelined_requests(harness: AttackHarness) -> None:
    """Thousands of pipelined requests are all answered in order."""
    one = request(None, path=b"/v1/pixel/track", method=b"GET", close=False)
    last = request(None, path=b"/version", method=b"GET")
    answers = harness.send(one * 3000 + last)
    assert [answer.headers["content-type"] for answer in answers[:-1]] == ["image/gif"] * 3000


# -- framing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        *(
            [b"Content-Length: " + value]
            for value in (b"-1", b"+5", b"0x5", b"5 5", b"5, 5", b"", b"x")
        ),
        [b"Content-Length: 99999999999999999999"],
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding : chunked"],
        [b"Transfer-Encoding:", b" chunked"],
        [b"X: folded", b" Content-Length: 5"],
        [b"X: a\rContent-Length: 5"],
        [b"X: a\0b"],
        [b"no colon"],
        [b": no name"],
        [b"Host: another.example"],
        [b"X: " + LINE_BOMB],
        [LINE_BOMB + b": x"],
        [b"X-%d: x" % i for i in range(20_000)],
    ],
    ids=lambda headers: b" | ".join(headers)[:60].decode("latin-1"),
)
def test_heads_that_may_be_read_in_two_ways(harness: AttackHarness, headers: list[bytes]) -> None:
    """A head with ambiguous framing is refused, and nothing after it is read as a request."""
    hidden = b"0\r\n\r\n" + request(event(), APP)
    answer = harness.send_one(request(None, APP, *headers, close=False) + hidden)
    assert (answer.status, answer.code) == (400, "bad_request")


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"-5\r\nabcde\r\n0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"FFFFFFFFFFFFFFFFF\r\nabc",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_chunks_of_garbage(harness: AttackHarness, chunks: bytes) -> None:
    """A chunked body with broken framing is refused, and nothing after it is read as a request."""
    head = request(None, APP, b"Transfer-Encoding: chunked", close=False)
    answer = harness.send_one(head + chunks + request(event(), APP))
    assert (answer.status, answer.code) == (400, "bad_request")


def test_length_that_is_too_short(harness: AttackHarness) -> None:
    """Bytes beyond the announced length are not part of the event."""
    body = event()
    head = request(None, APP, b"Content-Length: %d" % (len(body) - 5), close=False)
    assert {answer.status for answer in harness.send(head + body)} == {400}


def test_chunked_event(harness: AttackHarness) -> None:
    """A body in chunks of one byte, with an extension and a trailer, is read."""
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in harness.good_event())
    head = request(None, APP, b"Transfer-Encoding: cHuNkEd")
    assert harness.send_one(head + chunks + b"0\r\nX: y\r\n\r\n").status == 200


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("16030100a5010000a10303") + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        bytes(10_000),
        bytes(range(256)) * 100,
        b"\x80" * 10_000,
    ],
)
def test_what_is_no_http(harness: AttackHarness, data: bytes) -> None:
    """Another protocol, or none, is refused at once."""
    answer = harness.send_one(data)
    assert (answer.status, answer.code) == (400, "bad_request")


# -- methods, paths and keys -------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"PROPFIND"])
def test_method_that_a_path_does_not_have(harness: AttackHarness, method: bytes) -> None:
    """A method that a path does not have gets 405 and the allowed methods."""
    answer = harness.send_one(request(event(), APP, b"X-HTTP-Method-Override: POST", method=method))
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"CONNECT"])
def test_method_that_stores_nothing(harness: AttackHarness, method: bytes) -> None:
    """An event sent with another method than POST is not stored."""
    [answer] = harness.send(request(None, APP, b"Content-Length: 0", method=method))
    assert answer.status in (204, 404, 405)


@pytest.mark.parametrize("method", [b"post", b"FOO", b"P\0ST", b"", b"A" * 100_000])
def test_method_that_is_none(harness: AttackHarness, method: bytes) -> None:
    """A method that HTTP does not know is refused."""
    answer = harness.send_one(request(event(), APP, method=method))
    assert (answer.status, answer.code) == (400, "bad_request")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/" + b"a" * 8_000, 404),
        (b"/" + LINE_BOMB, 400),
        (b"/v1/pixel/track?data=" + LINE_BOMB, 400),
        (b"/v1/tra\xffck", 400),
        (b"*", 400),
        (b"v1/track", 400),
        (b"http://[::1/v1/track", 400),
        (b"http://x:99999/v1/track", 400),
        (b"/%00", 404),
        (b"/%zz%", 404),
        (b"/v1/%E2%28%A1", 404),
        (b"/v1/track/../track/x", 404),
        (b"/metrics/../../etc/passwd", 404),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else str(value),
)
def test_path_that_is_none(harness: AttackHarness, path: bytes, status: int) -> None:
    """A malformed or unknown address gets a clear status."""
    assert harness.send_one(request(event(), APP, path=path)).status == status
