"""Conformance of the tracking API, section "auth": where the write key is, and which are valid."""

from __future__ import annotations

import base64
import uuid

import pytest

from gateway.builtin.sources.segment import SegmentConfig
from tests.support.segment_harness import (
    FOREIGN_KEY,
    KEY,
    OTHER_KEY,
    SUCCESS,
    basic,
    event,
    segment_gateway,
)

REFUSAL = {"success", "code", "message", "error"}


async def test_case_01_track_with_basic() -> None:
    """An event sent with a Basic header is stored, stamped and answered with exactly success."""
    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/track", {"userId": "u", "event": "Tested"})
        assert (reply.status, reply.body) == (200, SUCCESS)
        assert reply.headers["Content-Type"] == "application/json"
        (stored,) = gateway.stored
    assert stored["type"] == "track"
    assert uuid.UUID(stored["messageId"]).version == 4
    assert stored["timestamp"] == stored["receivedAt"] == "2026-11-23T14:00:00.000Z"
    assert (stored["sourceId"], stored["version"]) == ("web", 2)


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/v1/track/"])
async def test_case_02_key_in_the_body(path: str) -> None:
    """The key may be in the body, and is then not stored with the event."""
    async with segment_gateway() as gateway:
        reply = await gateway.post(path, event(writeKey=KEY), headers={})
        assert reply.status == 200
        (stored,) = gateway.stored
    assert "writeKey" not in stored
    assert KEY not in str(stored)


async def test_case_02_key_in_the_body_of_a_batch() -> None:
    """The key may be on top of a batch or in its first event, and is never stored."""
    async with segment_gateway() as gateway:
        on_top = {"batch": [event(), event()], "writeKey": KEY}
        in_event = {"batch": [event(writeKey=KEY), event(writeKey=KEY)]}
        for body in (on_top, in_event):
            assert (await gateway.post("/v1/b", body, headers={})).status == 200
        assert len(gateway.stored) == 4
        assert all("writeKey" not in stored for stored in gateway.stored)


async def test_case_03_basic_without_colon() -> None:
    """The header may hold the key alone, without the colon before an empty password."""
    token = base64.b64encode(KEY.encode()).decode()
    async with segment_gateway() as gateway:
        headers = {"Authorization": f"Basic {token}"}
        assert (await gateway.post("/v1/track", event(), headers)).status == 200
        assert len(gateway.stored) == 1


async def test_case_04_lower_case_scheme_and_no_padding() -> None:
    """The scheme may have any case, and the base64 padding may be missing."""
    token = base64.b64encode(f"{KEY}:".encode()).decode()
    assert token.endswith("=")
    async with segment_gateway() as gateway:
        for scheme in ("basic", "BASIC"):
            headers = {"Authorization": f"{scheme} {token.rstrip('=')}"}
            assert (await gateway.post("/v1/track", event(), headers)).status == 200
        assert len(gateway.stored) == 2


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic"}, {"Authorization": "Basic !"}, {"Authorization": "Basic Og=="}],
)
async def test_case_05_no_key(headers: dict[str, str]) -> None:
    """A request without a key is refused with a body that every SDK can read."""
    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/track", event(), headers)
        assert reply.status == 401
        assert reply.json.keys() == REFUSAL
        assert reply.json["success"] is False
        assert reply.json["code"] == "invalid_write_key"
        assert all(isinstance(reply.json[key], str) for key in ("code", "message", "error"))
        assert gateway.rejected == {"invalid_write_key": 1}
        assert gateway.stored == []


@pytest.mark.parametrize("key", ["nobody", FOREIGN_KEY])
async def test_case_06_unknown_key(key: str) -> None:
    """A key of no source of this type is refused the same way, wherever it is."""
    async with segment_gateway() as gateway:
        in_head = await gateway.post("/v1/batch", {"batch": [event()]}, basic(key))
        in_body = await gateway.post("/v1/batch", {"batch": [event()], "writeKey": key}, {})
        for reply in (in_head, in_body):
            assert reply.status == 401
            assert reply.json.keys() == REFUSAL
        assert gateway.stored == []


async def test_case_08_bearer_with_key_in_the_body() -> None:
    """A Bearer token is ignored, and the key of the body is used."""
    async with segment_gateway() as gateway:
        body = {"batch": [event()], "writeKey": KEY}
        reply = await gateway.post("/v1/batch", body, {"Authorization": "Bearer x.y.z"})
        assert reply.status == 200
        assert len(gateway.stored) == 1


async def test_key_of_the_head_beats_the_body() -> None:
    """The header's key wins over the batch's, and that over the first event's."""
    async with segment_gateway(others={"2": SegmentConfig()}) as gateway:
        batch = [event(writeKey=OTHER_KEY)]
        await gateway.post("/v1/batch", {"batch": batch, "writeKey": OTHER_KEY}, basic(KEY))
        await gateway.post("/v1/batch", {"batch": batch, "writeKey": KEY}, {})
        await gateway.post("/v1/batch", {"batch": batch}, {})
        assert [stored["sourceId"] for stored in gateway.stored] == ["web", "web", "2"]


async def test_password_is_ignored() -> None:
    """The password of a Basic header is ignored."""
    token = base64.b64encode(f"{KEY}:secret:too".encode()).decode()
    async with segment_gateway() as gateway:
        reply = await gateway.post("/v1/t", event(), {"Authorization": f"Basic {token}"})
        assert reply.status == 200


async def test_query_key_counts_for_beacons_only() -> None:
    """Ordinary paths ignore a key in the query, because URLs end up in logs."""
    async with segment_gateway() as gateway:
        reply = await gateway.post(f"/v1/batch?writeKey={KEY}", {"batch": [event()]}, {})
        assert reply.status == 401


async def test_strict_segment_answers_200() -> None:
    """With strict_segment an unknown key is answered as Segment does, and still counted."""
    async with segment_gateway(SegmentConfig(strict_segment=True)) as gateway:
        reply = await gateway.post("/v1/track", event(), basic("nobody"))
        assert (reply.status, reply.body) == (200, SUCCESS)
        assert gateway.rejected == {"invalid_write_key": 1}
        assert gateway.stored == []
        malformed = await gateway.post("/v1/track", b"{")
        assert malformed.status == 400


@pytest.mark.parametrize(("status", "strict"), [(200, False), (404, False), (404, True)])
async def test_disabled_source(status: int, strict: bool) -> None:
    """A disabled source discards with 200, or answers 404 if config says so."""
    config = SegmentConfig(disabled_status=status, strict_segment=strict)
    async with segment_gateway(config, enabled=False) as gateway:
        reply = await gateway.post("/v1/batch", {"batch": [event(), event()]})
        assert gateway.stored == []
        if status == 404:
            assert reply.status == (200 if strict else 404)
            assert gateway.rejected == {"source_disabled": 1}
        else:
            assert reply.body == SUCCESS
            assert gateway.discarded() == {"source_disabled": 2}


async def test_body_without_a_valid_key_is_not_read() -> None:
    """A request with an unknown key in its header is answered before its body has come."""
    async with segment_gateway() as gateway:
        head = (
            f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n"
            f"Authorization: {basic('nobody')['Authorization']}\r\n\r\n"
        )
        assert (await gateway.raw(head.encode())).status == 401
