"""Requests as some SDKs and proxies write them, and paths that would pass a proxy's rule."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.attack_harness import APP, AttackHarness, attack_harness
from tests.support.raw_http import Answer, connect, read_answers, request


@pytest.fixture(name="gate", scope="module")
def _gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackHarness]:
    with attack_harness(tmp_path_factory.mktemp("gate")) as gate:
        yield gate
        gate.check()


@pytest.mark.parametrize(
    "path", [b"//v1/track", b"/v1//track", b"///v1///track//", b"//v1/track?a=b"]
)
def test_other_spellings_of_a_source(gate: AttackHarness, path: bytes) -> None:
    """A path of a source may have repeated slashes, and plain characters that are encoded."""
    answer = gate.send_one(request(gate.good_event(), APP, path=path))
    assert (answer.status, answer.body) == (200, b'{"success":true}')
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_slashes_of_a_path_with_a_key(gate: AttackHarness) -> None:
    """Settings of SDKs are found below repeated slashes, too."""
    get = b"GET //v1/projects/app-key//settings HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert gate.send_one(get).status == 200


@pytest.mark.parametrize(
    "path",
    [
        b"/%6detrics",
        b"/%6Detrics",
        b"/metric%73",
        b"/h%65alth",
        b"/%61dmin/status",
        b"/admin%2Fstatus",
        b"/%2e/metrics",
        b"/v1/%2e%2e/metrics",
        b"/v1/../metrics",
        b"/./metrics",
        b"//metrics",
        b"/metrics//",
        b"/metrics#a",
        b"/admin/status#",
        b"//health",
        b"//admin/status",
    ],
)
def test_no_other_spelling_of_a_path_is_answered(gate: AttackHarness, path: bytes) -> None:
    """Paths that are not of sources have one spelling, which rules of proxies can name."""
    get = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path
    assert gate.send_one(get).status == 404


@pytest.mark.parametrize("path", [b"/t", b"/x/y", b"/%6detrics", b"/v1/nothing"])
def test_a_page_can_read_that_there_is_nothing(gate: AttackHarness, path: bytes) -> None:
    """A 404 carries the headers that let a page's script read it, and so does its preflight."""
    headers = b"Host: x\r\nOrigin: https://shop.example\r\nConnection: close\r\n\r\n"
    answer = gate.send_one(b"GET %s HTTP/1.1\r\n" % path + headers)
    assert answer.status == 404
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize("name", [b"Content-Type", b"User-Agent", b"user-agent"])
def test_harmless_headers_may_be_repeated(gate: AttackHarness, name: bytes) -> None:
    """Content-Type and User-Agent may come twice, in any request of a connection."""
    body = gate.good_event(), gate.good_event()
    requests = [
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n"
        b"%s: text/plain\r\n%s: application/json\r\nConnection: %s\r\n\r\n%s"
        % (APP, len(one), name, name.upper(), connection, one)
        for one, connection in zip(body, (b"keep-alive", b"close"), strict=True)
    ]
    assert [answer.status for answer in in_parts(gate, *requests)] == [200, 200]


def test_a_head_that_arrives_in_packets_may_repeat_them_too(gate: AttackHarness) -> None:
    """However a head is cut into packets, its repeated headers are harmless, in any request."""
    packets = []
    for connection in (b"keep-alive", b"close"):
        body = gate.good_event()
        packets += [
            b"PO",
            b"ST /v1/track HT",
            b"TP/1.1\r",
            b"\nHost: x\r\nUser-Agent: a\r\nUser-",
            b"Agent: b\r\n%s\r\nConnection: %s\r\n" % (APP, connection),
            b"Content-Length: %d\r\n\r" % len(body),
            b"\n" + body,
        ]
    assert [answer.status for answer in in_parts(gate, *packets, seconds=0.02)] == [200, 200]


def test_a_head_without_an_end_is_not_held_back_for_ever(gate: AttackHarness) -> None:
    """A head that is too long, and bytes that begin no request, are refused at once."""
    long = b"GET /version HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000
    for data in (long, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        assert gate.send_one(data).status == 400


@pytest.mark.parametrize("name", [b"Host", b"Content-Length", b"Transfer-Encoding"])
def test_headers_that_frame_a_request_may_not(gate: AttackHarness, name: bytes) -> None:
    """Headers by which two readers could take a request differently are refused if repeated."""
    value = {b"Host": b"x", b"Content-Length": b"2", b"Transfer-Encoding": b"chunked"}[name]
    line = b"%s: %s\r\n" % (name, value)
    data = b"POST /v1/track HTTP/1.1\r\nUser-Agent: a\r\nUser-Agent: a\r\n%s%s\r\n{}" % (line, line)
    assert gate.send_one(data).status == 400


def test_a_body_is_left_alone(gate: AttackHarness) -> None:
    """A body that looks like a request with repeated headers arrives as it is."""
    fake = b"GET /metrics HTTP/1.1\r\nUser-Agent: a\r\nUser-Agent: a\r\n\r\n"
    head = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n\r\n"
    after = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = in_parts(gate, head % (len(fake), APP), fake, after)
    assert [answer.status for answer in answers] == [400, 200]


def in_parts(gate: AttackHarness, *parts: bytes, seconds: float = 0.1) -> list[Answer]:
    """The answers to what is sent in packets of their own."""
    with connect(gate.process.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            time.sleep(seconds)  # else they arrive as one
        return read_answers(connection)
