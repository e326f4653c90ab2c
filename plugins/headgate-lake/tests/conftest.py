"""Fixtures: lakes, and the rows in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gateway import Batch, Event
from gateway.testing import ManualClock, make_config, make_context
from headgate_lake import Lake, LakeConfig
from headgate_lake.destination import LakeDestination

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
