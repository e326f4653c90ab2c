"""A full disk, a locked or damaged state store and clocks that jump have defined results."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from gateway.components.destination import BatchPolicy
from gateway.config.settings import RetryPolicy
from gateway.errors import BatchError, Retryable
from gateway.queue.disk import DiskConfig
from gateway.testing import Answer, FakeVendor
from gateway.testing.fake_vendor import Received
from tests.support.delivery_bench import Bench, Scripted
from tests.support.disk_store import open_store
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import send_track

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


@pytest.fixture(scope="module")
def used_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a gateway that has delivered one event and stopped."""
    folder = tmp_path_factory.mktemp("used")
    with GatewayProcess(folder, CONFIG) as gateway:
        send_track(gateway, event="Hello", messageId="m")
        gateway.wait_delivered("all")
        assert gateway.stop() == 0
    return folder / "data"


@pytest.fixture
def used(tmp_path: Path, used_data: Path) -> GatewayProcess:
    """A stopped gateway with that data directory."""
    gateway = GatewayProcess(tmp_path, CONFIG)
    shutil.copytree(used_data, tmp_path / "data")
    return gateway


def wait_for(gateway: GatewayProcess, what: str, seconds: float = 20) -> None:
    """Waits until /health reports a value."""
    deadline = time.monotonic() + seconds
    while what not in json.dumps(gateway.get("/health")):
        assert time.monotonic() < deadline, gateway.get("/health")
        time.sleep(0.05)


def serve_to_its_end(folder: Path) -> tuple[int, str]:
    """Starts a gateway that fails to start; returns its exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "config.toml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_while_the_state_store_is_locked_events_are_taken_in_and_wait(tmp_path: Path) -> None:
    """While the file is locked, no event is refused or lost; /health reports it; it recovers."""
    with GatewayProcess(tmp_path, CONFIG) as gateway:
        with closing(sqlite3.connect(tmp_path / "data" / "state.sqlite")) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(5):
                send_track(gateway, event="Hello", messageId=f"m{number}")
            # A duplicate is counted too.
            send_track(gateway, event="Hello", messageId="m0")
            wait_for(gateway, "outcomes cannot be recorded")
            other.rollback()
        gateway.wait_delivered("all")
        wait_for(gateway, '"status": "ok", "failing": []')
        assert gateway.metric("headgate_destination_delivered_total", destination="all") == 5
        assert gateway.metric("headgate_events_duplicate_total", source="web") == 1
        assert gateway.metric("headgate_ledger_missing_events", books="sources") == 0


def test_a_damaged_state_store_stops_the_start_and_says_what_to_do(used: GatewayProcess) -> None:
    """A damaged file is kept; once it is moved away, the whole queue is delivered again."""
    path = used.folder / "data" / "state.sqlite"
    for other in path.parent.glob("state.sqlite-*"):
        other.unlink()
    path.write_bytes(b"\xff" * 8192)
    code, said = serve_to_its_end(used.folder)
    assert code == 2
    assert f"{path}: file is not a database; restore the file from a copy" in said
    assert path.read_bytes() == b"\xff" * 8192
    path.rename(used.folder / "broken.sqlite")
    with used as gateway:
        gateway.wait_delivered("all")
        assert gateway.metric("headgate_destination_delivered_total", destination="all") == 1
        assert "no state" in gateway.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("first", "stop"), [(100, 4096), (4096, None)], ids=["tables", "contents"])
def test_damage_inside_the_state_store_stops_the_start(
    used: GatewayProcess, first: int, stop: int | None
) -> None:
    """Damage behind a good header stops the start; the file is named and left as it is."""
    path = used.folder / "data" / "state.sqlite"
    data = bytearray(path.read_bytes())
    end = stop or len(data)
    data[first:end] = b"\xa5" * (end - first)
    path.write_bytes(data)
    code, said = serve_to_its_end(used.folder)
    assert code == 2
    assert f"{path}: database disk image is malformed" in said
    assert "restore the file from a copy" in said
    assert path.read_bytes() == data


@pytest.mark.slow
def test_a_state_store_that_is_locked_stops_the_start_and_is_left_alone(
    used: GatewayProcess,
) -> None:
    """A locked file is not called damaged, and a later start succeeds."""
    path = used.folder / "data" / "state.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        code, said = serve_to_its_end(used.folder)
        other.rollback()
    assert code == 2
    assert f"{path}: database is locked" in said
    assert "move it away" not in said
    with used as gateway:
        gateway.wait_delivered("all")
        assert gateway.metric("headgate_destination_delivered_total", destination="all") == 1


@pytest.mark.slow
async def test_a_full_queue_sheds_until_the_destination_works_again(tmp_path: Path) -> None:
    """At queue.max_bytes events are refused, no accepted event is lost, and delivery goes on."""
    config = CONFIG.replace('"null"', '"webhook"\nurl = "{url}"\nbatch.max_age_seconds = 0')
    config += "[queue]\nmax_bytes = 1_000_000\nsegment_bytes = 100_000\n"
    rng = random.Random(1)
    accepted: list[str] = []
    taken: set[str] = set()
    well = False

    def vendor_answer(received: Received) -> Answer:
        if not well:
            return Answer(503)
        taken.update(event["messageId"] for event in received.json()["batch"])
        return Answer()

    async with FakeVendor(default=vendor_answer) as vendor:
        with GatewayProcess(tmp_path, config.replace("{url}", vendor.url)) as gateway:

            def fill(most: int) -> urllib.error.HTTPError | None:
                for _ in range(most):
                    name = f"m{len(accepted)}"
                    pad = rng.randbytes(12_000).hex()
                    try:
                        send_track(gateway, event="Big", messageId=name, properties={"pad": pad})
                    except urllib.error.HTTPError as error:
                        return error
                    accepted.append(name)
                return None

            refused = await asyncio.to_thread(fill, 200)
            assert refused is not None
            with refused:
                assert refused.code == 503
                assert int(refused.headers["Retry-After"]) > 0
            health = await asyncio.to_thread(gateway.get, "/health")
            assert health["status"] == "failing"
            assert "queue.max_bytes = 1000000" in json.dumps(health["failing"])
            well = True
            await asyncio.to_thread(gateway.wait_delivered, "all")
            await asyncio.to_thread(wait_until_taken, gateway)
            assert (await asyncio.to_thread(gateway.get, "/health"))["status"] == "ok"
            await asyncio.to_thread(gateway.wait_delivered, "all")
    assert len(accepted) > 20
    assert taken == {*accepted, "last"}


def wait_until_taken(gateway: GatewayProcess) -> None:
    """Sends an event again and again, as clients do, until the queue has room for it."""
    deadline = time.monotonic() + 20
    while True:
        try:
            send_track(gateway, event="Last", messageId="last")
        except urllib.error.HTTPError as error:
            error.close()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="file size limits differ")
def test_a_full_disk_sheds_and_recovers(tmp_path: Path) -> None:
    """Events that cannot be stored get a 503, those with a 200 are delivered, and it recovers."""
    config = CONFIG.replace("[dedup]", "") + "[queue]\nsegment_bytes = 10_000_000\n"
    with GatewayProcess(tmp_path, config) as gateway:
        send_track(gateway, event="First", messageId="first")
        gateway.wait_delivered("all")
        # No file may grow beyond what the largest has now: the process meets EFBIG.
        largest = max(path.stat().st_size for path in (tmp_path / "data" / "queue").glob("*.seg"))
        unlimited = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (largest, unlimited[1]))
        with pytest.raises(urllib.error.HTTPError) as caught:
            send_track(gateway, event="Second", messageId="second", properties={"x": "y" * 5000})
        with caught.value as answer:
            assert answer.code == 503
            assert int(answer.headers["Retry-After"]) > 0
        assert gateway.get("/health")["status"] == "failing"
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, unlimited)
        send_track(gateway, event="Second", messageId="second")
        gateway.wait_delivered("all")
        assert gateway.get("/health")["status"] == "ok"
        assert gateway.metric("headgate_destination_delivered_total", destination="all") == 2
        assert gateway.metric("headgate_ledger_missing_events", books="sources") == 0


async def test_a_clock_that_jumps_back_keeps_no_event_waiting(bench: Bench) -> None:
    """A waiting event is tried again without waiting for the hour to pass twice."""
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
    """A jump of a day makes no event too old if it is tried again at once."""
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


async def test_a_clock_that_jumps_back_keeps_no_destination_shut_off(bench: Bench) -> None:
    """The circuit uses a monotonic clock, so the probe is sent when it is due."""
    retry = RetryPolicy(initial_seconds=0.01, max_seconds=0.02)
    destination = Scripted(*[Retryable("down")] * 5)
    worker = bench.worker(destination, retry=retry)
    bench.start(worker)
    await bench.put("a", "b")
    await destination.called.wait()
    bench.now_ms -= 3_600_000
    await bench.settled(worker)
    assert destination.delivered == ["a", "b"]
    assert not worker.counts.dead


async def test_an_outage_after_the_clock_jumped_back_makes_no_dead_letters(bench: Bench) -> None:
    """A waiting event is not blamed because of deliveries at a later time of day."""
    retry = RetryPolicy(initial_seconds=0.001, max_seconds=0.002, max_attempts=4)
    down = [Retryable("down")] * 30
    destination = Scripted(None, BatchError({0: Retryable("busy")}), *down)
    worker = bench.worker(destination, retry=retry, policy=BatchPolicy(max_age_seconds=0))
    bench.start(worker)
    await bench.put("a")
    await bench.settled(worker)
    bench.now_ms -= 3_600_000
    await bench.put("b")
    await bench.settled(worker)
    assert worker.counts.dead == {}
    assert destination.delivered == ["a", "b"]


def test_retention_goes_by_the_clock_as_it_is(tmp_path: Path) -> None:
    """A clock set back by an hour removes nothing early, and delays removal by an hour at most."""
    hour_ms = 3_600_000
    now_ms = 100 * hour_ms
    config = DiskConfig(segment_bytes=4096, retention_hours=1)
    store = open_store(tmp_path, config, lambda: now_ms)
    pad = random.Random(1).randbytes(1000).hex()
    for number in range(20):
        if number == 10:
            now_ms -= hour_ms
        store.write([json.dumps([{"n": number, "pad": pad}]).encode()], [1], sync=True)
    assert store.release(20, now_ms + hour_ms // 2) == 0
    assert store.release(20, now_ms + 2 * hour_ms) == 0
    assert store.release(20, now_ms + 2 * hour_ms + 1) > 10
    assert store.status().end == 20
    store.close()
