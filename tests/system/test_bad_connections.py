"""Hostile and broken connections against a running gateway: a clear answer, and no harm done.

What no harm is, says `Gate.check`, which follows each test.
"""

from __future__ import annotations

import gzip
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.gate import APP, KEEPALIVE_SECONDS, MAX_CONNECTIONS, Gate, event, open_gate
from tests.support.raw_http import basic, connect, read_answers, request

LINE_BOMB = b"a" * 100_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with open_gate(tmp_path_factory.mktemp("gateway")) as gate:
        yield gate


@pytest.fixture
def gate(running: Gate) -> Iterator[Gate]:
    yield running
    running.check()


# -- slow and broken connections ---------------------------------------------------------------


def test_slow_head(gate: Gate) -> None:
    """A connection on which the first head comes in drips is closed after the time for heads."""
    begun = time.monotonic()
    assert gate.send(b"POST /v1/track HTTP/1.1\r\nX: ", drip=b"a") == []
    assert time.monotonic() - begun < KEEPALIVE_SECONDS


@pytest.mark.slow
def test_slow_head_of_a_second_request(gate: Gate) -> None:
    """A connection on which a later head comes in drips counts as an idle one."""
    first = request(gate.good_event(), APP, close=False)
    answer = gate.send_one(first + b"POST /v1/track HTTP/1.1\r\nX: ", drip=b"a")
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
def test_slow_body(gate: Gate, head: bytes) -> None:
    """A body that comes in drips is refused, to be sent again, and the connection closed."""
    answer = gate.send_one(head + b'{"userId":"', drip=b"a")
    assert (answer.status, answer.code) == (503, "request_timeout")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", [b"/v1/track", b"/health", b"/nothing"])
def test_body_that_nobody_reads(gate: Gate, path: bytes) -> None:
    """A request that is refused by its head is answered before its body, and then closed."""
    answer = gate.send_one(
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
def test_client_that_goes_away(gate: Gate, part: bytes, reset: bool) -> None:
    """A request that stops half way, at any point, is nothing."""
    if not reset:
        assert gate.send(part, half_close=True) == []
        return
    with connect(gate.process.url) as connection:
        connection.sendall(part)
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def test_silent_connections(gate: Gate) -> None:
    """Connections that say nothing are bounded in number and in time; who is over hears so."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(connect(gate.process.url)) for _ in range(2 * MAX_CONNECTIONS)
        ]
        heard = [read_answers(connection) for connection in connections]
    assert sum(not answers for answers in heard) <= MAX_CONNECTIONS
    refused = [answer for answers in heard for answer in answers]
    assert len(refused) >= MAX_CONNECTIONS
    assert {answer.status for answer in refused} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_pipelined_requests(gate: Gate) -> None:
    """Requests sent without waiting are answered in their order, each on its own."""
    requests = [
        request(gate.good_event(), APP, close=False),
        request(b"{", APP, close=False),
        request(event(), basic("no-such-key"), close=False),
        request(gzip.compress(gate.good_event()), APP, b"Content-Encoding: gzip", close=False),
        request(None, path=b"/nothing", method=b"GET", close=False),
        request(gate.good_event(), APP),
    ]
    answers = gate.send(b"".join(requests))
    assert [answer.status for answer in answers] == [200, 400, 401, 200, 404, 200]


def test_many_pipelined_requests(gate: Gate) -> None:
    """Thousands of requests in one go are answered one after the other."""
    one = request(None, path=b"/v1/pixel/track", method=b"GET", close=False)
    last = request(None, path=b"/version", method=b"GET")
    answers = gate.send(one * 3000 + last)
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
def test_heads_that_may_be_read_in_two_ways(gate: Gate, headers: list[bytes]) -> None:
    """A head that others may frame differently is refused, and nothing after it is a request."""
    hidden = b"0\r\n\r\n" + request(event(), APP)
    answer = gate.send_one(request(None, APP, *headers, close=False) + hidden)
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
def test_chunks_of_garbage(gate: Gate, chunks: bytes) -> None:
    """A chunked body whose framing is broken is refused, and nothing after it is a request."""
    head = request(None, APP, b"Transfer-Encoding: chunked", close=False)
    answer = gate.send_one(head + chunks + request(event(), APP))
    assert (answer.status, answer.code) == (400, "bad_request")


def test_length_that_is_too_short(gate: Gate) -> None:
    """What stands behind the announced length is not part of the event."""
    body = event()
    head = request(None, APP, b"Content-Length: %d" % (len(body) - 5), close=False)
    assert {answer.status for answer in gate.send(head + body)} == {400}


def test_chunked_event(gate: Gate) -> None:
    """A body in chunks of one byte, with an extension and a trailer, is a body."""
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in gate.good_event())
    head = request(None, APP, b"Transfer-Encoding: cHuNkEd")
    assert gate.send_one(head + chunks + b"0\r\nX: y\r\n\r\n").status == 200


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
def test_what_is_no_http(gate: Gate, data: bytes) -> None:
    """Another protocol, or none, is refused at once."""
    answer = gate.send_one(data)
    assert (answer.status, answer.code) == (400, "bad_request")


# -- methods, paths and keys -------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"PROPFIND"])
def test_method_that_a_path_does_not_have(gate: Gate, method: bytes) -> None:
    """The method is the one of the request's first line, and a path's own are told."""
    answer = gate.send_one(request(event(), APP, b"X-HTTP-Method-Override: POST", method=method))
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"CONNECT"])
def test_method_that_stores_nothing(gate: Gate, method: bytes) -> None:
    """An event sent with a method that is not for sending is not stored."""
    [answer] = gate.send(request(None, APP, b"Content-Length: 0", method=method))
    assert answer.status in (204, 404, 405)


@pytest.mark.parametrize("method", [b"post", b"FOO", b"P\0ST", b"", b"A" * 100_000])
def test_method_that_is_none(gate: Gate, method: bytes) -> None:
    """A method that HTTP does not know is refused."""
    answer = gate.send_one(request(event(), APP, method=method))
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
def test_path_that_is_none(gate: Gate, path: bytes, status: int) -> None:
    """An address that is none, or that is nobody's, is told so."""
    assert gate.send_one(request(event(), APP, path=path)).status == status
