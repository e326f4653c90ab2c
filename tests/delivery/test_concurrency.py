"""Several sends at once to one destination."""

from __future__ import annotations

import asyncio

from gateway.components.destination import Batch, BatchPolicy
from tests.support.delivery_bench import Bench, Scripted


async def test_sends_run_side_by_side_up_to_the_limit(bench: Bench) -> None:
    """Concurrency grows with success up to its bound, and the cursor waits for the first batch."""
    release = asyncio.Event()
    under_way = most = 0

    class Slow(Scripted):
        async def send(self, batch: Batch) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            if batch[0].message_id == "first":
                await release.wait()
            else:
                await asyncio.sleep(0.001)
            under_way -= 1
            await super().send(batch)

    for n in range(20):
        await bench.put(str(n))
    destination = Slow()
    worker = bench.worker(destination, concurrency=3, policy=BatchPolicy(max_events=1))
    bench.start(worker)
    await bench.settled(worker)
    await bench.put("first")
    for n in range(8):
        await bench.put(f"later {n}")
    async with asyncio.timeout(10):
        while len(destination.delivered) < 28:
            await asyncio.sleep(0.001)
    assert worker.cursor == 20
    release.set()
    await bench.settled(worker)

    assert 2 <= most <= 3
    assert len(destination.delivered) == len(set(destination.delivered)) == 29
