"""Events a second into a PostgreSQL server on this machine, beside COPY of prepared rows.

Run it in the root of the project: ``python -m bench.cases.postgres [PASSES]``. The events are those
of `gateway.cli.demo.shop`, seeded.

The floor copies the same records to the same tables, in the same batches, each in its own
transaction. It knows neither positions nor types.
"""

from __future__ import annotations

import asyncio
import platform
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import msgspec

from bench.data import batches, fresh
from gateway import Batch, Event, Secret
from gateway.testing import make_context
from headgate_postgres import PostgresConfig
from headgate_postgres.destination import Postgres
from headgate_postgres.rows import USERS
from headgate_postgres.tables import Fitted, Table
from tests.support.postgres_server import PostgresServer

_EVENTS = 10_000
_BATCH = 2000
_PASSES = 3
_SEED = 1
Took = tuple[float, float]
"""Seconds, and seconds of processor time of this process without the server."""

_AT = "2026-11-23T14:00:00.000Z"


def _events() -> list[Event]:
    bodies = fresh(batches(_SEED, _EVENTS // 100))()
    kept = {"type", "messageId", "userId", "anonymousId", "event", "name", "category", "groupId"}
    kept |= {"previousId", "properties", "traits", "context"}
    events = []
    for sent in (item for body in bodies for item in msgspec.json.decode(body)["batch"]):
        fields = {k: v for k, v in sent.items() if k in kept}
        fields |= {"timestamp": _AT, "receivedAt": _AT, "sourceId": "web"}
        events.append(msgspec.json.decode(msgspec.json.encode(fields), type=Event))
    return list(islice(events, _EVENTS))


async def _destination(server: PostgresServer, schema: str) -> Postgres:
    config = PostgresConfig(dsn=Secret(server.dsn), schema=schema)
    destination = Postgres(config, make_context(Path.cwd(), "bench"))
    await destination.start()
    return destination


async def _deliver(destination: Postgres, parts: Sequence[list[Event]], sends: int) -> Took:
    """Returns the time that sending all parts takes, several at once."""
    waiting = list(enumerate(parts))[::-1]
    # An event keeps what a mapping has decoded, so each pass needs new events.
    for part in parts:
        for event in part:
            event.__dict__.clear()

    async def worker() -> None:
        while waiting:
            number, part = waiting.pop()
            first = number * _BATCH
            await destination.send(Batch(part, range(first, first + len(part)), 1, "q"))

    began, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*[worker() for _ in range(sends)])
    return time.perf_counter() - began, time.process_time() - worked


async def _copy(server: PostgresServer, schema: str, parts: Sequence[list[Fitted]]) -> Took:
    db = await asyncpg.connect(server.dsn, statement_cache_size=0)
    began, worked = time.perf_counter(), time.process_time()
    for part in parts:
        async with db.transaction():
            for fitted in part:
                if fitted.table != USERS:
                    await db.copy_records_to_table(
                        fitted.table,
                        schema_name=schema,
                        columns=fitted.columns,
                        records=fitted.records,
                    )
    took = time.perf_counter() - began, time.process_time() - worked
    await db.close()
    return took


class _Watched(Postgres):
    """Remembers the records of each batch for the floor."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.parts: list[list[Fitted]] = []

    async def _fitted(
        self, db: Any, events: Sequence[Event], tables: dict[str, Table]
    ) -> list[Fitted]:
        self.parts.append(await super()._fitted(db, events, tables))
        return self.parts[-1]


async def _main(server: PostgresServer, passes: int) -> None:
    events = _events()
    parts = [events[i : i + _BATCH] for i in range(0, len(events), _BATCH)]
    config = PostgresConfig(dsn=Secret(server.dsn), schema="warm")
    watched = _Watched(config, make_context(Path.cwd(), "bench"))
    await watched.start()
    await _deliver(watched, parts, 1)
    took: dict[str, list[Took]] = {"floor": [], "one send at a time": [], "four sends": []}
    for number in range(passes):
        took["floor"].append(await _copy(server, "warm", watched.parts))
        for name, sends in (("one send at a time", 1), ("four sends", 4)):
            destination = await _destination(server, f"s{number}_{sends}")
            # The tables exist, as on every day but the first.
            await destination.send(Batch(events, range(len(events)), 1, "first"))
            took[name].append(await _deliver(destination, parts, sends))
            await destination.stop()
    await watched.stop()
    (version,) = (await server.fetch("SHOW server_version"))[0]
    print(
        f"CPython {platform.python_version()}, PostgreSQL {version}, asyncpg {asyncpg.__version__}"
    )
    print(f"{len(events):,} events, batches of {_BATCH}, median of {passes} pass(es)")
    for name, measured in took.items():
        wall, cpu = (median(seconds) for seconds in zip(*measured, strict=True))
        rate, each = len(events) / wall, cpu / len(events) * 1e6
        print(f"{name:20} {rate:>8,.0f} events/s {each:>6,.0f} us of CPU an event")


if __name__ == "__main__":
    with PostgresServer(fsync=True) as running:
        asyncio.run(_main(running, int(sys.argv[1]) if sys.argv[1:] else _PASSES))
