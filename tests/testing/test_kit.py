"""The tools for authors of plugins."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from gateway.errors import BatchError, Permanent, Retryable
from gateway.events.event import EMPTY, Event
from gateway.testing import (
    Answer,
    FakeVendor,
    ManualClock,
    RecordingDestination,
    make_batch,
    make_context,
    make_event,
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def test_an_event_is_complete() -> None:
    """An event made without arguments is valid, and no two have the same message id."""
    first, second = make_event(), make_event()
    assert (first.type, first.event, first.source_id) == ("track", "Order Completed", "web")
    assert first.message_id != second.message_id
    assert isinstance(first, Event)


def test_fields_can_be_overridden() -> None:
    """Fields are given by name, bodies as mappings or as bytes, and None takes a field away."""
    event = make_event(
        user_id=None,
        message_id="m",
        properties={"a": 1},
        raw_context=b'{ "ip": "::1" }',
        extra={"custom": True},
    )
    assert event.user_id is None
    assert event.message_id == "m"
    assert event.properties == {"a": 1}
    assert event.context == {"ip": "::1"}
    assert event.raw_traits is EMPTY
    assert event.to_dict()["custom"] is True


def test_a_misspelt_field_is_an_error() -> None:
    """A field that events do not have cannot be set."""
    with pytest.raises(TypeError, match="usr_id"):
        make_event(usr_id="x")


def test_batches() -> None:
    """A batch has its events at successive offsets."""
    events = [make_event(), make_event()]
    batch = make_batch(events, first_offset=7, attempt=3)
    assert list(batch) == events
    assert (list(batch.offsets), batch.attempt) == ([7, 8], 3)
    assert len(make_batch(4)) == 4


def test_contexts(tmp_path: Path) -> None:
    """A context resolves paths in its folder, and tests can read its log."""
    context = make_context(tmp_path, "crm")
    assert context.path("a/b") == tmp_path.resolve() / "a" / "b"
    with capture_logs() as logs:
        context.log.warning("said")
    assert logs == [{"component": "crm", "event": "said", "log_level": "warning"}]


def test_the_clock_moves_when_told() -> None:
    """A manual clock stands still between the moves, and can be set back."""
    clock = ManualClock(5000)
    assert (clock(), clock()) == (5000, 5000)
    clock.advance(1.5)
    assert clock() == 6500
    clock.advance(-2)
    assert clock() == 4500


async def test_a_recording_destination_follows_its_script() -> None:
    """Errors are raised in the order of the script; `delivered` has only what was delivered."""
    partial = BatchError({1: Permanent("no")})
    destination = RecordingDestination([Retryable("later"), partial, None])
    await destination.start()
    first, second = make_batch(2), make_batch(2)
    with pytest.raises(Retryable):
        await destination.send(first)
    assert destination.delivered == []
    with pytest.raises(BatchError):
        await destination.send(first)
    assert destination.delivered == [first[0]]
    await destination.send(second)
    await destination.send(second)
    assert destination.delivered == [first[0], *second, *second]
    assert destination.batches == [first, first, second, second]
    await destination.stop()
    assert (destination.starts, destination.stops) == (1, 1)


async def test_requests_are_recorded(session: aiohttp.ClientSession) -> None:
    """A request is recorded as it arrived; compressed bodies can be read."""
    async with FakeVendor() as vendor:
        body = gzip.compress(b'{"a": 1}')
        headers = {"Content-Encoding": "gzip", "X-Mine": "yes"}
        async with session.put(f"{vendor.url}/p?q=1", data=body, headers=headers) as response:
            assert (response.status, await response.read()) == (200, b"")
        (request,) = vendor.requests
        assert (request.method, request.path, request.headers["x-mine"]) == ("PUT", "/p?q=1", "yes")
        assert request.body == body
        assert request.json() == {"a": 1}
        async with session.get(vendor.url):
            pass
        assert vendor.requests[1].content == b""
        assert vendor.connections == 1


async def test_large_requests_are_taken(session: aiohttp.ClientSession) -> None:
    """The server has no limit on bodies that would hide one of the destination."""
    async with FakeVendor() as vendor:
        async with session.post(vendor.url, data=iter_bytes(3_000_000)) as response:
            assert response.status == 200
        assert len(vendor.requests[0].body) == 3_000_000


async def iter_bytes(size: int) -> AsyncIterator[bytes]:
    """Yields so many bytes, in pieces."""
    for _ in range(size // 100_000):
        yield b"x" * 100_000


async def test_answers_follow_the_script(session: aiohttp.ClientSession) -> None:
    """Answers are given in order, then the default."""
    script = [Answer(503, headers={"Retry-After": "7"}), Answer(207, json={"failed": []})]
    async with FakeVendor(*script, default=Answer(204)) as vendor:
        async with session.post(vendor.url) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "7")
        async with session.post(vendor.url) as response:
            assert (response.status, await response.json()) == (207, {"failed": []})
        async with session.post(vendor.url) as response:
            assert response.status == 204
        vendor.answer(Answer(body=b"late"))
        async with session.post(vendor.url) as response:
            assert await response.read() == b"late"


async def test_answers_can_be_late(session: aiohttp.ClientSession) -> None:
    """A delay passes before the answer."""
    async with FakeVendor(Answer(delay_seconds=0.05)) as vendor:
        began = time.monotonic()
        async with session.post(vendor.url) as response:
            assert response.status == 200
        assert time.monotonic() - began >= 0.05


async def test_a_reset_connection(session: aiohttp.ClientSession) -> None:
    """The client sees a reset connection."""
    async with FakeVendor(Answer(fault="reset")) as vendor:
        with pytest.raises((ConnectionResetError, aiohttp.ClientOSError)):
            await session.post(vendor.url)


async def test_a_half_closed_connection(session: aiohttp.ClientSession) -> None:
    """The client sees the end of the stream instead of an answer."""
    async with FakeVendor(Answer(fault="half_close")) as vendor:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(vendor.url)


async def test_an_answer_that_is_cut_off(session: aiohttp.ClientSession) -> None:
    """The client gets the head and half of the body, then the end."""
    vendor = FakeVendor(Answer(body=b"abcd", fault="cut"))
    async with vendor, session.post(vendor.url) as response:
        assert await response.content.readany() == b"ab"
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_an_answer_that_never_ends(session: aiohttp.ClientSession, fault: str) -> None:
    """The request arrives and its answer is not finished until the client gives up."""
    async with FakeVendor(Answer(body=b"abcd", fault=fault)) as vendor:  # type: ignore[arg-type]

        async def request() -> bytes:
            async with session.post(vendor.url) as response:
                return await response.read()

        task = asyncio.create_task(request())
        await vendor.wait_for_requests(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_server_ends_under_a_hanging_request(session: aiohttp.ClientSession) -> None:
    """The server stops even while a client waits for an answer."""
    async with FakeVendor(Answer(fault="hang")) as vendor:
        task = asyncio.create_task(session.post(vendor.url))
        await vendor.wait_for_requests(1)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    with contextlib.suppress(aiohttp.ClientError):
        (await task).release()


async def test_the_server_goes_away_and_comes_back(session: aiohttp.ClientSession) -> None:
    """A fake vendor restarts on the same port, and keeps the received requests."""
    async with FakeVendor(Answer(202)) as vendor:
        url = vendor.url
        async with session.post(url):
            pass
        await vendor.stop()
        await vendor.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(url)
        await vendor.start()
        async with session.post(url) as response:
            assert response.status == 200
        assert vendor.url == url
        assert [answer.status for answer in vendor.answers] == [202, 200]
        assert len(vendor.requests) == 2
