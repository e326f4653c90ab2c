"""Requests to Google, and the meaning of its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import (
    BatchError,
    DeliveryError,
    Event,
    Misconfigured,
    Permanent,
    Retryable,
    Secret,
    Throttled,
)
from gateway.testing import Answer, FakeVendor, make_batch, make_context, make_event
from headgate_ga4 import Ga4Config
from headgate_ga4.destination import Ga4

SECRET = "a-very-secret-api-secret"


@asynccontextmanager
async def running(vendor: FakeVendor, tmp_path: Path, **keys: Any) -> AsyncIterator[Ga4]:
    ids = keys if "firebase_app_id" in keys else {"measurement_id": "G-1", **keys}
    destination = Ga4(
        Ga4Config(api_secret=Secret(SECRET), url=vendor.url, **ids), make_context(tmp_path)
    )
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def of(*clients: str, **fields: Any) -> list[Event]:
    return [make_event(anonymous_id=c, event=f"Event {i}", **fields) for i, c in enumerate(clients)]


async def test_events_of_a_client_share_a_request_in_their_order(tmp_path: Path) -> None:
    """Events of other clients go to other requests."""
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        await destination.send(make_batch(of("a", "b", "a")))
        assert {request.path for request in vendor.requests} == {
            f"/mp/collect?api_secret={SECRET}&measurement_id=G-1"
        }
        found = {
            request.json()["client_id"]: [event["name"] for event in request.json()["events"]]
            for request in vendor.requests
        }
        assert found == {"a": ["Event_0", "Event_2"], "b": ["Event_1"]}


async def test_an_app_is_named_by_its_firebase_id(tmp_path: Path) -> None:
    """The id keeps its colons."""
    context = {"externalId": [{"type": "ga4AppInstanceId", "id": "i-1"}]}
    keys = {"firebase_app_id": "1:2:android:3"}
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        await destination.send(make_batch(of("a", context=context)))
        assert vendor.requests[0].path.endswith("&firebase_app_id=1:2:android:3")


async def test_at_most_25_events_and_130_000_bytes(tmp_path: Path) -> None:
    """Every event is in one of the requests."""
    events = of(*["a"] * 60)
    text = {f"p{i}": "x" * 100 for i in range(24)}
    events += [make_event(anonymous_id="b", event="Large", properties=text) for _ in range(60)]
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        await destination.send(make_batch(events))
        counts = [len(request.json()["events"]) for request in vendor.requests]
        assert sum(counts) == 120
        assert max(counts) == 25
        assert max(len(request.body) for request in vendor.requests) <= 130_000


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(429, headers={"Retry-After": "9"}), Throttled),
        (Answer(403, body=SECRET.encode()), Misconfigured),
        (Answer(400), Permanent),
    ],
)
async def test_what_is_said_of_a_request(
    tmp_path: Path, answer: Answer, kind: type[DeliveryError]
) -> None:
    """The status decides, and the secret is never shown."""
    async with FakeVendor(default=answer) as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(DeliveryError) as caught:
            await destination.send(make_batch(of("a")))
        assert type(caught.value) is kind
        assert SECRET not in str(caught.value)
        assert SECRET not in caught.value.exchange


async def test_what_was_delivered_before_an_outage_is_not_sent_again(tmp_path: Path) -> None:
    """A retry sends only the rest, as Google would count repetitions."""
    events = of(*["a"] * 30)
    script = Answer(), Answer(503)
    async with FakeVendor(*script) as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(BatchError) as caught:
            await destination.send(make_batch(events))
        assert list(caught.value.failed) == list(range(25, 30))


async def test_an_event_that_google_would_drop_fails_alone(tmp_path: Path) -> None:
    """The destination finds it, as Google answers success."""
    events = [*of("a", "a"), make_event(anonymous_id="a", event="session_start")]
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(BatchError) as caught:
            await destination.send(make_batch(events))
        assert list(caught.value.failed) == [2]
        assert len(vendor.requests[0].json()["events"]) == 2


async def test_check_asks_googles_validation_server(tmp_path: Path) -> None:
    """That server stores nothing."""
    wrong = {"validationMessages": [{"description": "unknown measurement_id"}]}
    script = Answer(json={"validationMessages": []}), Answer(json=wrong), Answer(500)
    async with FakeVendor(*script) as vendor, running(vendor, tmp_path) as destination:
        await destination.check()
        with pytest.raises(Misconfigured, match="unknown measurement_id"):
            await destination.check()
        with pytest.raises(Retryable):
            await destination.check()
        assert all(r.path.startswith("/debug/mp/collect?") for r in vendor.requests)
