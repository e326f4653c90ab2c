"""A destination that hangs or fails costs the others nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from gateway.components.destination import Batch, BatchPolicy
from gateway.errors import Retryable
from gateway.testing import Answer, FakeVendor
from gateway.testing.fake_vendor import Received
from tests.support.delivery_bench import Bench, Scripted
from tests.support.gateway_process import GatewayProcess
from tests.support.sizes import sizes

MOST_ROUNDS = 60
PHASE_SECONDS = 0.8
EVERY_SECONDS = 0.02
ON_TIME_SECONDS = 0.5
"""Half of what the bad destination makes its own sends wait for."""
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


STEADY = """
[destinations.steady]
type = "webhook"
url = "{url}"
batch = {{ max_age_seconds = 0.0 }}
"""


class Switch:
    """A receiver that works, hangs or fails, as the test says."""

    def __init__(self) -> None:
        self.answer = Answer()

    def __call__(self, _: Received) -> Answer:
        return self.answer


async def pending(gateway: GatewayProcess, destination: str) -> int:
    health = await asyncio.to_thread(gateway.get, "/health")
    return int(health["destinations"][destination]["pending_events"])


async def seconds_to_deliver(gateway: GatewayProcess, session: aiohttp.ClientSession) -> float:
    """Returns how long a round of events takes to the good destination, from its first request."""
    began = time.perf_counter()
    for _ in range(BATCHES):
        async with session.post(f"{gateway.url}/v1/batch", json=BODY) as response:
            assert response.status == 200
    while await pending(gateway, "good"):
        await asyncio.sleep(0.002)
    return time.perf_counter() - began


def crashes(batch: Batch) -> Exception | None:
    return Retryable("500") if any(e.message_id.startswith("crash") for e in batch) else None


@pytest.mark.parametrize(("number", "concurrency"), [(1, 1), (2, 1), (3, 1), (2, 8), (12, 8)])
async def test_events_that_bring_it_down_hold_up_none_behind_them(
    bench: Bench, number: int, concurrency: int
) -> None:
    """Several poison events in a row do not block the events behind them."""
    destination = Scripted(*[crashes] * 20_000)
    policy = BatchPolicy(max_events=1, max_age_seconds=0)
    worker = bench.worker(destination, policy=policy, concurrency=concurrency)
    for n in range(number):
        await bench.put(f"crash {n}")
    good = [f"good {n}" for n in range(5)]
    for name in good:
        await bench.put(name)
    bench.start(worker)
    async with asyncio.timeout(5):
        await bench.reaches(worker, number + len(good))
    assert sorted(destination.delivered) == good


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("trouble", [Answer(fault="hang"), Answer(503)], ids=["hangs", "fails"])
@sizes("rounds", small=2, full=8)
async def test_the_others_keep_their_throughput(
    tmp_path: Path, trouble: Answer, rounds: int
) -> None:
    """Beside a destination in trouble, a good one keeps at least 95 % of its speed."""
    switch = Switch()
    well: list[float] = []
    ill: list[float] = []

    def share() -> float:
        return min(well) / min(ill)

    async with FakeVendor(default=switch) as vendor, aiohttp.ClientSession(headers=AUTH) as session:
        with GatewayProcess(tmp_path, CONFIG.format(url=vendor.url)) as gateway:
            await seconds_to_deliver(gateway, session)
            while len(ill) < rounds or (share() < LEAST_SHARE and len(ill) < MOST_ROUNDS):
                switch.answer = Answer()
                while await pending(gateway, "bad"):
                    await asyncio.sleep(0.01)
                well.append(await seconds_to_deliver(gateway, session))
                switch.answer = trouble
                ill.append(await seconds_to_deliver(gateway, session))
                assert await pending(gateway, "bad") > 0
    assert share() >= LEAST_SHARE, (well, ill)


@pytest.mark.slow
async def test_the_others_get_their_events_on_time(tmp_path: Path) -> None:
    """Under a steady load, as many events arrive within half a second as without the trouble."""
    switch = Switch()
    sent: dict[str, float] = {}
    lag: dict[str, float] = {}
    troubles = [Answer(fault="hang"), Answer(503), Answer(body=b"x" * 1000, fault="stall")]

    def note(received: Received) -> Answer:
        now = time.perf_counter()
        for event in received.json()["batch"]:
            lag.setdefault(event["messageId"], now - sent[event["messageId"]])
        return Answer()

    async def phase(session: aiohttp.ClientSession, url: str, name: str) -> list[str]:
        """Sends at a fixed rate for a while, and returns the ids of the events."""
        ids = [f"{name}-{n}" for n in range(int(PHASE_SECONDS / EVERY_SECONDS))]
        began = time.perf_counter()
        for n, id_ in enumerate(ids):
            await asyncio.sleep(max(0.0, began + n * EVERY_SECONDS - time.perf_counter()))
            body = {"type": "track", "event": "Bought", "userId": "u", "messageId": id_}
            sent[id_] = time.perf_counter()
            async with session.post(f"{url}/v1/track", json=body) as response:
                assert response.status == 200
        return ids

    well: list[str] = []
    ill: list[str] = []
    async with (
        FakeVendor(default=switch) as vendor,
        FakeVendor(default=note) as other,
        aiohttp.ClientSession(headers=AUTH) as session,
    ):
        config = CONFIG.format(url=vendor.url) + STEADY.format(url=other.url)
        with GatewayProcess(tmp_path, config) as gateway:
            for number, trouble in enumerate(troubles):
                switch.answer = Answer()
                while await pending(gateway, "bad"):
                    await asyncio.sleep(0.01)
                well += await phase(session, gateway.url, f"well-{number}")
                switch.answer = trouble
                ill += await phase(session, gateway.url, f"ill-{number}")
                assert await pending(gateway, "bad") > 0
            while await pending(gateway, "steady"):
                await asyncio.sleep(0.01)
    assert lag.keys() == set(well + ill)
    on_time = [sum(lag[id_] < ON_TIME_SECONDS for id_ in ids) for ids in (well, ill)]
    assert on_time[1] >= LEAST_SHARE * on_time[0], sorted(lag.items(), key=lambda one: one[1])[-5:]
    assert on_time[0] >= LEAST_SHARE * len(well), "the machine is too busy to tell anything"
