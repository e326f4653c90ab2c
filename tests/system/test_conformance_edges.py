"""Conformance of the tracking API, section "edges": addresses, CORS, pixel, settings, overload."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from gateway.builtin.sources.segment import SegmentConfig
from gateway.builtin.sources.segment.pixel import GIF
from gateway.config.settings import ServerConfig
from gateway.errors import QueueClosed, QueueFull
from tests.support.segment_harness import (
    KEY,
    SUCCESS,
    Reply,
    SegmentHarness,
    basic,
    dumps,
    encoded,
    event,
    segment_gateway,
)

PROXY = ServerConfig(trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))
BROWSER = {"library": {"name": "analytics.js", "version": "2"}}
SERVER = {"library": {"name": "analytics-python", "version": "2"}}


async def address(
    server: ServerConfig | None,
    context: dict[str, Any] | None,
    forwarded: str | None,
    config: SegmentConfig | None = None,
) -> Any:
    """Returns the `context.ip` that an event is stored with."""
    async with segment_gateway(config, server=server) as gateway:
        headers = basic() | ({} if forwarded is None else {"X-Forwarded-For": forwarded})
        reply = await gateway.post("/v1/track", event(context=context), headers)
        assert reply.status == 200
        return gateway.stored[0].get("context", {}).get("ip")


async def test_case_46_address_through_a_trusted_proxy() -> None:
    """A browser's event gets the address that the last trusted proxy saw."""
    assert await address(PROXY, BROWSER, "1.2.3.4, 10.0.0.1") == "1.2.3.4"
    assert await address(PROXY, BROWSER, "6.6.6.6, 1.2.3.4, 10.0.0.1") == "1.2.3.4"


async def test_case_46_spoofed_address() -> None:
    """Of a peer that is no trusted proxy, only its own address counts."""
    assert await address(None, BROWSER, "6.6.6.6, 1.2.3.4") == "127.0.0.1"


async def test_case_46_server_sdk() -> None:
    """An event of a server SDK does not get the server's address, unless it has `direct`."""
    assert await address(PROXY, SERVER, "1.2.3.4") is None
    assert await address(PROXY, None, "1.2.3.4") is None
    assert await address(PROXY, {**SERVER, "direct": True}, "1.2.3.4") == "1.2.3.4"


async def test_case_46_client_says_its_address() -> None:
    """An event's own address is kept, also 0.0.0.0, which asks for none."""
    for given in ("5.5.5.5", "0.0.0.0"):
        assert await address(PROXY, {**BROWSER, "ip": given}, "1.2.3.4") == given


async def test_case_46_switches() -> None:
    """Config can set the category of clients, and switch off all addresses or those of IPv6."""
    off, no_v6 = SegmentConfig(capture_ip=False), SegmentConfig(capture_ipv6=False)
    assert await address(PROXY, BROWSER, "1.2.3.4", off) is None
    assert await address(PROXY, BROWSER, "2001:db8::1", no_v6) is None
    assert await address(PROXY, BROWSER, "1.2.3.4", no_v6) == "1.2.3.4"
    assert await address(PROXY, SERVER, "1.2.3.4", SegmentConfig(category="client")) == "1.2.3.4"
    assert await address(PROXY, BROWSER, "1.2.3.4", SegmentConfig(category="server")) is None


async def test_case_46_user_agent() -> None:
    """A device's event gets the User-Agent header up to the limit; a server SDK's does not."""
    async with segment_gateway(SegmentConfig(max_user_agent_chars=10)) as gateway:
        headers = {**basic(), "User-Agent": "Mozilla/5.0 and much more"}
        await gateway.post("/v1/track", event(context=BROWSER), headers)
        await gateway.post("/v1/track", event(context=SERVER), headers)
        first, second = gateway.stored
    assert first["context"]["userAgent"] == "Mozilla/5."
    assert "userAgent" not in second["context"]


async def test_case_46_bytes_in_headers() -> None:
    """Headers outside UTF-8 are stored as far as possible, and break nothing."""
    async with segment_gateway() as gateway:
        body = dumps(event(writeKey=KEY, context=BROWSER))
        head = b"POST /v1/t HTTP/1.1\r\nHost: x\r\nUser-Agent: a\xff\xfeb\r\nSentAt: \xff\r\n"
        head += b"Origin: http://\xff\r\nContent-Length: %d\r\n\r\n" % len(body)
        reply = await gateway.raw(head + body)
        assert reply.status == 200
        assert "Access-Control-Allow-Origin" not in reply.headers
        (kept,) = gateway.stored
    assert kept["context"]["userAgent"] == "a\ufffd\ufffdb"


def _readable(reply: Reply, origin: str) -> None:
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]
    assert "Origin" in reply.headers["Vary"]


@pytest.mark.parametrize(
    "path",
    ["/v1/t", "/v1/b", "/v1/m", "/beacon/v1/batch", "/v1/projects/k/settings", "/sourceConfig/"],
)
async def test_case_47_preflight(path: str) -> None:
    """A preflight allows its origin the requested methods and headers."""
    asked = "authorization,content-type,x-retry-count"
    headers = {
        "Origin": "https://a.b",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    async with segment_gateway() as gateway:
        reply = await gateway.request("OPTIONS", path, None, headers)
        assert reply.status in (200, 204)
        _readable(reply, "https://a.b")
        assert reply.headers["Access-Control-Allow-Headers"] == asked
        assert reply.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
        assert reply.headers["Access-Control-Max-Age"] == "900"
        del headers["Access-Control-Request-Headers"]
        reply = await gateway.request("OPTIONS", path, None, headers)
        assert "authorization" in reply.headers["Access-Control-Allow-Headers"]


async def test_case_47_errors_are_readable_too() -> None:
    """Success and errors both have the headers that let a page's script read them."""
    origin = {"Origin": "https://a.b"}
    async with segment_gateway() as gateway:
        for method, path, body, headers, status in (
            ("POST", "/v1/t", event(), basic(), 200),
            ("POST", "/v1/t", b"{", basic(), 400),
            ("POST", "/v1/t", event(), {}, 401),
            ("GET", "/v1/t", None, {}, 405),
            ("GET", "/v1/nothing", None, {}, 404),
            ("GET", "/v1/projects/nobody/settings", None, {}, 404),
            ("GET", f"/v1/projects/{KEY}/settings", None, {}, 200),
        ):
            reply = await gateway.request(method, path, body, {**headers, **origin})
            assert reply.status == status
            _readable(reply, "https://a.b")
        gateway.queue.error = QueueFull("full", 7)
        reply = await gateway.post("/v1/t", event(), {**basic(), **origin})
        assert (reply.status, reply.headers["Retry-After"]) == (503, "7")
        _readable(reply, "https://a.b")


async def _pixel(gateway: SegmentHarness, path: str) -> None:
    reply = await gateway.get(path)
    assert (reply.status, reply.body) == (200, GIF)
    assert reply.headers["Content-Type"] == "image/gif"
    assert reply.headers["Cache-Control"] == "no-store"


async def test_case_48_pixel_with_data() -> None:
    """The data of a pixel is JSON, or base64 of it in any of the usual forms."""
    one = event(writeKey=KEY, properties={"a": "ÿ>?~", "b": "??>>"})
    forms = [
        quote(encoded(one), safe=""),
        quote(encoded(one, urlsafe=True, padded=False), safe=""),
        encoded(one).replace("=", ""),  # a bare plus arrives as a space
        quote(dumps(one).decode(), safe=""),
    ]
    assert any("+" in form for form in forms)
    async with segment_gateway() as gateway:
        for form in forms:
            await _pixel(gateway, f"/v1/pixel/track?data={form}")
        assert len(gateway.stored) == 4
        for kept in gateway.stored:
            assert kept["properties"] == one["properties"]
            assert kept["context"]["library"] == {"name": "pixel"}
            assert kept["context"]["ip"] == "127.0.0.1"
            assert "writeKey" not in kept


async def test_case_48_flat_pixel() -> None:
    """Without data each parameter is a field, and dots nest."""
    query = f"writeKey={KEY}&userId=u&event=Opened&properties.a=1&properties.b.c=x+y&context.ip="
    async with segment_gateway() as gateway:
        for path in ("/v1/pixel/track", "/pixel/v1/track"):
            await _pixel(gateway, f"{path}?{query}")
        assert [kept["channel"] for kept in gateway.stored] == ["browser", "web"]
        for kept in gateway.stored:
            assert kept["properties"] == {"a": "1", "b": {"c": "x y"}}


async def test_case_48_dots_without_end() -> None:
    """Dots nest up to a limit; the rest of the name becomes the last key."""
    name = "properties" + ".a" * 2_000
    async with segment_gateway() as gateway:
        await _pixel(gateway, f"/v1/pixel/track?writeKey={KEY}&userId=u&event=e&{name}=1")
        (kept,) = gateway.stored
    level, depth = kept, 0
    while isinstance(level, dict):
        level = level["properties"] if depth == 0 else next(iter(level.values()))
        depth += 1
    assert (level, depth) == ("1", 17)


@pytest.mark.parametrize(
    "query",
    [
        "",
        f"writeKey={KEY}",
        f"writeKey={KEY}&data=!!!",
        f"writeKey={KEY}&data=e30",
        f"writeKey={KEY}&data=WzFd",
        f"writeKey={KEY}&data=%7B%22a",
        f"writeKey={KEY}&data=",
        f"writeKey={KEY}&data=%FF%FE",
        "writeKey=nobody&userId=u&event=e",
        f"writeKey={KEY}&userId=u&event=",
        f"writeKey={KEY}&userId=u&event=e&properties=1",
        "writeKey." + "a." * 300 + "a=1",
    ],
)
async def test_case_48_bad_pixel(query: str) -> None:
    """Any faulty pixel request is answered with the picture, and nothing is stored."""
    async with segment_gateway() as gateway:
        await _pixel(gateway, f"/v1/pixel/track?{query}")
        assert gateway.stored == []


async def test_case_49_beacon() -> None:
    """A beacon has its key in the query and no header."""
    async with segment_gateway() as gateway:
        headers = {"Content-Type": "text/plain;charset=UTF-8"}
        body = {"batch": [event()], "sentAt": "2026-11-23T14:00:00Z"}
        reply = await gateway.post(f"/beacon/v1/batch?writeKey={KEY}", body, headers)
        assert reply.body == SUCCESS
        assert len(gateway.stored) == 1
        assert (await gateway.post("/beacon/v1/batch", body, headers)).status == 401
        reply = await gateway.post(f"/beacon/v1/batch?writeKey={KEY}", body, basic("nobody"))
        assert reply.status == 401


@pytest.mark.parametrize("path", ["/v1/projects/{}/settings", "/projects/{}/settings"])
async def test_case_50_settings(path: str) -> None:
    """The settings tell an SDK to send to this gateway, and name no other destination."""
    async with segment_gateway() as gateway:
        reply = await gateway.get(path.format(KEY))
        assert reply.status == 200
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "max-age=120" in reply.headers["Cache-Control"]
        assert list(reply.json["integrations"]) == ["Segment.io"]
        ours = reply.json["integrations"]["Segment.io"]
        assert ours["apiKey"] == KEY
        assert ours["apiHost"] == f"127.0.0.1:{gateway.port}/v1"
        assert ours["protocol"] == "http"
        assert reply.json["metrics"] == {"sampleRate": 0}
        unknown = await gateway.get(path.format("nobody"))
        assert unknown.status == 404
        assert unknown.headers["Content-Type"].startswith("text/plain")


async def test_case_50_source_config() -> None:
    """The settings for RudderStack's SDKs pass the checks of these SDKs."""
    async with segment_gateway() as gateway:
        for path, headers in (
            (f"/sourceConfig/?p=npm&v=3&writeKey={KEY}", {}),
            ("/sourceConfig", basic()),
        ):
            reply = await gateway.get(path, headers)
            assert reply.status == 200
            source = reply.json["source"]
            assert source["id"] == "web"
            assert source["enabled"] is True
            assert source["writeKey"] == KEY
            assert isinstance(source["config"], dict)
            assert source["destinations"] == []
        assert (await gateway.get("/sourceConfig")).status == 401


async def test_case_51_telemetry() -> None:
    """Telemetry of SDKs is accepted without a key, and not stored."""
    async with segment_gateway() as gateway:
        series = {"series": [{"type": "Counter", "metric": "m", "value": 1, "tags": {}}]}
        reply = await gateway.post("/v1/m", series, {"Content-Type": "text/plain"})
        assert (reply.status, reply.body) == (200, SUCCESS)
        assert gateway.stored == []


@pytest.mark.parametrize(
    ("error", "code", "after"),
    [
        (QueueFull("full"), "queue_full", "1"),
        (QueueFull("full", 42), "queue_full", "42"),
        (QueueFull("full", 10_000), "queue_full", "300"),
        (QueueFull("full", -3), "queue_full", "1"),
        (QueueClosed("stopping"), "unavailable", "5"),
    ],
)
async def test_case_52_overload(error: Exception, code: str, after: str) -> None:
    """Overload is a 503 with whole seconds in Retry-After; sent again, events are stored once."""
    async with segment_gateway() as gateway:
        gateway.queue.error = error
        for path, body in (("/v1/track", event(messageId="m")), ("/v1/b", {"batch": [event()]})):
            reply = await gateway.post(path, body)
            assert (reply.status, reply.json["code"]) == (503, code)
            assert reply.headers["Retry-After"] == after
        assert gateway.rejected == {code: 2}
        assert gateway.ledger.source("web").refused == 2
        await _pixel(gateway, f"/v1/pixel/track?writeKey={KEY}&userId=u&event=e")
        gateway.queue.error = None
        assert (await gateway.post("/v1/track", event(messageId="m"))).body == SUCCESS
        assert [kept["messageId"] for kept in gateway.stored] == ["m"]
