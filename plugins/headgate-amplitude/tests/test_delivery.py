"""Requests to Amplitude, and the meaning of its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

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
from headgate_amplitude import AmplitudeConfig
from headgate_amplitude.destination import Amplitude

KEY = "0123456789abcdef0123456789abcdef"


@asynccontextmanager
async def running(vendor: FakeVendor, tmp_path: Path, **keys: Any) -> AsyncIterator[Amplitude]:
    config = AmplitudeConfig(api_key=Secret(KEY), url=vendor.url, **keys)
    destination = Amplitude(config, make_context(tmp_path))
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def sent_ids(request: Received) -> list[str]:
    return [event["insert_id"] for event in request.json()["events"]]


async def outcome(destination: Amplitude, events: int = 4) -> DeliveryError | None:
    batch = make_batch([make_event(message_id=str(i), user_id=f"u{i}") for i in range(events)])
    try:
        await destination.send(batch)
    except DeliveryError as error:
        return error
    return None


async def test_a_batch_is_one_request(tmp_path: Path) -> None:
    """The request has the key and the shortest permitted id."""
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        assert await outcome(destination) is None
        (request,) = vendor.requests
        assert request.path == "/2/httpapi"
        assert request.headers["Content-Type"] == "application/json"
        body = request.json()
        assert body["api_key"] == KEY
        assert body["options"] == {"min_id_length": 1}
        assert sent_ids(request) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("keys", "events", "attempt", "path"),
    [
        ({}, 100, 1, "/2/httpapi"),
        ({}, 101, 1, "/batch"),
        ({}, 1, 2, "/batch"),
        ({"api": "http"}, 101, 2, "/2/httpapi"),
        ({"api": "batch"}, 1, 1, "/batch"),
    ],
)
async def test_much_goes_to_the_batch_endpoint(
    tmp_path: Path, keys: dict[str, Any], events: int, attempt: int, path: str
) -> None:
    """Large batches go there unless config names the endpoint."""
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        await destination.send(make_batch(events, attempt=attempt))
        assert [request.path for request in vendor.requests] == [path]


async def test_requests_stay_within_a_megabyte(tmp_path: Path) -> None:
    """Every event is in one of the requests."""
    events = [make_event(properties={"text": "x" * 99_000}) for _ in range(25)]
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        await destination.send(make_batch(events))
        assert len(vendor.requests) == 3
        assert max(len(request.body) for request in vendor.requests) < 1_000_000
        found = [id_ for request in vendor.requests for id_ in sent_ids(request)]
        assert found == [event.message_id for event in events]


@pytest.mark.parametrize(
    "answer",
    [
        {"events_with_invalid_fields": {"time": [1]}},
        {"events_with_missing_fields": {"event_type": [1]}},
        {"events_with_invalid_id_lengths": {"user_id": [1]}},
        {"silenced_events": [1]},
    ],
)
async def test_the_events_that_are_named_fail_and_the_others_are_sent_at_once(
    tmp_path: Path, answer: dict[str, Any]
) -> None:
    """A 400 refuses the whole request, so the others are sent again."""
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        vendor.answer(Answer(400, json={"code": 400, "error": "Invalid", **answer}))
        error = await outcome(destination)
        assert isinstance(error, BatchError)
        assert list(error.failed) == [1]
        assert isinstance(error.failed[1], Permanent)
        assert '"insert_id":"1"' in error.failed[1].exchange
        assert [sent_ids(request) for request in vendor.requests] == [
            ["0", "1", "2", "3"],
            ["0", "2", "3"],
        ]


async def test_a_400_that_names_nobody_is_halved(tmp_path: Path) -> None:
    """The batch is halved down to the event at fault."""

    def judge(request: Received) -> Answer:
        return Answer(400, json={"error": "?"}) if "2" in sent_ids(request) else Answer()

    async with FakeVendor(default=judge) as vendor, running(vendor, tmp_path) as destination:
        error = await outcome(destination)
        assert isinstance(error, BatchError)
        assert list(error.failed) == [2]


async def test_named_and_unnamed_refusals_one_after_the_other(tmp_path: Path) -> None:
    """The rest after named refusals is halved too, and nothing is lost."""
    taken: list[str] = []

    def judge(request: Received) -> Answer:
        ids = sent_ids(request)
        if "0" in ids:
            return Answer(400, json={"silenced_events": [ids.index("0")]})
        if "3" in ids:
            return Answer(400, json={"error": "?"})
        taken.extend(ids)
        return Answer()

    async with FakeVendor(default=judge) as vendor, running(vendor, tmp_path) as destination:
        error = await outcome(destination, 7)
        assert isinstance(error, BatchError)
        assert list(error.failed) == [0, 3]
        assert sorted(taken) == ["1", "2", "4", "5", "6"]


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"throttled_events": [1], "throttled_users": {"u1": 40}}, 30.0),
        ({"throttled_users": {"u1": 40}}, 30.0),
        ({"exceeded_daily_quota_users": {"u1": 500_000}}, 3600.0),
    ],
)
async def test_users_that_send_too_much_wait_alone(
    tmp_path: Path, answer: dict[str, Any], seconds: float
) -> None:
    """The events of other users are sent at once."""
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        vendor.answer(Answer(429, json={"code": 429, **answer}))
        error = await outcome(destination)
        assert isinstance(error, BatchError)
        assert list(error.failed) == [1]
        (throttled,) = error.failed.values()
        assert isinstance(throttled, Throttled)
        assert throttled.retry_after_seconds == seconds
        assert sent_ids(vendor.requests[1]) == ["0", "2", "3"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(429, headers={"Retry-After": "9"}), Throttled),
        (Answer(json={}, fault="cut"), Retryable),
        (Answer(401), Misconfigured),
        (Answer(400, json={"error": "Invalid API key: " + KEY}), Misconfigured),
        (Answer(400, json={"missing_field": "api_key"}), Misconfigured),
    ],
)
async def test_what_is_said_of_the_whole(
    tmp_path: Path, answer: Answer, kind: type[DeliveryError]
) -> None:
    """Errors about the whole request give up no event, and never show the key."""
    async with FakeVendor(default=answer) as vendor, running(vendor, tmp_path) as destination:
        error = await outcome(destination)
        assert type(error) is kind
        assert KEY not in str(error)
        assert KEY not in error.exchange


async def test_an_event_that_cannot_be_mapped_takes_no_other_with_it(tmp_path: Path) -> None:
    """Only an event that cannot be mapped is refused, with the reason."""
    events = [make_event(), make_event(user_id=None), make_event()]
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(BatchError) as caught:
            await destination.send(make_batch(events))
        assert list(caught.value.failed) == [1]
        assert len(vendor.requests[0].json()["events"]) == 2


async def test_groups_and_aliases_are_forms(tmp_path: Path) -> None:
    """Several share a request to an endpoint of their own."""
    events = [
        make_event(type="group", group_id="g1"),
        make_event(type="group", group_id="g2"),
        make_event(type="alias", previous_id="old"),
    ]
    keys = {"group_type": "company", "alias": True}
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        await destination.send(make_batch(events))
        by_path = {request.path: request for request in vendor.requests}
        assert by_path.keys() == {"/2/httpapi", "/groupidentify", "/usermap"}
        form = parse_qs(by_path["/groupidentify"].body.decode())
        assert form["api_key"] == [KEY]
        groups = json.loads(form["identification"][0])
        assert [group["group_value"] for group in groups] == ["g1", "g2"]
        users = json.loads(parse_qs(by_path["/usermap"].body.decode())["mapping"][0])
        assert users == [{"user_id": "old", "global_user_id": "user-1"}]


async def test_the_half_of_a_group_that_was_delivered_is_not_sent_again(tmp_path: Path) -> None:
    """A retry sends only the half that failed."""
    batch = make_batch([make_event(type="group", group_id="g1")])
    keys = {"group_type": "company"}
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        vendor.answer(Answer(), Answer(503))
        with pytest.raises(BatchError):
            await destination.send(batch)
        await destination.send(batch)
        paths = [request.path for request in vendor.requests]
        assert paths == ["/2/httpapi", "/groupidentify", "/groupidentify"]


async def test_check_sends_nothing(tmp_path: Path) -> None:
    """The check only connects."""
    async with FakeVendor() as vendor, running(vendor, tmp_path) as destination:
        await destination.check()
        assert vendor.requests == []
