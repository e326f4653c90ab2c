"""Paths, methods and prefix, and the sources that share them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from gateway.builtin.sources.segment import SegmentConfig, SegmentSource, register_sources
from gateway.builtin.sources.segment.answers import ANSWERS
from gateway.components.source import SourceSpec
from gateway.config.settings import ServerConfig, SourceSettings
from gateway.runtime.plugins import discover
from gateway.testing import make_context
from tests.support.intake_harness import IntakeHarness
from tests.support.segment_harness import (
    KEY,
    OTHER_KEY,
    SUCCESS,
    basic,
    dumps,
    event,
    gzipped,
    segment_gateway,
)

POSTS = [
    *(f"/v1/{name}" for name in ("track", "identify", "page", "screen", "group", "alias")),
    *(f"/v1/{name}" for name in ("t", "i", "p", "s", "g", "a", "batch", "b", "import", "m")),
    "/beacon/v1/batch",
]
GETS = [
    *(f"/v1/pixel/{name}" for name in ("track", "identify", "page", "screen", "group", "alias")),
    "/pixel/v1/track",
    "/pixel/v1/page",
    f"/v1/projects/{KEY}/settings",
    "/sourceConfig",
]


@pytest.mark.parametrize("path", [*POSTS, *(f"{path}/" for path in POSTS)])
async def test_wrong_method_on_post(path: str) -> None:
    """A path for POST answers other methods with 405."""
    async with segment_gateway() as gateway:
        for method in ("GET", "PUT", "DELETE"):
            reply = await gateway.request(method, path)
            assert (reply.status, reply.headers["Allow"]) == (405, "POST, OPTIONS")
            assert reply.json["code"] == "method_not_allowed"
        assert gateway.rejected == {"method_not_allowed": 3}
        preflight = await gateway.request("OPTIONS", path)
        assert preflight.headers["Allow"] == "POST, OPTIONS"
        assert "Access-Control-Allow-Origin" not in preflight.headers


@pytest.mark.parametrize("path", GETS)
async def test_wrong_method_on_get(path: str) -> None:
    """A path for GET answers other methods with 405, and HEAD without a body."""
    async with segment_gateway() as gateway:
        reply = await gateway.request("POST", path, {})
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        head = await gateway.request("HEAD", path, None, basic())
        assert (head.status, head.body) == (200, b"")
        assert (await gateway.request("GET", f"{path}/", None, basic())).status == 200


async def test_looking_at_the_head_of_a_pixel_is_no_event() -> None:
    """HEAD on a pixel stores nothing, because link checkers send it."""
    async with segment_gateway() as gateway:
        path = f"/v1/pixel/track?writeKey={KEY}&userId=u&event=e"
        assert (await gateway.request("HEAD", path)).status == 200
        assert gateway.stored == []
        assert (await gateway.get(path)).status == 200
        assert len(gateway.stored) == 1


@pytest.mark.parametrize("path", ["/v1/merge", "/v1/audiencelist", "/v1/", "/v1/pixel/nothing"])
async def test_unknown_paths(path: str) -> None:
    """Other paths below /v1 are a 404 that every SDK can read."""
    async with segment_gateway() as gateway:
        for method in ("GET", "POST"):
            reply = await gateway.request(method, path)
            assert (reply.status, reply.json["code"]) == (404, "not_found")
        assert gateway.rejected == {"not_found": 2}


@pytest.mark.parametrize(
    "path",
    [
        "/analytics.js/v1/k/analytics.min.js",
        "/analytics-next/bundles/a.js",
        "/next-integrations/integrations/x.js",
    ],
)
async def test_bundles(path: str) -> None:
    """A request for the browser's script is told where to get it."""
    async with segment_gateway() as gateway:
        reply = await gateway.get(path)
        assert reply.status == 404
        assert b"@segment/analytics-next" in reply.body


async def test_prefix() -> None:
    """All paths work under a prefix, and the settings name it."""
    async with segment_gateway(server=ServerConfig(prefix="/in/gest")) as gateway:
        assert (await gateway.post("/in/gest/v1/track", event())).body == SUCCESS
        reply = await gateway.get(f"/in/gest/v1/projects/{KEY}/settings")
        host = reply.json["integrations"]["Segment.io"]["apiHost"]
        assert host == f"127.0.0.1:{gateway.port}/in/gest/v1"


@pytest.mark.parametrize(
    ("config", "server", "headers", "host", "protocol"),
    [
        ({"public_host": "e.example.com"}, {}, {}, "e.example.com/v1", "https"),
        (
            {"public_host": "e.example.com/x", "protocol": "http"},
            {"prefix": "/y"},
            {},
            "e.example.com/x/y/v1",
            "http",
        ),
        ({}, {}, {"Host": "[::1]:8080"}, "[::1]:8080/v1", "http"),
        ({}, {}, {"Host": "a.b", "X-Forwarded-Proto": "https"}, "a.b/v1", "http"),
        (
            {},
            {"trusted_proxies": ("127.0.0.1",)},
            {"Host": "a.b", "X-Forwarded-Proto": "https"},
            "a.b/v1",
            "https",
        ),
    ],
)
async def test_public_address(
    config: dict[str, Any],
    server: dict[str, Any],
    headers: dict[str, str],
    host: str,
    protocol: str,
) -> None:
    """Settings name the public host or the requested one, and https if that is known."""
    async with segment_gateway(SegmentConfig(**config), server=ServerConfig(**server)) as gateway:
        path = f"{server.get('prefix', '')}/v1/projects/{KEY}/settings"
        ours = (await gateway.get(path, headers)).json["integrations"]["Segment.io"]
        assert (ours["apiHost"], ours["protocol"]) == (host, protocol)


async def test_host_that_is_none() -> None:
    """An invalid Host header is not passed on to SDKs."""
    async with segment_gateway() as gateway:
        for host in ("a b", "a/b", 'a"b', "user@a"):
            reply = await gateway.get(f"/v1/projects/{KEY}/settings", {"Host": host})
            assert reply.status == 400


async def test_sources_have_their_own_limits() -> None:
    """Sources share the paths, and each keeps its own limits, wherever the key is."""
    wide = SegmentConfig(max_event_bytes=100_000, max_batch_bytes=2_000_000, max_batch_events=3)
    large = event(properties={"a": "x" * 50_000})
    async with segment_gateway(others={"2": wide}) as gateway:
        for headers, extra in ((basic(), {}), ({}, {"writeKey": KEY})):
            reply = await gateway.post("/v1/track", {**large, **extra}, headers)
            assert (reply.status, reply.json["code"]) == (400, "payload_too_large")
            batch = {"batch": [large] * 15, **extra}
            reply = await gateway.post("/v1/batch", batch, headers)
            assert (reply.status, reply.json["code"]) == (400, "payload_too_large")
        for headers, extra in ((basic(OTHER_KEY), {}), ({}, {"writeKey": OTHER_KEY})):
            assert (await gateway.post("/v1/track", {**large, **extra}, headers)).status == 200
            batch = {"batch": [large] * 15, **extra}
            assert (await gateway.post("/v1/batch", batch, headers)).status == 200
        assert [kept["sourceId"] for kept in gateway.stored] == ["2"] * 8
        assert gateway.discarded("2") == {"batch_count_exceeded": 24}


async def test_compressed_limit() -> None:
    """The compressed size has its own limit, below that of the batch."""
    async with segment_gateway(SegmentConfig(max_compressed_bytes=100)) as gateway:
        headers = {**basic(), "Content-Encoding": "gzip"}
        assert (await gateway.post("/v1/track", gzipped(event()), headers)).status == 200
        varied = event(properties={"a": "".join(chr(40 + i * i % 80) for i in range(900))})
        reply = await gateway.post("/v1/track", gzipped(varied), headers)
        assert (reply.status, reply.json["code"]) == (400, "payload_too_large")


async def test_slow_body() -> None:
    """A body that does not come in time is a 503, because SDKs drop the events on a 408."""
    async with segment_gateway(server=ServerConfig(body_timeout_seconds=0.05)) as gateway:
        head = "POST /v1/t HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\nContent-Length: 9\r\n\r\n{"
        reply = await gateway.raw(head.encode())
        assert (reply.status, reply.json["code"]) == (503, "request_timeout")
        assert (reply.headers["Retry-After"], reply.headers["Connection"]) == ("1", "close")
        assert reply.headers["Access-Control-Allow-Origin"] == "http://a"


def test_answers() -> None:
    """The table has only statuses on which no SDK loses events that it should keep."""
    for code, answer in ANSWERS.items():
        assert re.fullmatch(r"[a-z_]+", code)
        assert answer.status in (400, 401, 404, 405, 429, 503)
        assert (answer.status in (429, 503)) == bool(answer.retry_after_seconds)
        assert 0 <= answer.retry_after_seconds <= 300


def test_type_is_registered() -> None:
    """The type is loaded like that of a plugin."""
    specs: list[SourceSpec[Any]] = []
    register_sources(specs.append)
    (spec,) = specs
    assert (spec.type, spec.config, spec.build) == ("segment", SegmentConfig, SegmentSource)
    found = discover(["gateway.builtin.sources.segment"], []).find(
        "source", "segment", "sources.web"
    )
    assert found.spec == spec


def test_example() -> None:
    """The example is a curl command for the first source that is enabled and has a key."""

    def source(**settings: SourceSettings) -> SegmentSource:
        intake = IntakeHarness(sources=settings).intake
        return SegmentSource(
            {id_: SegmentConfig() for id_ in settings}, intake, make_context(Path("/nowhere"))
        )

    off = SourceSettings(type="segment", write_key="off", enabled=False)
    keyless = SourceSettings(type="segment")
    demo = SourceSettings(type="segment", write_key=("de'mo", "second"))
    command = source(off=off, keyless=keyless, demo=demo).example("http://127.0.0.1:8080/in")
    assert command is not None
    words = shlex.split(command)
    assert words[:3] == ["curl", "-u", "de'mo:"]
    assert words[-1] == "http://127.0.0.1:8080/in/v1/track"
    assert dumps(event())[:1] == words[-2][:1].encode()
    assert source(off=off, keyless=keyless).example("http://x") is None
    plain = source(demo=SourceSettings(type="segment", write_key="demo")).example("http://x")
    assert plain is not None
    assert plain.startswith("curl -u demo: -H 'content-type: application/json' -d '{\"userId\"")
