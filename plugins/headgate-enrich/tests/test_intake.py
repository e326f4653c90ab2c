"""The transform in a running gateway, before `mask`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.testing import running_gateway

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
FACTS = {"bot": False, "browser": "Firefox", "os": "Linux", "device_type": "desktop"}
CONFIG = """
[server]
port = 0
[queue]
type = "memory"
[sources.web]
type = "segment"
write_key = "w"
[destinations.out]
type = "file"
path = "out"
[transforms.enrich]
type = "enrich"
geo_file = "countries.mmdb"
[transforms.privacy]
type = "mask"
"""
BROWSER = {"library": {"name": "analytics.js"}, "userAgent": FIREFOX}
SERVER = {"library": {"name": "analytics-node"}}

Send = Callable[..., Awaitable[tuple[list[Any], str]]]


@pytest.fixture
def send(tmp_path: Path, write_countries: Callable[..., Path]) -> Send:
    """Sends contexts as Firefox would; gives them as delivered, and the metrics."""
    write_countries({"127.0.0.1": {"country": "SE"}, "192.0.2.1": {"country": "DE"}})

    async def sent(
        mask: str, *contexts: dict[str, Any], key: str = "headgate"
    ) -> tuple[list[Any], str]:
        event = {"type": "track", "event": "e", "userId": "u"}
        body = {"writeKey": "w", "batch": [event | {"context": one} for one in contexts]}
        async with (
            running_gateway(tmp_path, CONFIG + mask) as url,
            aiohttp.ClientSession(url, headers={"User-Agent": FIREFOX}) as client,
        ):
            data = json.dumps(body, separators=(",", ":")).replace("headgate", key)
            async with client.post("/v1/batch", data=data) as response:
                assert response.status == 200
            async with client.get("/metrics") as response:
                metrics = await response.text()
        files = sorted((tmp_path / "out").rglob("*.ndjson"))
        lines = "".join(file.read_text(encoding="utf-8") for file in files).splitlines()
        return [json.loads(line)["context"] for line in lines], metrics

    return sent


async def test_events_of_browsers_stay_as_they_were_sent(send: Send) -> None:
    """The facts lie beside the request: no event is decoded for them."""
    contexts, metrics = await send('detect = ["email", "ip"]', BROWSER, BROWSER)
    assert [context["headgate"] for context in contexts] == [FACTS | {"country": "SE"}] * 2
    assert 'headgate_intake_events_total{road="fast"} 2' in metrics


async def test_mask_takes_address_and_agent_and_leaves_the_facts(send: Send) -> None:
    """The facts come from what nobody gets to see."""
    mask = 'fields = ["context.ip", "context.userAgent"]\naction = "drop"'
    own = SERVER | {"ip": "192.0.2.1", "userAgent": FIREFOX}
    (browser, server), _ = await send(mask, BROWSER, own)
    assert browser["headgate"] == FACTS | {"country": "SE"}
    assert server["headgate"] == FACTS | {"country": "DE"}
    for context in (browser, server):
        assert not {"ip", "userAgent"} & context.keys()


@pytest.mark.parametrize("key", ["headgate", r"head\u0067ate"])
async def test_clients_cannot_write_facts(send: Send, key: str) -> None:
    """A client's `context.headgate` is removed, however it spells the key."""
    forged = {"headgate": {"country": "FR", "weight": 99}}
    contexts, _ = await send(
        "", BROWSER | forged, SERVER | forged, SERVER | {"headgate": 1}, key=key
    )
    assert [context.get("headgate") for context in contexts] == [
        FACTS | {"country": "SE"},
        None,
        None,
    ]


async def test_a_server_is_no_person(send: Send) -> None:
    """The address and user agent of a server's request tell nothing about its users."""
    (context,), _ = await send("", SERVER)
    assert "headgate" not in context
