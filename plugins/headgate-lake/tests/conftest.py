"""Fixtures: lakes, and the rows in them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gateway import Batch, Event
from gateway.testing import ManualClock, make_config, make_context
from headgate_lake import Lake, LakeConfig
from headgate_lake.destination import LakeDestination

_WATCH = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(3)), daemon=True).start()
"""

_SERVE = "from gateway.cli import main; main()"

Make = Callable[..., Awaitable[LakeDestination]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the test's lake."""
    return tmp_path / "lake"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def make(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Make]:
    """Makes and starts destinations from the keys a user would write, and stops them."""
    made: list[LakeDestination] = []

    async def start(shard: int = 0, **keys: Any) -> LakeDestination:
        config = make_config(LakeConfig, {"path": "lake", **keys}, "destinations.lake")
        context = make_context(tmp_path, "lake", clock=clock)
        if shard:
            data_dir = context.data_dir / f"worker-{shard}"
            context = replace(context, shard=shard, data_dir=data_dir)
        destination = LakeDestination(config, context)
        made.append(destination)
        await destination.start()
        return destination

    yield start
    for destination in made:
        await destination.stop()


@pytest.fixture
def rows(folder: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Reads columns of all events in the lake, sorted."""

    def read(columns: str = "message_id") -> list[tuple[Any, ...]]:
        paths = [str(path) for path in Lake.open(folder).paths()]
        if not paths:
            return []
        with duckdb.cursor() as db:  # of the one engine that all tests read with
            db.execute("SET TimeZone = 'UTC'")
            return db.execute(
                f"SELECT {columns} FROM read_parquet($1) ORDER BY ALL", [paths]
            ).fetchall()

    return read


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """Makes a batch of a queue."""

    def make_one(events: list[Event], first: int = 0, queue_id: str = "queue-a") -> Batch:
        return Batch(tuple(events), range(first, first + len(events)), queue_id=queue_id)

    return make_one


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts Python programs; they end with the test, and also if its process dies."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin_one(program: str, *given: object, quiet: bool = False) -> subprocess.Popen[bytes]:
        out = subprocess.DEVNULL if quiet else None
        command = [sys.executable, "-c", _WATCH + program, *map(str, given)]
        one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out)
        begun.append(one)
        return one

    yield begin_one
    for one in begun:
        one.kill()
        one.communicate()


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for what another process does, which has to go on meanwhile."""

    def wait(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait


@pytest.fixture
def serve(
    tmp_path: Path, begin: Callable[..., subprocess.Popen[bytes]], until: Callable[..., None]
) -> Callable[[Path], tuple[subprocess.Popen[bytes], str]]:
    """Starts a gateway with a config whose `data_dir` is ``data``; returns it and its address."""
    address = tmp_path / "data" / "server.json"

    def start(config: Path) -> tuple[subprocess.Popen[bytes], str]:
        address.unlink(missing_ok=True)
        gateway = begin(_SERVE, "serve", "--config", config, quiet=True)
        until(lambda: address.exists() and address.read_bytes().endswith(b"}"), gateway)
        return gateway, json.loads(address.read_bytes())["url"]

    return start
