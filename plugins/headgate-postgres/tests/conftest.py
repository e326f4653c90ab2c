"""Fixtures: a server for each test process, a schema for each test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, Event
from gateway.testing import make_config, make_context
from headgate_postgres import PostgresConfig
from headgate_postgres.destination import Postgres
from tests.support.postgres_server import PostgresServer

Make = Callable[..., Awaitable[Postgres]]
_schemas = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def schema() -> str:
    """A name that no other test of the server uses."""
    return f"t{next(_schemas)}"


@pytest.fixture
async def make(server: PostgresServer, schema: str, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes and starts destinations from the keys a user would write, and stops them."""
    made: list[Postgres] = []

    async def start(id_: str = "warehouse", **keys: Any) -> Postgres:
        table = {"dsn": server.dsn, "schema": schema, **keys}
        config = make_config(PostgresConfig, table, f"destinations.{id_}")
        destination = Postgres(config, make_context(tmp_path, id_))
        made.append(destination)
        await destination.start()
        return destination

    yield start
    for destination in made:
        await destination.stop()


@pytest.fixture
def rows(server: PostgresServer, schema: str) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """All rows of a table of the test's schema, as dicts without the columns that are null."""

    # As they were made: message-9 comes before message-10.
    async def fetch(table: str, order: str = "length(id), id") -> list[dict[str, Any]]:
        found = await server.fetch(f'SELECT * FROM "{schema}"."{table}" ORDER BY {order}')
        return [{k: v for k, v in row.items() if v is not None} for row in found]

    return fetch


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """A batch of events at successive offsets of one queue."""

    def of(events: list[Event], first: int = 0, queue: str = "q") -> Batch:
        return Batch(events, range(first, first + len(events)), 1, queue)

    return of
