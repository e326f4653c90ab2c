"""A full disk, a state store that is locked or damaged, a clock that jumps: defined behaviour."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.component import BatchPolicy
from gateway.errors import BatchError, Retryable
from gateway.settings import RetryPolicy
from tests.delivering import Bench, Scripted, make_bench
from tests.process import GatewayProcess
from tests.test_why import send

CONFIG = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "demo"
[destinations.all]
type = "null"
[destinations.all.retry]
initial_seconds = 0.05
max_seconds = 0.1
"""


@pytest.fixture(name="bench")
async def _bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with make_bench(tmp_path) as bench:
        yield bench


def wait_for(gateway: GatewayProcess, what: str, seconds: float = 20) -> None:
    """Until /health says something."""
    deadline = time.monotonic() + seconds
    while what not in json.dumps(gateway.get("/health")):
        assert time.monotonic() < deadline, gateway.get("/health")
        time.sleep(0.05)


@pytest.mark.slow
def test_while_the_state_store_is_locked_events_are_taken_in_and_wait(tmp_path: Path) -> None:
    """Whoever holds the file: nothing is refused or lost, /health says it, and it recovers."""
    with GatewayProcess(tmp_path, CONFIG) as gateway:
        with closing(sqlite3.connect(tmp_path / "data" / "state.sqlite")) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(5):
                send(gateway, event="Hello", messageId=f"m{number}")
            send(gateway, event="Hello", messageId="m0")  # a duplicate, which is to be counted
            wait_for(gateway, "outcomes cannot be recorded")
            other.rollback()
        gateway.wait_delivered("all")
        wait_for(gateway, '"status": "ok", "failing": []')
        assert gateway.metric("headgate_destination_delivered_total", destination="all") == 5
        assert gateway.metric("headgate_events_duplicate_total", source="web") == 1
        assert gateway.metric("headgate_ledger_missing_events", books="sources") == 0


def test_a_damaged_state_store_stops_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    """Nothing is deleted; with the file moved away all that the queue holds is delivered again."""
    gateway = GatewayProcess(tmp_path, CONFIG)
    with gateway:
        send(gateway, event="Hello", messageId="m")
        gateway.wait_delivered("all")
    path = tmp_path / "data" / "state.sqlite"
    for other in tmp_path.glob("data/state.sqlite-*"):
        other.unlink()
    path.write_bytes(b"\xff" * 8192)
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "config.toml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{path}: file is not a database; restore the file from a copy" in done.stderr
    assert path.read_bytes() == b"\xff" * 8192
    path.rename(tmp_path / "broken.sqlite")
    with gateway:
        gateway.wait_delivered("all")
        assert gateway.metric("headgate_destination_delivered_total", destination="all") == 1
        assert "no state" in gateway.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="file size limits differ")
def test_a_full_disk_sheds_and_recovers(tmp_path: Path) -> None:
    """What cannot be stored is answered 503, what was answered 200 is delivered, and it goes on."""
    config = CONFIG.replace("[dedup]", "") + "[queue]\nsegment_bytes = 10_000_000\n"
    with GatewayProcess(tmp_path, config) as gateway:
        send(gateway, event="First", messageId="first")
        gateway.wait_delivered("all")
        # No file may grow beyond what the largest has now: the process meets EFBIG.
        largest = max(path.stat().st_size for path in (tmp_path / "data" / "queue").glob("*.seg"))
        unlimited = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (largest, unlimited[1]))
        with pytest.raises(urllib.error.HTTPError) as caught:
            send(gateway, event="Second", messageId="second", properties={"x": "y" * 5000})
        with caught.value as answer:
            assert answer.code == 503
            assert int(answer.headers["Retry-After"]) > 0
        assert gateway.get("/health")["status"] == "failing"
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, unlimited)
        send(gateway, event="Second", messageId="second")
        gateway.wait_delivered("all")
        assert gateway.get("/health")["status"] == "ok"
        assert gateway.metric("headgate_destination_delivered_total", destination="all") == 2
        assert gateway.metric("headgate_ledger_missing_events", books="sources") == 0


async def test_a_clock_that_jumps_back_keeps_no_event_waiting(bench: Bench) -> None:
    """One that waits for another try does not wait for the hour to pass again."""
    retry = RetryPolicy(initial_seconds=0.01, max_seconds=0.02)
    destination = Scripted(BatchError({0: Retryable("busy")}))
    worker = bench.worker(destination, retry=retry, policy=BatchPolicy(max_age_seconds=0))
    bench.start(worker)
    await bench.put("a")
    await bench.reaches(worker, 1)
    bench.now_ms -= 3_600_000
    await bench.put("b")
    await bench.settled(worker)
    assert sorted(destination.delivered) == ["a", "b"]


async def test_a_clock_that_jumps_ahead_gives_nothing_up(bench: Bench) -> None:
    """A day that did not pass makes no event too old, as long as it is tried again at once."""
    retry = RetryPolicy(initial_seconds=0.01, max_seconds=0.02)
    destination = Scripted(BatchError({0: Retryable("busy")}), None)
    worker = bench.worker(destination, retry=retry)
    bench.start(worker)
    await bench.put("a")
    await bench.reaches(worker, 1)
    bench.now_ms += 86_400_000
    await bench.settled(worker)
    await asyncio.sleep(0)
    assert destination.delivered == ["a"]
