"""Requests that client libraries have really sent, sent once more to a running gateway.

The recordings lie beside the checkout, in ``shared/wire``. They cover libraries whose toolchain no
test installs: those for Go, Java, Kotlin, Rust, Ruby and PHP, and for pages in a real browser.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.sdk_calls import CONFIG, WRITE_KEY

RECORDINGS = Path(__file__).parents[3] / "shared" / "wire" / "requests.jsonl"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not RECORDINGS.is_file(), reason="no recordings of clients beside the checkout"
    ),
]

KEPT = ("type", "messageId", "userId", "anonymousId", "groupId", "previousId", "event")
BODIES = ("properties", "traits")


def recordings() -> dict[str, list[dict[str, Any]]]:
    """The recorded requests of each client and version."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if RECORDINGS.is_file():
        for line in RECORDINGS.read_bytes().splitlines():
            recorded = json.loads(line)
            found[f"{recorded['client']} {recorded['version']}"].append(recorded)
    return found


CLIENTS = recordings()
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "clients.md"


@pytest.fixture(name="delivered", scope="module")
def _delivered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Delivered]]:
    config = CONFIG.replace(WRITE_KEY, "demo")
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), config) as gateway:
        statuses = {
            client: {send(gateway, recorded) for recorded in requests}
            for client, requests in CLIENTS.items()
        }
        gateway.wait_delivered("files")
        events = iter(gateway.events("events"))
        yield {
            client: Delivered(statuses[client], list(islice(events, len(sent(client)))))
            for client in CLIENTS
        }
        assert list(events) == []


class Delivered(NamedTuple):
    """What became of the requests of a client."""

    statuses: set[int]
    events: list[dict[str, Any]]


def send(gateway: GatewayProcess, recorded: Mapping[str, Any]) -> int:
    """Sends a recorded request with its own headers; returns the status of the answer."""
    body = recorded["body"].encode()
    if recorded["headers"].get("Content-Encoding") == "gzip":
        body = gzip.compress(body, mtime=0)
    request = Request(gateway.url + recorded["path"], body, recorded["headers"])
    with urlopen(request, timeout=20) as response:
        response.read()
        return int(response.status)


def events_of(recorded: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of a recorded request, with the type that its path gives a single one.

    Node's clients send half a character as it is; the gateway stores U+FFFD in its place.
    """
    text = json.dumps(json.loads(recorded["body"]), ensure_ascii=False)
    body = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    if "batch" in body:
        return list(body["batch"])
    kinds = {kind[0]: kind for kind in ("track", "identify", "page", "screen", "group", "alias")}
    return [{**body, "type": kinds[recorded["path"].split("/")[2][0]]}]


def told(event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event tells, without what differs when it is sent again.

    An id or an object that says nothing is the same as none. RudderStack's clients put the traits
    of a person into the context only.
    """
    ids = {key: str(event[key]) for key in KEPT if event.get(key) not in (None, "")}
    bodies = {key: event[key] for key in BODIES if event.get(key)}
    if event["type"] in ("identify", "group") and "traits" not in bodies:
        bodies["traits"] = event.get("context", {}).get("traits", {})
    return ids | bodies


def sent(client: str) -> list[dict[str, Any]]:
    """What the recorded events of a client tell."""
    return [told(event) for recorded in CLIENTS[client] for event in events_of(recorded)]


@pytest.mark.parametrize("client", CLIENTS)
def test_each_recorded_event_is_stored(delivered: dict[str, Delivered], client: str) -> None:
    """Each recorded request is answered 200, and each of its events is delivered as sent, once."""
    statuses, events = delivered[client]
    assert statuses == {200}
    arrived = [told(event) for event in events]
    for event, source in zip(arrived, sent(client), strict=True):
        if "messageId" not in source:
            assert event.pop("messageId")
    assert arrived == sent(client)


@pytest.mark.parametrize("kind", ["replayed", "by hand"])
def test_the_versions_that_the_docs_name_are_recorded(kind: str) -> None:
    """Each version that docs/reference/clients.md calls tried is one of the recordings."""
    named = re.findall(rf"\| v?([\d.]+)[^|,]*, {kind} \|", PAGE.read_text(encoding="utf-8"))
    assert named
    recorded = " ".join(CLIENTS)
    # The recording of Segment's Go library is of a commit that calls itself version 3.
    assert [version for version in named if version not in recorded and version != "3.3.0"] == []
