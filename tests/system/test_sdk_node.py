"""The JavaScript SDKs of Segment and RudderStack against a running gateway.

These are the SDKs for Node, and those for browsers in a page of jsdom. To install them, run
``npm install --no-package-lock --no-audit --no-fund`` in tests/system/sdk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.sdk_calls import (
    CALLS,
    CONFIG,
    FOLDER,
    NUMBER_CALLS,
    Sdk,
    check_delivered,
    check_sent_again,
    delivered_once,
    many_calls,
    refused,
    stored,
)

_NODE = shutil.which("node")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules").is_dir(),
        reason="the SDKs are not installed: "
        "run `npm install --no-package-lock --no-audit --no-fund` in tests/system/sdk",
    ),
]

_VERSIONS = json.loads((FOLDER / "package.json").read_text())["dependencies"]

SEGMENT = Sdk(
    command=(_NODE or "node", "send_segment.mjs"),
    library={"name": "@segment/analytics-node", "version": _VERSIONS["@segment/analytics-node"]},
)
RUDDER = Sdk(
    command=(_NODE or "node", "send_rudder.mjs"),
    library={"name": "analytics-node", "version": _VERSIONS["@rudderstack/rudder-sdk-node"]},
    channel="server",
)
BROWSER = Sdk(
    command=(_NODE or "node", "send_browser.mjs"),
    library={"name": "analytics.js", "version": f"next-{_VERSIONS['@segment/analytics-next']}"},
)
RUDDER_BROWSER = Sdk(
    command=(_NODE or "node", "send_rudder_browser.mjs"),
    library={
        "name": "RudderLabs JavaScript SDK",
        "version": _VERSIONS["@rudderstack/analytics-js"],
    },
)
each_sdk = pytest.mark.parametrize("sdk", [SEGMENT, RUDDER], ids=["segment", "rudder"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), CONFIG) as process:
        yield process


@pytest.mark.parametrize(
    ("sdk", "options"),
    [(SEGMENT, {}), (RUDDER, {}), (RUDDER, {"gzip": False})],
    ids=["segment", "rudder", "rudder-plain"],
)
def test_every_call_arrives_once(
    gateway: GatewayProcess, sdk: Sdk, options: dict[str, Any]
) -> None:
    """Each call arrives once, as it was made, and the SDK reports no error."""
    calls = [*CALLS, *many_calls(100), *(NUMBER_CALLS if sdk is RUDDER else ())]
    before = stored(gateway)
    report = sdk.run(gateway.url, calls, **options)
    events = check_delivered(gateway, sdk, calls, report)
    assert stored(gateway) - before == len(calls)
    assert len({event["sentAt"] for event in events}) > 1, "all went in one batch"


@each_sdk
def test_unknown_key_is_refused_once(gateway: GatewayProcess, sdk: Sdk) -> None:
    """An SDK with a wrong write key sends once and gets an error, and nothing is stored."""
    before = stored(gateway), refused(gateway, "invalid_write_key")
    report = sdk.run(gateway.url, CALLS[:1], write_key="no-such-key")
    assert (stored(gateway), refused(gateway, "invalid_write_key")) == (before[0], before[1] + 1)
    [error] = report.errors
    assert "401" in error


@each_sdk
def test_calls_sent_again_are_stored_once(gateway: GatewayProcess, sdk: Sdk) -> None:
    """A batch whose first answer was a refusal or was lost is stored once."""
    check_sent_again(gateway, sdk, [*CALLS, *many_calls(30)])


PAGE_CALLS: list[list[Any]] = [
    ["page"],
    ["page", "Docs", "Ä 🦊", {"position": 2}],
    ["track", "Product Viewed", {"products": [{"sku": "1", "price": 9.5}], "nothing": None}],
    ["alias", "user-1"],
    ["identify", "user-1", {"name": "Zoë 🦊", "address": {"city": "Köln"}}],
    ["track", "Order Completed", {"revenue": 25}, {"context": {"locale": "de-DE"}}],
    ["screen", "Mail", "Inbox", {"unread": 3}],
    ["group", "group-1", {"plan": "free"}],
]

STANDARD = {"strategy": "standard"}
BATCHING = {"strategy": "batching", "config": {"size": 3, "timeout": 100}}


@pytest.mark.parametrize("strategy", [STANDARD, BATCHING], ids=["standard", "batching"])
def test_every_call_of_a_page_arrives_once(
    gateway: GatewayProcess, strategy: dict[str, Any]
) -> None:
    """Each call of a page on another host arrives once, with the visitor's ids."""
    before = stored(gateway)
    segment = {"Segment.io": {"deliveryStrategy": strategy}}
    report = BROWSER.run(gateway.url, PAGE_CALLS, integrations=segment)
    assert report.errors == []
    assert report.logged == []
    events = delivered_once(gateway, report)
    assert stored(gateway) - before == len(PAGE_CALLS)
    assert [event["type"] for event in events] == [call[0] for call in PAGE_CALLS]
    for event in events:
        assert "writeKey" not in event
        assert event["context"]["library"] == BROWSER.library
        assert event["context"]["ip"] == "127.0.0.1"
        assert "jsdom" in event["context"]["userAgent"]
        assert event["context"]["campaign"] == {"source": "mail", "name": "spring"}
        assert event["context"]["page"]["referrer"] == "http://search.example/"
        assert event["originalTimestamp"] <= event["sentAt"] <= event["receivedAt"]
    pages, products, alias, person, order, screen, group = events[:2], *events[2:]
    assert pages[0]["properties"]["path"] == "/prices"
    assert pages[1]["properties"].items() >= {"position": 2, "title": "Prices"}.items()
    assert (pages[1]["category"], pages[1]["name"]) == ("Docs", "Ä 🦊")
    assert products["properties"] == PAGE_CALLS[2][2]
    assert (alias["userId"], alias["previousId"]) == ("user-1", person["anonymousId"])
    assert person["traits"] == PAGE_CALLS[4][2]
    assert order["properties"] == {"revenue": 25}
    assert order["context"]["locale"] == "de-DE"
    assert (screen["category"], screen["name"]) == ("Mail", "Inbox")
    assert (group["groupId"], group["traits"]) == ("group-1", {"plan": "free"})
    assert len({event["anonymousId"] for event in events}) == 1
    assert [event.get("userId") for event in events] == [None] * 3 + ["user-1"] * 5


def test_page_with_an_unknown_key_does_not_load(gateway: GatewayProcess) -> None:
    """A page with a wrong write key gets 404 for its settings, and its SDK reports the error."""
    report = BROWSER.run(gateway.url, [], write_key="no-such-key")
    assert f"404 {gateway.url}/v1/projects/no-such-key/settings" in report.errors
    assert report.logged


RUDDER_PAGE_CALLS: list[list[Any]] = [
    ["page", "Docs", "Ä 🦊", {"position": 2}],
    ["track", "Product Viewed", {"products": [{"sku": "1", "price": 9.5}]}],
    ["identify", "user-1", {"name": "Zoë 🦊", "address": {"city": "Köln"}}],
    ["track", "Order Completed", {"revenue": 25}],
    ["group", "group-1", {"plan": "free"}],
    ["alias", "user-2"],
]


@pytest.mark.long
def test_every_call_of_a_page_with_rudder_arrives_once(gateway: GatewayProcess) -> None:
    """Each call of a page arrives once, and no request goes to any other host."""
    before = stored(gateway)
    report = RUDDER_BROWSER.run(gateway.url, RUDDER_PAGE_CALLS)
    assert (report.errors, report.logged) == ([], [])
    events = delivered_once(gateway, report)
    assert stored(gateway) - before == len(RUDDER_PAGE_CALLS)
    assert [event["type"] for event in events] == [call[0] for call in RUDDER_PAGE_CALLS]
    for event in events:
        assert event["context"]["library"].items() >= RUDDER_BROWSER.library.items()
        assert event["context"]["ip"] == "127.0.0.1"
        assert event["channel"] == "web"
    page, products, person, order, group, alias = events
    assert (page["category"], page["name"]) == ("Docs", "Ä 🦊")
    assert page["properties"].items() >= {"position": 2, "title": "Prices"}.items()
    assert products["properties"] == RUDDER_PAGE_CALLS[1][2]
    assert (person["userId"], person["traits"]) == ("user-1", RUDDER_PAGE_CALLS[2][2])
    assert order["properties"] == {"revenue": 25}
    assert (group["groupId"], group["traits"]) == ("group-1", {"plan": "free"})
    assert (alias["userId"], alias["previousId"]) == ("user-2", "user-1")
    assert len({event["anonymousId"] for event in events}) == 1
