"""One destination that hangs or fails costs the others nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import aiohttp
import pytest

from gateway.fakevendor import Received
from gateway.testing import Answer, FakeVendor
from tests.process import GatewayProcess

ROUNDS = 7
BATCHES = 60
LEAST_SHARE = 0.95
AUTH = {"Authorization": "Basic ZGVtbzo="}
CONFIG = """
[server]
port = 0
[dedup]
enabled = false
[sources.web]
type = "segment"
write_key = "demo"
[destinations.good]
type = "file"
path = "out"
fsync = false
batch = {{ max_age_seconds = 0.0 }}
[destinations.bad]
type = "webhook"
url = "{url}"
timeout_seconds = 1.0
batch = {{ max_age_seconds = 0.0 }}
retry = {{ initial_seconds = 0.05, max_seconds = 0.1 }}
"""
BODY = {
    "batch": [
        {"type": "track", "event": "Bought", "userId": f"u{n}", "properties": {"n": n}}
        for n in range(100)
    ]
}


class Switch:
    """A receiver that works, hangs or fails, as it is told."""

    def __init__(self) -> None:
        self.answer = Answer()

    def __call__(self, _: Received) -> Answer:
        return self.answer


async def pending(gateway: GatewayProcess, destination: str) -> int:
    health = await asyncio.to_thread(gateway.get, "/health")
    return int(health["destinations"][destination]["pending_events"])


async def seconds_to_deliver(gateway: GatewayProcess, session: aiohttp.ClientSession) -> float:
    """How long the good destination takes for a round of events, from the first request on."""
    began = time.perf_counter()
    for _ in range(BATCHES):
        async with session.post(f"{gateway.url}/v1/batch", json=BODY) as response:
            assert response.status == 200
    while await pending(gateway, "good"):
        await asyncio.sleep(0.002)
    return time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [Answer(fault="hang"), Answer(503)], ids=["hangs", "fails"])
async def test_the_others_keep_their_throughput(tmp_path: Path, trouble: Answer) -> None:
    """In turns with it well and in trouble, the good one keeps at least 95 % of its speed."""
    switch = Switch()
    well: list[float] = []
    ill: list[float] = []
    async with FakeVendor(default=switch) as vendor, aiohttp.ClientSession(headers=AUTH) as session:
        with GatewayProcess(tmp_path, CONFIG.format(url=vendor.url)) as gateway:
            await seconds_to_deliver(gateway, session)
            for _ in range(ROUNDS):
                switch.answer = Answer()
                while await pending(gateway, "bad"):
                    await asyncio.sleep(0.01)
                well.append(await seconds_to_deliver(gateway, session))
                switch.answer = trouble
                ill.append(await seconds_to_deliver(gateway, session))
                assert await pending(gateway, "bad") > 0
    share = statistics.median(well) / statistics.median(ill)
    assert share >= LEAST_SHARE, (well, ill)
