"""Conformance of the tracking API, cases 44 and 45: a tracking plan at intake."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import ConfigError
from gateway.testing import running_gateway

HEAD = """
[server]
port = 0
[queue]
type = "memory"
[sources.web]
type = "segment"
write_key = "w"
[sources.audit]
type = "segment"
[sources.blocked]
type = "segment"
[destinations.out]
type = "file"
path = "out"
[transforms.shop]
type = "plan"
file = "plans/shop.json"
"""
BLOCK = """
unplanned_event = "block"
report_to = "audit"
forward_blocked_to = "blocked"
"""


class Shop:
    """A running gateway with a plan; once it has stopped, `stored` returns what it delivered."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url

    async def send(self, *events: dict[str, Any]) -> None:
        """Posts track events as one batch; the gateway has to accept it."""
        batch = [{"type": "track", "userId": "u", **event} for event in events]
        body = {"writeKey": "w", "batch": batch}
        async with (
            aiohttp.ClientSession(self._url) as client,
            client.post("/v1/batch", json=body) as response,
        ):
            assert response.status == 200

    def stored(self, source_id: str) -> list[dict[str, Any]]:
        """Returns the events of a source, in order."""
        files = sorted((self._folder / "out").rglob("*.ndjson"))
        lines = "".join(file.read_text(encoding="utf-8") for file in files).splitlines()
        return [event for event in map(json.loads, lines) if event["sourceId"] == source_id]


Run = Callable[..., AbstractAsyncContextManager[Shop]]


def rule(version: int, *names: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A version of the rule for "Order Completed" that names these properties."""
    properties = {"properties": {name: {} for name in names}, "required": list(required)}
    return {
        "type": "TRACK",
        "key": "Order Completed",
        "version": version,
        "jsonSchema": {"properties": {"properties": properties}},
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a gateway whose plan has these settings and rules."""

    @asynccontextmanager
    async def running(settings: str, *rules: Any) -> AsyncIterator[Shop]:
        (tmp_path / "plans").mkdir()
        tree = {"rules": rules or [rule(1, "order_id")]}
        (tmp_path / "plans" / "shop.json").write_text(json.dumps(tree))
        async with running_gateway(tmp_path, HEAD + settings) as url:
            yield Shop(tmp_path, url)

    return running


async def test_case_44_an_unplanned_event_is_blocked_forwarded_and_reported(run: Run) -> None:
    """An unplanned event is accepted, not delivered, and stored as one copy and one report."""
    async with run(BLOCK) as shop:
        await shop.send(
            {"event": "Order Complete", "messageId": "m"},
            {"event": "Order Completed", "messageId": "n"},
        )
    assert [event["messageId"] for event in shop.stored("web")] == ["n"]

    (copy,) = shop.stored("blocked")
    assert (copy["messageId"], copy["event"], copy["userId"]) == ("m", "Order Complete", "u")
    assert (copy["forwardedFromProject"], copy["context"]["protocols"]["sourceId"]) == ("web",) * 2

    (report,) = shop.stored("audit")
    assert (report["event"], report["userId"]) == ("Violation Generated", "schema-violations")
    assert report["properties"]["violationType"] == "Unplanned Event"
    assert report["properties"]["eventMessageID"] == "m"
    assert report["integrations"] == {}


async def test_case_44_a_report_is_not_validated(run: Run) -> None:
    """Reports pass, though no plan has them, also in the source that is checked."""
    async with run(BLOCK.replace('"audit"', '"web"')) as shop:
        await shop.send({"event": "Unheard Of"})
        # A client's event of that name is checked like any other.
        await shop.send({"event": "Violation Generated"})
    events = shop.stored("web")
    assert [event["event"] for event in events] == ["Violation Generated"] * 2
    assert [event["properties"]["eventName"] for event in events] == [
        "Unheard Of",
        "Violation Generated",
    ]


async def test_case_44_omitted_properties_are_listed(run: Run) -> None:
    """The stored event lacks unplanned properties and lists them."""
    async with run('unplanned_properties = "omit"') as shop:
        properties = {"order_id": "o", "color": "red"}
        await shop.send({"event": "Order Completed", "properties": properties})
    (event,) = shop.stored("web")
    assert event["properties"] == {"order_id": "o"}
    assert event["context"]["protocols"]["omitted"] == ["properties.color"]


@pytest.mark.parametrize(
    ("asked", "missing"),
    [(3.2, "old"), ("x", "old"), (True, "old"), (None, "old"), (9, "old"), (1, "old"), (2, "new")],
)
async def test_case_45_the_version_of_a_rule(run: Run, asked: Any, missing: str) -> None:
    """Only the number of an existing version picks it; the oldest applies to all else."""
    rules = (rule(2, required=("new",)), rule(1, required=("old",)))
    protocols = {} if asked is None else {"event_version": asked}
    async with run('violations = "block"\nreport_to = "audit"', *rules) as shop:
        await shop.send({"event": "Order Completed", "context": {"protocols": protocols}})
    assert shop.stored("web") == []
    (report,) = shop.stored("audit")
    assert report["properties"]["violationField"] == f"properties.{missing}"


async def test_a_repeated_event_is_reported_once(run: Run) -> None:
    """The second report has the message id of the first, and is a duplicate like the event."""
    async with run(BLOCK) as shop:
        for _ in range(2):
            await shop.send({"event": "Order Complete", "messageId": "m"})
    assert len(shop.stored("audit")) == len(shop.stored("blocked")) == 1


async def test_a_misspelt_source_stops_the_start(run: Run) -> None:
    """The error names the transform and the source."""
    with pytest.raises(ConfigError, match=r"transforms\.shop: there is no source 'audits'"):
        async with run(BLOCK.replace('"audit"', '"audits"')):
            pass
