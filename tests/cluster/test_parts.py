"""Restart delays, listeners, and announced ids of several workers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from gateway.cluster import dedup_sync
from gateway.cluster.dedup_sync import Announcer, ids_socket, learning_ids
from gateway.cluster.listeners import bound, served_by
from gateway.cluster.restarts import Restarts
from gateway.cluster.shards import _is_orphaned, alone, socket_folder
from gateway.config.load import load
from gateway.config.settings import QueueSettings, ServerConfig
from gateway.errors import GatewayError, QueueError
from gateway.events.event import Event, encode_events
from gateway.intake.dedup import RecentIds
from gateway.queue.batching import BatchingQueue
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.runtime.plugins import discover
from gateway.server.app import listen


def test_a_worker_that_crashes_again_waits_longer() -> None:
    """The first restart is immediate; later delays double up to the bound, with jitter."""
    restarts = Restarts(random.Random(1))
    restarts.started(0.0)
    assert restarts.delay_seconds(1.0) == 0.0
    delays = [restarts.delay_seconds(1.0) for _ in range(40)]
    assert all(0 <= delay <= min(30.0, 0.5 * 2**n) for n, delay in enumerate(delays))
    assert max(delays[:3]) <= 2.0 < 10.0 < max(delays)
    assert len(set(delays)) == 40


def test_a_steady_run_is_forgiven() -> None:
    """After a minute without a crash the next restart is immediate again."""
    restarts = Restarts(random.Random(1))
    for _ in range(10):
        restarts.delay_seconds(1.0)
    restarts.started(100.0)
    assert restarts.delay_seconds(159.0) > 0.0
    restarts.started(200.0)
    assert restarts.delay_seconds(260.0) == 0.0


def test_the_sockets_of_those_that_are_down_are_served_by_the_others() -> None:
    """The other workers accept from the socket of a worker that is down."""
    assert [served_by(n, {0, 1, 2}, 3) for n in range(3)] == [[0], [1], [2]]
    assert [served_by(n, {0, 2}, 3) for n in (0, 2)] == [[0, 1], [1, 2]]
    assert [served_by(n, {0, 1}, 1) for n in range(2)] == [[0], [0]]


@pytest.mark.parametrize(("balanced", "number"), [(True, 3), (False, 1)])
def test_all_sockets_are_of_one_port(balanced: bool, number: int) -> None:
    """Each worker has a socket if the kernel spreads connections; else all share one."""
    with bound(ServerConfig(port=0), 3, balanced=balanced) as sockets:
        assert len(sockets) == number
        assert len({one.getsockname() for one in sockets}) == 1


def test_a_port_that_is_taken_is_refused() -> None:
    """A taken port is refused, even if its owner is another gateway with shared sockets."""
    with bound(ServerConfig(port=0), 2) as sockets:
        port = sockets[0].getsockname()[1]
        sockets[0].listen()
        taken = pytest.raises(GatewayError, match="cannot listen on")
        with taken, bound(ServerConfig(port=port), 2):
            pass
        with pytest.raises(GatewayError, match=r"server\.port"):
            listen(ServerConfig(port=port))


def test_sockets_have_room_for_their_names(tmp_path: Path) -> None:
    """Sockets of a long data directory lie elsewhere, and only the own user can open them."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    for data_dir in (tmp_path, deep):
        with socket_folder(data_dir) as folder:
            assert len(str(folder / "63.view")) < 104
            assert folder.stat().st_mode & 0o777 == 0o700
        assert not folder.exists()


@pytest.mark.parametrize("shards", [[0], [0, 1]])
async def test_a_second_gateway_leaves_the_sockets_of_the_first(
    tmp_path: Path, shards: list[int]
) -> None:
    """The lock of the data directory decides, before any socket is removed."""
    (tmp_path / "config.toml").write_text('[server]\nport = 0\n[queue]\ntype = "memory"\n')
    config, registry = load(tmp_path / "config.toml"), discover()
    async with alone(config, registry, shards):
        sockets = sorted((config.shared_dir / "sockets").iterdir())
        with pytest.raises(GatewayError, match="in use by another gateway"):
            async with alone(config, registry, shards):
                pass
        assert sorted((config.shared_dir / "sockets").iterdir()) == sockets
        assert len(sockets) == (3 if shards == [0] else 4)
    assert not (config.shared_dir / "sockets").exists()


def test_whoever_serves_a_folder_has_ended_or_not(tmp_path: Path) -> None:
    """A process that has ended serves nothing, even before its parent collects its exit code."""
    said = tmp_path / "server.json"
    said.write_text(json.dumps({"pid": os.getpid()}))
    assert not _is_orphaned(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        said.write_text(json.dumps({"pid": ended.pid}))
        assert _is_orphaned(tmp_path)
    assert _is_orphaned(tmp_path)
    said.unlink()
    assert not _is_orphaned(tmp_path)


class Told:
    """A queue that announces its ids to one peer, as intake uses it."""

    def __init__(self, folder: Path, max_pending_bytes: int = 1000) -> None:
        store = MemoryStore(MemoryConfig(), lambda: 0)
        settings = QueueSettings(type="memory", max_pending_bytes=max_pending_bytes)
        self.queue = BatchingQueue(store, settings, structlog.get_logger())
        self.recent = RecentIds(1000, 1000)
        self.peer = ids_socket(folder, 1)
        self.announcer = Announcer(self.queue, [self.peer], lambda: 0)
        self.recent.watcher = self.announcer

    async def store(self, *ids: str) -> None:
        events = made(*ids)
        assert self.recent.take_all("web", events, 0)
        try:
            await self.queue.put(events, encode_events(events))
        except QueueError:
            self.recent.forget("web", events)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.queue.start()
        running = asyncio.create_task(self.announcer.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})
            await self.queue.stop()
        assert running.cancelled()


def made(*ids: str) -> list[Event]:
    return [Event(type="track", message_id=id_, source_id="web") for id_ in ids]


async def knows(recent: RecentIds, *ids: str) -> None:
    async with asyncio.timeout(10):
        while len(recent) < len(ids):
            await asyncio.sleep(0)
    assert recent.take_new("web", made(*ids), 0) == []
    assert len(recent.take_new("app", made(*ids), 0)) == len(ids), "of their source alone"


async def test_what_one_stores_the_others_know(tmp_path: Path) -> None:
    """Stored ids are duplicates at other workers, also at those that start or reconnect later."""
    told = Told(tmp_path)
    async with told.running():
        await told.store("a", "b")
        recent = RecentIds(1000, 1000)
        async with learning_ids(told.peer, recent, lambda: 0):
            await told.store("c")
            await knows(recent, "a", "b", "c")
        fresh = RecentIds(1000, 1000)
        async with learning_ids(told.peer, fresh, lambda: 0):
            await told.store("d")
            await knows(fresh, "a", "b", "c", "d")


async def test_what_was_not_stored_is_never_told(tmp_path: Path) -> None:
    """A resend of an event that was not stored is accepted by every worker."""
    told = Told(tmp_path, max_pending_bytes=300)
    async with told.running():
        recent = RecentIds(1000, 1000)
        async with learning_ids(told.peer, recent, lambda: 0):
            refused = [f"refused {number}" for number in range(50)]
            await asyncio.gather(told.store("a"), told.store(*refused))
            await told.store("b")
            await knows(recent, "a", "b")
            assert recent.take_new("web", made("refused 1"), 0) != []
        assert told.recent.take_new("web", made("refused 1"), 0) != []


async def test_what_was_stored_before_a_crash_is_told_after_it(tmp_path: Path) -> None:
    """A worker that starts announces the ids of the last seconds in its queue."""
    told = Told(tmp_path)
    told.recent.watcher = None  # it died before it could tell
    recent = RecentIds(1000, 1000)
    await told.queue.start()
    await told.store("a", "b")
    async with learning_ids(told.peer, recent, lambda: 0):
        running = asyncio.create_task(told.announcer.run())
        await knows(recent, "a", "b")
        running.cancel()
        await asyncio.wait({running})
    await told.queue.stop()


async def test_what_is_held_for_late_comers_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond MOST_HELD_IDS the oldest ids are dropped."""
    monkeypatch.setattr(dedup_sync, "MOST_HELD_IDS", 3)
    told = Told(tmp_path)
    for number in range(5):
        await told.announcer._announce([("web", {f"{number}a", f"{number}b"})])
    assert told.announcer._held_ids <= 3
    assert len(told.announcer._held) == 1


def test_ids_that_others_stored_are_bounded_too() -> None:
    """Learned ids count towards the bound like own ones."""
    recent = RecentIds(1000, 10)
    for number in range(100):
        recent.learn("web", [f"{number}a", f"{number}b"], 0)
        assert len(recent) <= 10
