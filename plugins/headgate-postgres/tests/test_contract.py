"""The contract of destinations, against a real server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import headgate_postgres
from gateway.testing import Storage, contract_scenes
from tests.support.postgres_server import PostgresServer

SCENES = [str(scene) for scene in contract_scenes(headgate_postgres, {"dsn": "x" * 8}, Storage())]
_schemas = itertools.count(1)


@pytest.mark.parametrize("scene", [*SCENES, "outage"])
def test_contract(server: PostgresServer, scene: str) -> None:
    """The destination keeps its contract, with each event in the table once, across outages."""
    schema = f"contract_{next(_schemas)}"

    async def ids() -> list[str]:
        if not await server.fetch(
            "SELECT to_regclass($1) WHERE to_regclass($1) IS NOT NULL", table
        ):
            return []
        return [row["id"] for row in await server.fetch(f"SELECT id FROM {table}")]

    def read(_: Path) -> list[str]:
        # In a thread, as the checker's own loop is running.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, ids()).result()

    @contextmanager
    def stopped(_: Path) -> Iterator[None]:
        server.stop()
        yield
        server.start()

    table = f'"{schema}".tracks'
    config = {"dsn": server.dsn, "schema": schema, "pool_size": 2}
    scenes = contract_scenes(headgate_postgres, config, Storage(read=read, outage=stopped))
    [one] = [one for one in scenes if scene in str(one)]
    one.check()
