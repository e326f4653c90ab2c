"""Real-world batches, where a development copy of them is beside the repository.

The same events reach the same endpoints, in no more requests. How they share requests is not
compared: another tool makes a request for each user, and this destination fills requests, for
Amplitude names the events, users and devices of a request that it does not take.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway import EVENT_TYPES, BatchError, Entry, Event, Permanent, Secret
from gateway.testing import (
    FakeVendor,
    Received,
    event_from_client,
    make_batch,
    make_context,
    make_event,
)
from headgate_amplitude import AmplitudeConfig
from headgate_amplitude.destination import Amplitude
from headgate_amplitude.mapping import EVENTS, GROUPS, USERS

FOLDER = Path(__file__).parents[4] / "shared" / "golden" / "batch"
if not FOLDER.exists():
    pytest.skip("the golden cases are not part of this copy", allow_module_level=True)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


ROUTES = {"2/httpapi": EVENTS, "batch": EVENTS, "groupidentify": GROUPS, "usermap": USERS}
_FIELDS = {EVENTS: "events", GROUPS: "identification", USERS: "mapping"}


def route_of(url: str) -> str:
    return ROUTES[urlsplit(url).path.strip("/")]


def listed(value: Any) -> list[Any]:
    """Returns the items of a request, which that tool writes as a list, an object, or JSON in a
    text.
    """
    found = value if isinstance(value, list) else [value]
    return [json.loads(item) if isinstance(item, str) else item for item in found]


def received(request: Received) -> list[tuple[str, Any]]:
    route = route_of(request.path)
    if route == EVENTS:
        return [(route, item) for item in request.json()["events"]]
    (array,) = parse_qs(request.body.decode())[_FIELDS[route]]
    return [(route, item) for item in json.loads(array)]


def expected(batches: Iterable[dict[str, Any]]) -> list[tuple[str, Any]]:
    requests = [request for batch in batches for request in batch.get("requests", [])]
    return [
        (route, item)
        for request in requests
        for route in [route_of(request["endpoint"])]
        for item in listed(request["body"]["value"][_FIELDS[route]])
    ]


def counted(
    items: Iterable[tuple[str, Any]], key: Callable[[str, Any], object] = lambda _, item: item
) -> Counter[str]:
    return Counter(f"{route} {json.dumps(key(route, i), sort_keys=True)}" for route, i in items)


async def sent(
    tmp_path: Path, config: dict[str, Any], events: list[Event], entries: Any = None
) -> tuple[list[Received], dict[int, Any]]:
    """Returns the requests of a batch, and the refused events."""
    async with FakeVendor() as vendor:
        ready = AmplitudeConfig(api_key=Secret("key"), url=vendor.url, alias=True, **config)
        destination = Amplitude(ready, make_context(tmp_path))
        if entries is not None:
            destination._map = entries
        await destination.start()
        failed: dict[int, Any] = {}
        try:
            await destination.send(make_batch(events))
        except BatchError as error:
            failed = dict(error.failed)
        finally:
            await destination.stop()
        return vendor.requests, failed


@pytest.mark.parametrize("row", rows("amplitude.batch.jsonl"), ids=lambda row: row["id"])
async def test_a_batch_of_mapped_events(row: dict[str, Any], tmp_path: Path) -> None:
    """Each item is sent once and unchanged, to the endpoint of its kind."""
    if any("error" in batch for batch in row["expected_batches"]):
        event = make_event(type="identify", event=None, user_id=None, anonymous_id=None)
        _, failed = await refused(tmp_path, event)
        assert isinstance(failed, Permanent)
        return
    jobs = [job["event"] for job in row["events"]]
    events = [make_event(message_id=str(place)) for place in range(len(jobs))]

    def entries(event: Event) -> list[Entry]:
        job = jobs[int(event.message_id)]
        route = route_of(job["endpoint"])
        body = job["body"]["JSON"] or job["body"]["FORM"]
        items = listed(body[_FIELDS[route]])
        return [Entry(route, f"{place}", item) for place, item in enumerate(items)]

    requests, failed = await sent(tmp_path, {}, events, entries)
    assert not failed
    found = [item for request in requests for item in received(request)]
    assert counted(found) == counted(expected(row["expected_batches"]))
    assert len(requests) <= sum(len(b["requests"]) for b in row["expected_batches"])


async def refused(tmp_path: Path, event: Event) -> tuple[list[Received], Any]:
    async with FakeVendor() as vendor:
        config = AmplitudeConfig(api_key=Secret("key"), url=vendor.url)
        destination = Amplitude(config, make_context(tmp_path))
        await destination.start()
        try:
            await destination.send(make_batch([event]))
        except Permanent as error:
            return vendor.requests, error
        except BatchError as error:
            return vendor.requests, error.failed[0]
        finally:
            await destination.stop()
    raise AssertionError("was not refused")


@pytest.mark.parametrize("row", rows("amplitude.router.jsonl"), ids=lambda row: row["id"])
async def test_a_batch_of_events(row: dict[str, Any], tmp_path: Path) -> None:
    """The same items reach each endpoint; the cases of single events compare their content."""
    by_config: dict[str, list[Event]] = {}
    for job in row["events"]:
        if job["event"].get("type") in EVENT_TYPES:  # others are not taken in
            theirs = job.get("destination_config") or row["destination_config"]
            by_config.setdefault(json.dumps(theirs), []).append(event_from_client(job["event"]))
    requests: list[Received] = []
    for config, events in by_config.items():
        theirs = json.loads(config)
        keys = {
            "group_type_trait": theirs.get("groupTypeTrait", ""),
            "group_value_trait": theirs.get("groupValueTrait", ""),
        }
        made, _ = await sent(tmp_path, keys, events)
        requests += made
    found = [item for request in requests for item in received(request)]

    def kind(route: str, item: Any) -> object:
        if route == EVENTS:
            return item["event_type"], item.get("user_id"), item.get("device_id")
        return ""

    aliases = [b for b in row["expected_batches"] if aliased(b)]
    rest = [b for b in row["expected_batches"] if b not in aliases]
    assert found
    assert counted(found, kind) == counted(expected(rest), kind)


def aliased(batch: dict[str, Any]) -> bool:
    """Tells whether an event is an alias without an id, which Amplitude would refuse."""
    return any("usermap" in request["endpoint"] for request in batch.get("requests", []))
