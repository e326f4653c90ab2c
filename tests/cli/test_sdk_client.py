"""The commands' client: batches, answers, waits and retries."""

from __future__ import annotations

import base64
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.batches import Limits, Packer, encode_batch
from gateway.cli.sdk_client import CLIENT_RETRY, Client, Timing
from gateway.config.settings import RetryPolicy
from gateway.errors import DeliveryError, Misconfigured, Permanent, Retryable, Throttled
from gateway.testing import Answer, FakeVendor

OK = Answer(json={"success": True})
EVENTS = [b'{"messageId":"a"}', b'{"messageId":"b"}']
METRICS = b"""\
# TYPE headgate_events_accepted_total counter
headgate_events_accepted_total{source="web"} 12.0
# TYPE headgate_events_discarded_total counter
headgate_events_discarded_total{source="web",code="a"} 1.0
headgate_events_discarded_total{source="web",code="b"} 2.0
# TYPE headgate_destination_pending_events gauge
headgate_destination_pending_events{destination="files"} NaN
headgate_destination_pending_events{destination="null"} 5.0
# TYPE python_info gauge
python_info 1.0
"""


class Time:
    """A clock that only moves by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def clock(self) -> int:
        return round(self.now * 1000)


def client_of(vendor: FakeVendor, time: Time, retry: RetryPolicy = CLIENT_RETRY) -> Client:
    return Client(
        vendor.url,
        "key",
        retry=retry,
        timeout_seconds=5,
        timing=Timing(time.sleep, time.monotonic, time.clock, random.Random(1)),
    )


# -- packing -------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(2, 1200), max_size=80),
    max_events=st.integers(1, 10),
    max_body=st.integers(1024, 3000),
)
def test_batches_stay_within_the_limits(sizes: list[int], max_events: int, max_body: int) -> None:
    """All items come out once and in order; a body is over the bound only for one item alone."""
    packer: Packer[bytes] = Packer(Limits(max_events=max_events, max_body_bytes=max_body))
    items = [b'"' + b"x" * (size - 2) + b'"' for size in sizes]
    batches = [batch for item in items if (batch := packer.add(item, len(item)))]
    batches.append(packer.take())
    assert [item for batch in batches for item in batch] == items
    assert len(packer) == 0
    for batch in batches:
        assert len(batch) <= max_events
        assert len(encode_batch(batch, 0)) <= max_body or len(batch) == 1


def test_a_batch_is_what_the_api_wants() -> None:
    """The body is an object with the events as they are and the time of sending."""
    body = msgspec.json.decode(encode_batch(EVENTS, 1_767_607_200_000))
    assert body == {
        "batch": [{"messageId": "a"}, {"messageId": "b"}],
        "sentAt": "2026-01-05T10:00:00.000Z",
    }


# -- sending -------------------------------------------------------------------


async def test_a_batch_is_posted_once() -> None:
    """One request with the write key as user name; 200 with success ends it."""
    time = Time()
    async with FakeVendor(OK) as vendor, client_of(vendor, time) as client:
        await client.send(EVENTS)
        (request,) = vendor.requests
        assert (request.method, request.path) == ("POST", "/v1/batch")
        expected = "Basic " + base64.b64encode(b"key:").decode()
        assert request.headers["Authorization"] == expected
        assert request.json()["batch"] == [{"messageId": "a"}, {"messageId": "b"}]
    assert time.slept == []


@pytest.mark.parametrize(
    "bad",
    [
        Answer(status=503),
        Answer(status=500),
        Answer(status=429),
        Answer(status=408),
        Answer(fault="reset"),
    ],
)
async def test_passing_failures_are_tried_again(bad: Answer) -> None:
    """The same events are sent again, with a new time of sending, until they are accepted."""
    time = Time()
    async with FakeVendor(bad, bad, OK) as vendor, client_of(vendor, time) as client:
        await client.send(EVENTS)
        bodies = [request.json() for request in vendor.requests]
    assert [body["batch"] for body in bodies] == [bodies[0]["batch"]] * 3
    assert len({body["sentAt"] for body in bodies}) == 3
    assert len(time.slept) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(status: int) -> None:
    """The wait is at least what the gateway asked for, and not much longer."""
    time = Time()
    busy = Answer(status=status, headers={"Retry-After": "7"})
    async with FakeVendor(busy, OK) as vendor, client_of(vendor, time) as client:
        await client.send(EVENTS)
    (slept,) = time.slept
    assert 7 <= slept <= 7.7


async def test_without_retry_after_waits_grow_with_jitter() -> None:
    """Waits are drawn below a bound that doubles up to the policy's."""
    time = Time()
    policy = RetryPolicy(initial_seconds=1, max_seconds=4, max_attempts=50, max_age_seconds=1000)
    async with (
        FakeVendor(*[Answer(status=503)] * 30, default=OK) as vendor,
        client_of(vendor, time, policy) as client,
    ):
        await client.send(EVENTS)
    ceilings = [1, 2, *[4] * 28]
    assert all(wait <= ceiling for wait, ceiling in zip(time.slept, ceilings, strict=True))
    assert len(set(time.slept)) == 30
    assert max(time.slept) > 2


async def test_attempts_are_bounded() -> None:
    """After `max_attempts` the last failure is raised."""
    policy = RetryPolicy(max_attempts=3)
    time = Time()
    async with (
        FakeVendor(default=Answer(status=503, json={"message": "full"})) as vendor,
        client_of(vendor, time, policy) as client,
    ):
        with pytest.raises(Retryable, match="HTTP 503: full"):
            await client.send(EVENTS)
        assert len(vendor.requests) == 3


async def test_the_time_is_bounded() -> None:
    """No wait starts that would end after `max_age_seconds`."""
    policy = RetryPolicy(max_attempts=1000, max_seconds=300, max_age_seconds=60)
    time = Time()
    busy = Answer(status=429, headers={"Retry-After": "25"})
    async with FakeVendor(default=busy) as vendor, client_of(vendor, time, policy) as client:
        with pytest.raises(Throttled):
            await client.send(EVENTS)
        assert len(vendor.requests) == 3
    assert time.now <= 60


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=400, json={"message": "no"}), Permanent),
        (Answer(status=413), Permanent),
        (Answer(status=401), Misconfigured),
        (Answer(status=404), Misconfigured),
        (Answer(status=302, headers={"Location": "/elsewhere"}), Misconfigured),
        (Answer(status=200, body=b"<html>"), Misconfigured),
        (Answer(status=200, json={"success": False}), Misconfigured),
        (Answer(status=200, json=[1]), Misconfigured),
    ],
)
async def test_final_answers_are_not_tried_again(
    answer: Answer, error: type[DeliveryError]
) -> None:
    """Errors that no retry can fix, and answers of other servers, are raised after one request."""
    time = Time()
    async with FakeVendor(default=answer) as vendor, client_of(vendor, time) as client:
        with pytest.raises(error):
            await client.send(EVENTS)
        assert len(vendor.requests) == 1


async def test_retries_are_told() -> None:
    """`on_retry` gets the reason and the wait."""
    told: list[tuple[str, float]] = []
    time = Time()
    async with FakeVendor(Answer(status=503, json={"message": "full"}), OK) as vendor:
        client = Client(
            vendor.url, "key", timing=Timing(time.sleep), on_retry=lambda *said: told.append(said)
        )
        async with client:
            await client.send(EVENTS)
    assert told == [("HTTP 503: full", time.slept[0])]


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://host", "http://"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    """An address without scheme or host is an error before anything is sent."""
    with pytest.raises(ValueError, match="not the address of a gateway"):
        Client(url, "key")


# -- asking --------------------------------------------------------------------


async def test_a_prefix_is_for_events_only() -> None:
    """Batches go below the prefix of the address; health and metrics are at the root."""
    async with FakeVendor(default=OK) as vendor:
        async with Client(f"{vendor.url}/ingest/", "key") as client:
            await client.send(EVENTS)
            assert await client.healthy()
            await client.counts()
        paths = [request.path for request in vendor.requests]
    assert paths == ["/ingest/v1/batch", "/health", "/metrics"]


async def test_counts_are_summed_by_source_and_destination() -> None:
    """Other labels are summed up; other metrics, and values that are not numbers, are left out."""
    async with FakeVendor(Answer(body=METRICS)) as vendor, Client(vendor.url, "key") as client:
        assert await client.counts() == {
            ("headgate_events_accepted_total", "web"): 12,
            ("headgate_events_discarded_total", "web"): 3,
            ("headgate_destination_pending_events", "null"): 5,
        }


@pytest.mark.parametrize(
    "answer", [Answer(status=404), Answer(body=b"<html> {"), Answer(fault="reset")]
)
async def test_counts_that_cannot_be_had_are_none(answer: Answer) -> None:
    """A gateway without metrics, or another server at the address, is no error."""
    async with FakeVendor(default=answer) as vendor, Client(vendor.url, "key") as client:
        assert await client.counts() is None


@pytest.mark.parametrize("answer", [Answer(status=503), Answer(fault="reset")])
async def test_what_does_not_say_that_it_is_up_is_not_healthy(answer: Answer) -> None:
    """Anything but 200 from /health is not healthy."""
    async with FakeVendor(default=answer) as vendor, Client(vendor.url, "key") as client:
        assert not await client.healthy()


async def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless answer is cut off, and counts as a failed attempt or as no counts."""
    monkeypatch.setattr("gateway.cli.sdk_client._MAX_ANSWER_BYTES", 1000)
    time = Time()
    endless = Answer(body=b"x" * 100_000)
    policy = RetryPolicy(max_attempts=2)
    async with (
        FakeVendor(default=endless) as vendor,
        client_of(vendor, time, policy) as client,
    ):
        with pytest.raises(Retryable, match="over 1000 bytes"):
            await client.send(EVENTS)
        assert await client.counts() is None
