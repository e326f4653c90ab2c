"""The response made in advance equals the one that aiohttp would send."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import HttpVersion10, HttpVersion11, web
from multidict import CIMultiDict

from gateway.builtin.sources.segment.answers import SUCCESS, succeed
from gateway.http.ready_response import SECURE_HEADERS, ReadyResponse
from tests.support.attack_harness import APP, AttackHarness, attack_harness
from tests.support.raw_http import request


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackHarness]:
    with attack_harness(tmp_path_factory.mktemp("gateway")) as harness:
        yield harness


class Transport:
    """Keeps the bytes that are written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closing


def asked(transport: Transport | None = None, **changes: Any) -> web.BaseRequest:
    """A request with the parts that the response reads."""

    async def drain() -> None:
        pass

    fields: dict[str, Any] = {
        "version": HttpVersion11,
        "keep_alive": True,
        "method": "POST",
        "headers": CIMultiDict[str](),
        "transport": transport,
        "writer": SimpleNamespace(drain=drain),
    }
    return cast("web.BaseRequest", SimpleNamespace(**{**fields, **changes}))


@pytest.mark.parametrize(
    "other",
    [
        {"version": HttpVersion10},
        {"keep_alive": False},
        {"method": "HEAD"},
        {"headers": CIMultiDict({"origin": "https://shop.example"})},
    ],
)
def test_whose_answer_differs_gets_one_of_its_own(other: dict[str, Any]) -> None:
    """Only requests that ask for nothing special share the response."""
    assert succeed(asked()) is succeed(asked())
    assert not isinstance(succeed(asked(**other)), ReadyResponse)


def test_both_kinds_say_the_same(harness: AttackHarness) -> None:
    """Both kinds of response differ only in what the client asked for."""
    ready, made = harness.send(
        request(harness.good_event(), APP, close=False) + request(harness.good_event(), APP)
    )
    assert ready.status == made.status == 200
    assert ready.body == made.body == SUCCESS
    assert made.headers["connection"] == "close"
    assert set(ready.headers) == set(made.headers) - {"connection"}
    same = set(ready.headers) - {"date"}
    assert {key: ready.headers[key] for key in same} == {key: made.headers[key] for key in same}
    assert {name.lower() for name in SECURE_HEADERS} <= set(ready.headers)
    between = parsedate_to_datetime(made.headers["date"]) - parsedate_to_datetime(
        ready.headers["date"]
    )
    assert abs(between.total_seconds()) <= 10


@pytest.mark.parametrize("path", [b"/v1/track?x=1", b"/v1/%74rack", b"/v1/track/"])
def test_other_spellings_of_a_path_pass_the_router(harness: AttackHarness, path: bytes) -> None:
    """Unusual spellings of a path go through the router and get the same answer."""
    answer = harness.send_one(request(harness.good_event(), APP, path=path))
    assert (answer.status, answer.body) == (200, SUCCESS)
    assert answer.headers["server"] == "headgate"


def test_a_refusal_on_the_short_way_has_the_headers_of_every_answer(harness: AttackHarness) -> None:
    """A refusal on the direct route has the headers of every answer."""
    answer = harness.send_one(request(harness.good_event(), close=True))
    assert (answer.status, answer.headers["x-content-type-options"]) == (401, "nosniff")
    assert answer.headers["server"] == "headgate"


def test_a_client_that_waits_for_leave_to_send_gets_it(harness: AttackHarness) -> None:
    """Expect: 100-continue is answered before the body is sent."""
    data = request(harness.good_event(), APP, b"Expect: 100-continue")
    first, *_ = harness.send(data)
    assert first.status in (100, 200)


async def test_the_date_is_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The date changes with the second."""
    now = 1_795_442_400.0
    monkeypatch.setattr("gateway.http.ready_response.time.time", lambda: now)
    answer, transport = ReadyResponse(b"yes", {"X-A": "b"}), Transport()
    for passed in (0.0, 0.9, 1.0):
        now = 1_795_442_400.0 + passed
        await answer.prepare(asked(transport))
        await answer.write_eof()
    dates = [re.findall(rb"Date: (.+)\r\n\r\nyes$", data)[0][5:] for data in transport.written]
    assert dates == [
        b"23 Nov 2026 14:00:00 GMT",
        b"23 Nov 2026 14:00:00 GMT",
        b"23 Nov 2026 14:00:01 GMT",
    ]
    assert transport.written[0].startswith(b"HTTP/1.1 200 OK\r\nX-A: b\r\n")
    assert b"\r\nContent-Length: 3\r\n" in transport.written[0]


async def test_a_client_that_is_gone_is_no_success() -> None:
    """Writing to a client that has disconnected raises, as aiohttp's own responses do."""
    answer, transport = ReadyResponse(b"yes", {}), Transport()
    transport.closing = True
    for gone in (transport, None):
        with pytest.raises(ConnectionError):
            await answer.prepare(asked(gone))
    assert transport.written == []


async def test_a_client_that_does_not_read_is_waited_for() -> None:
    """Nothing is written to a client until it has read what it was sent before."""
    reads = asyncio.Event()
    answer, transport = ReadyResponse(b"yes", {}), Transport()
    writer = SimpleNamespace(drain=reads.wait)
    sending = asyncio.create_task(answer.prepare(asked(transport, writer=writer)))
    await asyncio.sleep(0)
    assert transport.written == []
    reads.set()
    await sending
    assert len(transport.written) == 1
