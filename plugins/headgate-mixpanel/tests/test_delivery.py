"""Requests to Mixpanel, and the meaning of its answers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import (
    BatchError,
    DeliveryError,
    Misconfigured,
    Permanent,
    Retryable,
    Secret,
    Throttled,
)
from gateway.testing import Answer, FakeVendor, Received, make_batch, make_context, make_event
from headgate_mixpanel import MixpanelConfig
from headgate_mixpanel.destination import Mixpanel

TOKEN = "0123456789abcdef0123456789abcdef"
BASIC = b64encode(f"{TOKEN}:".encode()).decode()


@asynccontextmanager
async def running(vendor: FakeVendor, tmp_path: Path, **keys: Any) -> AsyncIterator[Mixpanel]:
    config = MixpanelConfig(token=Secret(TOKEN), url=vendor.url, **keys)
    destination = Mixpanel(config, make_context(tmp_path))
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def sent_ids(request: Received) -> list[str]:
    return [record["properties"]["$insert_id"] for record in request.json()]


async def outcome(destination: Mixpanel, events: int = 4) -> DeliveryError | None:
    batch = make_batch([make_event(message_id=str(i)) for i in range(events)])
    try:
        await destination.send(batch)
    except DeliveryError as error:
        return error
    return None


async def test_a_batch_is_one_import(tmp_path: Path) -> None:
    """The import is strict, compressed, and authenticated by the token."""
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        assert await outcome(destination) is None
        (request,) = vendor.requests
        assert request.path == "/import?strict=1"
        assert request.headers["Authorization"] == f"Basic {BASIC}"
        assert request.headers["Content-Encoding"] == "gzip"
        assert sent_ids(request) == ["0", "1", "2", "3"]


async def test_a_service_account(tmp_path: Path) -> None:
    """A service account authenticates imports, and the request names the project."""
    keys = {"service_account": "us", "service_secret": Secret("pw"), "project_id": "17"}
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        assert await outcome(destination) is None
        assert vendor.requests[0].path == "/import?strict=1&project_id=17"
        assert vendor.requests[0].headers["Authorization"] == "Basic dXM6cHc="


async def test_requests_stay_within_the_bound(tmp_path: Path) -> None:
    """The bound is before compression, and every event is in one of the requests."""
    events = [make_event(properties={"text": "x" * 99_000}) for _ in range(25)]
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        await destination.send(make_batch(events))
        assert len(vendor.requests) == 2
        assert max(len(request.content) for request in vendor.requests) < 2_000_010
        found = [id_ for request in vendor.requests for id_ in sent_ids(request)]
        assert found == [event.message_id for event in events]


async def test_an_event_beyond_a_megabyte_is_refused_alone(tmp_path: Path) -> None:
    """An event beyond a megabyte is refused alone, before it is sent."""
    events = [make_event(), make_event(properties={"text": "x" * 1_000_001})]
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(BatchError) as caught:
            await destination.send(make_batch(events))
        assert list(caught.value.failed) == [1]
        assert "1000000" in str(caught.value.failed[1])


async def test_records_that_are_named_fail_and_the_others_are_stored(tmp_path: Path) -> None:
    """The others are not sent again, as a 400 in strict mode is a partial success."""
    failed = [{"index": 1, "insert_id": "1", "field": "properties.time", "message": "too old"}]
    answer = Answer(400, json={"code": 400, "num_records_imported": 3, "failed_records": failed})
    async with FakeVendor(answer) as vendor, running(vendor, tmp_path) as destination:
        error = await outcome(destination)
        assert isinstance(error, BatchError)
        assert list(error.failed) == [1]
        assert isinstance(error.failed[1], Permanent)
        assert str(error.failed[1]) == "HTTP 400: properties.time: too old"
        assert len(vendor.requests) == 1


@pytest.mark.parametrize("failed", [None, [], [{"index": 99}], "x"])
async def test_a_400_that_names_nobody_is_halved(tmp_path: Path, failed: object) -> None:
    """The batch is halved down to the event at fault."""

    def judge(request: Received) -> Answer:
        if "2" in sent_ids(request):
            return Answer(400, json={"code": 400, "failed_records": failed})
        return Answer()

    async with FakeVendor(default=judge) as vendor, running(vendor, tmp_path) as destination:
        error = await outcome(destination)
        assert isinstance(error, BatchError)
        assert list(error.failed) == [2]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(429, headers={"Retry-After": "9"}), Throttled),
        (Answer(429), Throttled),
        (Answer(json={}, fault="cut"), Retryable),
        (Answer(401, body=f"no such {TOKEN}".encode()), Misconfigured),
        (Answer(403, body=f"Basic {BASIC}".encode()), Misconfigured),
    ],
)
async def test_what_is_said_of_the_whole(
    tmp_path: Path, answer: Answer, kind: type[DeliveryError]
) -> None:
    """Errors about the whole request give up no event, and show no credential."""
    async with FakeVendor(default=answer) as vendor, running(vendor, tmp_path) as destination:
        error = await outcome(destination)
        assert type(error) is kind
        for text in (str(error), error.exchange):
            assert TOKEN not in text
            assert BASIC not in text


def traits(*names: str) -> list[Any]:
    return [make_event(type="identify", traits={"name": name}) for name in names]


@pytest.mark.parametrize(
    "refusal", [Answer(json={"status": 0, "error": "bad"}), Answer(body=b"0"), Answer(400)]
)
async def test_a_refused_update_is_found_though_the_status_says_success(
    tmp_path: Path, refusal: Answer
) -> None:
    """Only the refused update fails, also if the status is a success."""

    def judge(request: Received) -> Answer:
        assert request.path == "/engage?verbose=1"
        assert "Content-Encoding" not in request.headers
        names = [update["$set"]["$name"] for update in request.json()]
        return refusal if "bad" in names else Answer(json={"status": 1, "error": None})

    async with FakeVendor(default=judge) as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(BatchError) as caught:
            await destination.send(make_batch(traits("a", "b", "bad", "c")))
        assert list(caught.value.failed) == [2]


async def test_updates_that_add_are_never_sent_twice(tmp_path: Path) -> None:
    """Updates that add are sent alone, and not again if another part of their event failed."""
    batch = make_batch([make_event(type="identify", traits={"logins": 1, "plan": "pro"})])
    keys = {"increment_traits": ("logins",)}
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        vendor.answer(Answer(body=b"1"), Answer(503))
        with pytest.raises(BatchError):
            await destination.send(batch)
        await destination.send(batch)
        kinds = [("$add" in request.json()[0]) for request in vendor.requests]
        assert kinds == [True, False, False]


async def test_groups_have_an_endpoint_of_their_own(tmp_path: Path) -> None:
    """Their members are updates of profiles."""
    events = [make_event(type="group", group_id=f"g{i}") for i in range(2)]
    keys = {"group_keys": ("company",)}
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        await destination.send(make_batch(events))
        paths = [request.path for request in vendor.requests]
        assert paths == ["/engage?verbose=1", "/groups?verbose=1"]
        assert [group["$group_id"] for group in vendor.requests[1].json()] == ["g0", "g1"]


async def test_check_proves_the_credentials(tmp_path: Path) -> None:
    """The check imports nothing."""
    script = Answer(), Answer(400), Answer(401)
    async with FakeVendor(*script) as vendor, running(vendor, tmp_path) as destination:
        await destination.check()
        await destination.check()
        with pytest.raises(Misconfigured):
            await destination.check()
        assert [request.json() for request in vendor.requests] == [[], [], []]
