"""Calls that every client SDK makes, and checks of the events that must arrive.

Each SDK runs in a process of its own. A program in the folder ``sdk`` reads a job from its standard
input, makes the calls, and prints a `Report`. A time in a job is an object with the only key
``$time`` and a text in ISO 8601; the program turns it into a time of its language.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.failing_proxy import FailingProxy
from tests.support.gateway_process import GatewayProcess

__all__ = [
    "CALLS",
    "CONFIG",
    "FOLDER",
    "NUMBER_CALLS",
    "WRITE_KEY",
    "Report",
    "Sdk",
    "check_delivered",
    "check_sent_again",
    "delivered_once",
    "duplicate",
    "many_calls",
    "refused",
    "stored",
]

Call = Mapping[str, Any]

FOLDER = Path(__file__).parents[1] / "system" / "sdk"
WRITE_KEY = "sdk-key"

CONFIG = f"""
[server]
port = 0
[queue]
type = "disk"
[log]
format = "json"
[sources.app]
type = "segment"
write_key = "{WRITE_KEY}"
[destinations.files]
type = "file"
path = "events"
batch = {{ max_age_seconds = 0.02 }}
"""

_TEXT = 'Zoë 🦊 "quoted" \\ / \n\t \' <b>&amp; \u2028 日本語 Ünïcödé'
_VALUES = {
    _TEXT: _TEXT,
    "nothing": None,
    "yes": True,
    "integer": 2**53 - 1,
    "negative": -7,
    "fraction": 0.1,
    "empty": {"list": [], "object": {}, "text": ""},
    "products": [{"sku": "1", "price": 9.99, "tags": ["ä", None]}, {"sku": "2", "price": 0}],
    "when": {"$time": "2024-02-29T12:34:56.789+00:00"},
    "deep": {"a": {"b": {"c": {"d": {"e": [[[1]]]}}}}},
}
_LONG_AGO = {"$time": "2021-05-06T07:08:09.123+00:00"}

CALLS: Sequence[Call] = (
    {"type": "identify", "userId": "user-1", "traits": _VALUES},
    {"type": "identify", "anonymousId": "anonymous-1", "traits": {"plan": "free"}},
    {"type": "track", "userId": "user-1", "event": "Order Completed", "properties": _VALUES},
    {
        "type": "track",
        "userId": "user-1",
        "anonymousId": "anonymous-1",
        "event": f"Läuft {_TEXT}",
        "timestamp": _LONG_AGO,
        "context": {"locale": "de-DE", "campaign": {"name": "ß", "source": "mail"}},
        "integrations": {"All": True, "Mixpanel": False},
    },
    {"type": "track", "anonymousId": "anonymous-1", "event": "No Properties"},
    {"type": "page", "userId": "user-1", "name": "Pricing", "properties": {"url": "/prices"}},
    {"type": "page", "userId": "user-1", "category": "Docs", "name": "Ä", "properties": _VALUES},
    {"type": "page", "anonymousId": "anonymous-1"},
    {"type": "screen", "userId": "user-1", "name": "Inbox", "properties": {"unread": 3}},
    {"type": "screen", "userId": "user-1", "category": "Mail", "name": "Inbox"},
    {"type": "group", "userId": "user-1", "groupId": "group-1", "traits": _VALUES},
    {"type": "group", "anonymousId": "anonymous-1", "groupId": "group-1"},
    {"type": "alias", "previousId": "anonymous-1", "userId": "user-1"},
    {"type": "alias", "previousId": "user-1", "userId": "user-2", "timestamp": _LONG_AGO},
)
"""Every type of call, with usual content."""

NUMBER_CALLS: Sequence[Call] = (
    {"type": "identify", "userId": 12345, "traits": {"plan": "free"}},
    {"type": "track", "userId": 2**53 - 1, "event": "Numbered"},
    {"type": "track", "anonymousId": 7, "event": "Numbered"},
    {"type": "group", "userId": 12345, "groupId": 99},
    {"type": "alias", "previousId": 12345, "userId": 67890},
)
"""Calls with numbers as ids, for the SDKs that accept them."""


def many_calls(number: int) -> list[Call]:
    """Makes a number of calls; one of them has a message id of its own."""
    named = {"type": "track", "userId": "user-1", "event": "Named", "messageId": f"own-{uuid4()}"}
    return [named] + [
        {"type": "track", "userId": f"user-{i % 7}", "event": "Counted", "properties": {"i": i}}
        for i in range(number - 1)
    ]


@dataclass(frozen=True)
class Report:
    """The report of a program that used an SDK.

    Attributes:
        message_ids: of the calls, in order.
        errors: passed to the SDK's error callback.
        logged: warnings and errors in the SDK's log.
        started, ended: times around the run of the program.
    """

    message_ids: list[str]
    errors: list[str]
    logged: list[str]
    started: datetime
    ended: datetime


@dataclass(frozen=True)
class Sdk:
    """A client SDK.

    Attributes:
        command: runs the program that uses the SDK, in the folder ``sdk``.
        library: the `context.library` of its events.
        channel: the `channel` of its events.
    """

    command: tuple[str, ...]
    library: Mapping[str, str]
    channel: str | None = None

    def run(
        self, url: str, calls: Sequence[Any], write_key: str = WRITE_KEY, **options: Any
    ) -> Report:
        """Makes the calls and waits until the SDK has finished.

        Args:
            options: further options of the SDK's client.
        """
        job = {"url": url, "write_key": write_key, "calls": list(calls), "options": options}
        started = datetime.now(UTC)
        done = subprocess.run(
            self.command,
            cwd=FOLDER,
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return Report(**json.loads(done.stdout), started=started, ended=datetime.now(UTC))


def stored(gateway: GatewayProcess) -> float:
    """Returns the number of accepted events."""
    return gateway.metric("headgate_events_accepted_total", source="app")


def duplicate(gateway: GatewayProcess) -> float:
    """Returns the number of duplicate events."""
    return gateway.metric("headgate_events_duplicate_total", source="app")


def refused(gateway: GatewayProcess, code: str) -> float:
    """Returns the number of requests rejected with a code."""
    return gateway.metric("headgate_requests_rejected_total", code=code)


def check_sent_again(
    gateway: GatewayProcess, sdk: Sdk, calls: Sequence[Call], **options: Any
) -> None:
    """Asserts that each call is stored once if a request is refused and an answer is lost."""
    before, duplicates_before = stored(gateway), duplicate(gateway)
    with FailingProxy(gateway.url, ["refuse", "lose"]) as proxy:
        report = sdk.run(proxy.url, calls, **options)
    lost, *others = [seen for seen in proxy.requests if seen.fate != "refuse"]
    assert [seen.fate for seen in (lost, *others)] == ["lose"] + [None] * len(others)
    assert others
    check_delivered(gateway, sdk, calls, replace(report, logged=[]))  # some log that they try again
    assert stored(gateway) - before == len(calls)
    assert duplicate(gateway) - duplicates_before == len(lost.json()["batch"])


def check_delivered(
    gateway: GatewayProcess, sdk: Sdk, calls: Sequence[Call], report: Report
) -> list[dict[str, Any]]:
    """Asserts that each call arrived exactly once, as made; returns the events in that order."""
    assert report.errors == []
    assert report.logged == []
    events = delivered_once(gateway, report)
    for call, event in zip(calls, events, strict=True):
        _check_fields(sdk, call, event)
        _check_times(call, event, report)
    return events


def delivered_once(gateway: GatewayProcess, report: Report) -> list[dict[str, Any]]:
    """Asserts that each message arrived exactly once; returns the events in order of the calls."""
    gateway.wait_delivered("files")
    events = [e for e in gateway.events("events") if e["messageId"] in set(report.message_ids)]
    assert sorted(event["messageId"] for event in events) == sorted(report.message_ids)
    return sorted(events, key=lambda event: report.message_ids.index(event["messageId"]))


_IDS = ("userId", "anonymousId", "groupId", "previousId")
_NAMES = ("event", "name", "category", "messageId")


def _check_fields(sdk: Sdk, call: Call, event: Mapping[str, Any]) -> None:
    assert event["type"] == call["type"]
    assert event["sourceId"] == "app"
    assert event["version"] == 2
    for key in _IDS:
        expected = call.get(key)
        assert event.get(key) == (None if expected is None else str(expected)), (key, event)
    for key in _NAMES:
        assert call.get(key) in (None, event.get(key)), (key, event)
    assert event.get("channel") == sdk.channel
    assert "writeKey" not in event
    body = "traits" if call["type"] in ("identify", "group") else "properties"
    given, arrived = call.get(body, {}), event.get(body, {})
    assert _plain({key: arrived[key] for key in given}) == _plain(given)
    # SDKs repeat the name and the category of a page in its properties.
    assert all(
        key in ("name", "category") and arrived[key] == call[key]
        for key in arrived.keys() - given.keys()
    )
    context = dict(event["context"])
    if call["type"] == "identify" and "traits" in context:
        assert _plain(context.pop("traits")) == _plain(given)
    assert context.pop("library") == sdk.library
    assert context == call.get("context", {})  # above all no ip and no userAgent
    for name, value in call.get("integrations", {}).items():
        assert event["integrations"][name] == value


def _check_times(call: Call, event: Mapping[str, Any], report: Report) -> None:
    moment = _read_time(event["timestamp"])
    original = _read_time(event["originalTimestamp"])
    sent = _read_time(event["sentAt"])
    received = _read_time(event["receivedAt"])
    millisecond = timedelta(milliseconds=1)
    assert report.started - millisecond <= sent <= received <= report.ended
    on_its_way = received - sent
    if "timestamp" in call:
        made = _plain(call["timestamp"])
        assert made <= moment <= made + on_its_way
    else:
        assert report.started - millisecond <= original <= sent + millisecond
        assert moment == original + on_its_way


def _read_time(text: str) -> datetime:
    assert text.endswith("Z")
    assert len(text) == len("2026-01-02T03:04:05.678Z")
    return datetime.fromisoformat(text)


def _plain(value: Any) -> Any:
    """Returns a value with all times in one form."""
    if isinstance(value, Mapping):
        if "$time" in value:
            return datetime.fromisoformat(value["$time"])
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    if isinstance(value, str) and value.startswith("2024-02-29T12:34:56.789"):
        return datetime.fromisoformat(value)
    return value
