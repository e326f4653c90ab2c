"""The Python SDKs of Segment and RudderStack against a running gateway."""

from __future__ import annotations

import json
import random
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.builtin.sources.segment import SegmentConfig
from tests.support.gateway_process import GatewayProcess
from tests.support.sdk_calls import (
    CALLS,
    CONFIG,
    NUMBER_CALLS,
    WRITE_KEY,
    Sdk,
    check_delivered,
    check_sent_again,
    many_calls,
    refused,
    stored,
)

pytestmark = pytest.mark.slow

SEGMENT = Sdk(
    command=(sys.executable, "send_python.py", "segment.analytics"),
    library={"name": "analytics-python", "version": version("segment-analytics-python")},
)
RUDDER = Sdk(
    command=(sys.executable, "send_python.py", "rudderstack.analytics"),
    library={"name": "analytics-python", "version": version("rudder-sdk-python")},
    channel="server",
)
QUICK: dict[str, Any] = {"upload_interval": 0.1}
"""Seconds that an SDK waits for more calls before it sends a batch, and before it ends."""

each_sdk = pytest.mark.parametrize("sdk", [SEGMENT, RUDDER], ids=["segment", "rudder"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), CONFIG) as process:
        yield process


@each_sdk
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_every_call_arrives_once(gateway: GatewayProcess, sdk: Sdk, gzip: bool) -> None:
    """Each call arrives once, as made, and the SDK reports no error (conformance case 53)."""
    calls = [*CALLS, *NUMBER_CALLS, *many_calls(250)]
    before = stored(gateway)
    report = sdk.run(gateway.url, calls, gzip=gzip)
    events = check_delivered(gateway, sdk, calls, report)
    assert stored(gateway) - before == len(calls)
    assert len({event["sentAt"] for event in events}) > 1, "all went in one batch"


@each_sdk
def test_unknown_key_is_refused_once(gateway: GatewayProcess, sdk: Sdk) -> None:
    """An SDK with a wrong write key sends once and gets the reason, and nothing is stored."""
    before = stored(gateway), refused(gateway, "invalid_write_key")
    report = sdk.run(gateway.url, CALLS[:3], write_key="no-such-key", **QUICK)
    assert (stored(gateway), refused(gateway, "invalid_write_key")) == (before[0], before[1] + 1)
    [error] = report.errors
    assert error.startswith("3 events:")
    assert "invalid_write_key" in error


@each_sdk
def test_calls_sent_again_are_stored_once(gateway: GatewayProcess, sdk: Sdk) -> None:
    """A batch whose first answer was 503 or was lost is stored once (conformance case 7).

    Keys are part of config, so they exist before the gateway listens. A proxy that does not reach
    the gateway answers 503 in their place.
    """
    check_sent_again(gateway, sdk, [*CALLS, *many_calls(150)], **QUICK)


def test_full_queue_costs_no_event(tmp_path: Path) -> None:
    """A full queue makes an SDK wait, and all its calls arrive once there is room.

    The SDK is RudderStack's, which waits for less time than it is told to.
    """
    calls = [*CALLS, *many_calls(150)]
    with GatewayProcess(tmp_path, SMALL_QUEUE) as gateway, ThreadPoolExecutor(1) as thread:
        folder = tmp_path / "events"
        folder.rename(tmp_path / "moved")
        folder.touch()  # a file: nothing can be delivered, so that nothing leaves the queue
        filled = _fill(gateway)
        report = thread.submit(partial(RUDDER.run, gateway.url, calls, **QUICK))
        before = refused(gateway, "queue_full")
        while refused(gateway, "queue_full") == before:
            assert not report.done(), report.result()
        folder.unlink()
        check_delivered(gateway, RUDDER, calls, report.result(timeout=30))
        assert stored(gateway) == filled + len(calls)


SMALL_QUEUE = (
    CONFIG.replace("[queue]", "[queue]\nmax_bytes = 1_000_000\nsegment_bytes = 50_000")
    + "retry = { initial_seconds = 0.05, max_seconds = 0.1 }\n"
)


def _fill(gateway: GatewayProcess) -> int:
    """Sends events until the queue is full, and returns their number."""
    rng = random.Random(1)
    connection = HTTPConnection(urlsplit(gateway.url).netloc)
    try:
        for number in count():
            noise = rng.randbytes(20_000).hex()[:30_000]
            event = {"userId": "u", "event": "Filler", "properties": {"noise": noise}}
            authorization = {"Authorization": f"Basic {b64encode(WRITE_KEY.encode()).decode()}"}
            connection.request("POST", "/v1/track", json.dumps(event), authorization)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                assert response.status == 503
                assert int(response.headers["Retry-After"]) >= 1
                return number
        raise AssertionError
    finally:
        connection.close()


def test_large_batches_of_rudder_fit_a_source_that_allows_them(tmp_path: Path) -> None:
    """RudderStack's batches of up to 4 MB arrive if the source's limits allow them."""
    calls = [{**call, "properties": {"text": "x" * 40_000}} for call in many_calls(40)]
    limits = "max_batch_bytes = 4_500_000\nmax_event_bytes = 4_200_000\n"
    config = CONFIG.replace("[destinations", limits + "[destinations")
    with GatewayProcess(tmp_path, config) as gateway:
        report = RUDDER.run(gateway.url, calls)
        events = check_delivered(gateway, RUDDER, calls, report)
        [(_, most)] = Counter(event["sentAt"] for event in events).most_common(1)
        assert most * 40_000 > SegmentConfig().max_batch_bytes
