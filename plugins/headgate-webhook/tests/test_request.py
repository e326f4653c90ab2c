"""Requests as a receiver gets them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Retryable, __version__
from gateway.testing import Answer, FakeVendor, ManualClock, make_batch, make_event
from headgate_webhook.request import idempotency_key, sign

EVENTS = [make_event(properties={"n": 1}), make_event(raw_properties=b'{\n"n": 2\n}')]


@pytest.mark.parametrize(
    ("format_", "content_type", "read"),
    [
        ("json", "application/json", lambda body: json.loads(body)["batch"]),
        ("json_array", "application/json", json.loads),
        ("ndjson", "application/x-ndjson", lambda b: [json.loads(x) for x in b.splitlines()]),
    ],
)
@pytest.mark.parametrize("compress", ["none", "gzip"])
async def test_formats(
    make: Any,
    vendor: FakeVendor,
    format_: str,
    content_type: str,
    read: Callable[[bytes], Any],
    compress: str,
) -> None:
    """Each format holds the events as destinations see them, in order, compressed or not."""
    destination = await make(vendor.url, format=format_, compress=compress)
    await destination.send(make_batch(EVENTS))
    (request,) = vendor.requests
    assert request.headers["Content-Type"] == content_type
    assert request.headers.get("Content-Encoding") == (None if compress == "none" else "gzip")
    assert read(request.content) == [event.to_dict() for event in EVENTS]


@pytest.mark.parametrize("compress", ["none", "gzip"])
async def test_large_batches(make: Any, vendor: FakeVendor, compress: str) -> None:
    """A body of several megabytes arrives whole."""
    destination = await make(vendor.url, compress=compress)
    await destination.send(make_batch([make_event(properties={"x": "y" * 3_000_000})]))
    assert len(vendor.requests[0].json()["batch"][0]["properties"]["x"]) == 3_000_000


async def test_method_path_and_headers(make: Any, vendor: FakeVendor) -> None:
    """The user's method, URL and headers are used beside our own."""
    destination = await make(
        vendor.url + "/hook/%2F?a=b%20c",
        method="PUT",
        headers={"Authorization": "Bearer t", "X-Mine": "yes"},
    )
    await destination.send(make_batch(2, first_offset=40, attempt=3))
    (request,) = vendor.requests
    assert (request.method, request.path) == ("PUT", "/hook/%2F?a=b%20c")
    sent = request.headers
    assert sent["Authorization"] == "Bearer t"
    assert sent["X-Mine"] == "yes"
    assert sent["User-Agent"] == f"headgate/{__version__}"
    assert sent["X-Headgate-Batch"] == "crm/40-41"
    assert sent["X-Headgate-Attempt"] == "3"
    assert re.fullmatch("[0-9a-f]{32}", sent["Idempotency-Key"])
    assert "X-Headgate-Signature" not in sent
    assert "Cookie" not in sent


async def test_an_empty_batch_sends_nothing(make: Any, vendor: FakeVendor) -> None:
    """Without events there is no request."""
    await (await make(vendor.url)).send(make_batch([]))
    assert vendor.requests == []


async def test_one_connection_serves_many_requests(make: Any, vendor: FakeVendor) -> None:
    """Connections are kept between batches."""
    destination = await make(vendor.url)
    for _ in range(3):
        await destination.send(make_batch())
    assert (len(vendor.requests), vendor.connections) == (3, 1)


async def test_cookies_are_not_kept(make: Any, vendor: FakeVendor) -> None:
    """A receiver cannot make one request depend on another."""
    vendor.answer(Answer(headers={"Set-Cookie": "a=b"}))
    # By its name, for cookies of bare addresses are not kept anyway.
    destination = await make(f"http://localhost:{vendor.port}/")
    await destination.send(make_batch())
    await destination.send(make_batch())
    assert "Cookie" not in vendor.requests[1].headers


async def test_retries_carry_the_same_key(make: Any, vendor: FakeVendor) -> None:
    """The key stays over attempts and restarts, and so does the whole body, even compressed."""
    vendor.answer(Answer(500))
    events = make_batch(3, first_offset=5)
    for attempt in (1, 2):
        destination = await make(vendor.url, compress="gzip")
        batch = make_batch(events.events, first_offset=5, attempt=attempt)
        if attempt == 1:
            with pytest.raises(Retryable):
                await destination.send(batch)
        else:
            await destination.send(batch)
    first, second = vendor.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body
    assert first.body[4:8] == b"\0\0\0\0"  # gzip's field for the time
    assert second.headers["X-Headgate-Attempt"] == "2"


def test_keys_differ_for_different_events() -> None:
    """Another destination, offset, event or number of events has another key."""
    a, b, c = (make_event(message_id=name) for name in "abc")
    keys = [
        idempotency_key("crm", [a, b], [1, 2]),
        idempotency_key("erp", [a, b], [1, 2]),
        idempotency_key("crm", [a, b], [1, 3]),
        idempotency_key("crm", [a, c], [1, 2]),
        idempotency_key("crm", [a], [1]),
        idempotency_key("crm", [a, c, b], [1, 5, 2]),
    ]
    assert len(set(keys)) == len(keys)


def readme_verify() -> Callable[..., bool]:
    """Returns the function that the README gives to receivers."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace["verify"]


@pytest.mark.parametrize("compress", ["none", "gzip"])
async def test_the_readme_verifies_what_we_sign(
    make: Any,
    vendor: FakeVendor,
    clock: ManualClock,
    compress: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A receiver that follows the README accepts our requests, but no forged or old ones."""
    verify = readme_verify()
    monkeypatch.setattr("time.time", lambda: clock() / 1000)
    destination = await make(vendor.url, secret="s3cret", compress=compress)
    await destination.send(make_batch())
    (request,) = vendor.requests
    header = request.headers["X-Headgate-Signature"]
    assert verify("s3cret", header, request.body)
    assert not verify("other", header, request.body)
    assert not verify("s3cret", header, request.body + b" ")
    assert not verify("s3cret", header.replace("t=1", "t=2"), request.body)
    clock.advance(301)
    assert not verify("s3cret", header, request.body)


@given(header=st.text(max_size=50) | st.just("t=1,v1=é"))
def test_the_readme_survives_any_header(header: str) -> None:
    """The receiver's function returns False for any other header, and never raises."""
    assert not readme_verify()("s3cret", header, b"")


def test_signature_is_what_is_documented() -> None:
    """The signature is HMAC-SHA-256 over time, dot and body; fixed here against change."""
    # printf '1795442400.{}' | openssl dgst -sha256 -hmac secret
    assert (
        sign("secret", 1795442400, b"{}")
        == "t=1795442400,v1=9bf39aab9cd929b3235b2de0d7364b35d5e9d806faea896a6655c10097f68ec8"
    )


async def test_compression_is_gzip(make: Any, vendor: FakeVendor) -> None:
    """Small and large bodies alike are one gzip member."""
    destination = await make(vendor.url, compress="gzip")
    for size in (1, 200_000):
        await destination.send(make_batch([make_event(properties={"x": "y" * size})]))
        assert len(gzip.decompress(vendor.requests[-1].body)) > size
