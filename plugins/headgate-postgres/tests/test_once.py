"""Each event is in the tables once, through all failures."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, BatchError, Permanent, Retryable
from gateway.testing import make_event
from headgate_postgres.positions import BLOCK
from tests.support.gateway_process import GatewayProcess
from tests.support.postgres_server import PostgresServer
from tests.support.sizes import sizes
from tests.support.steady_client import RetryingClient
from tests.support.waiting import wait_until


def events(number: int, first: int = 0) -> list[Any]:
    return [
        make_event(message_id=f"{first + n:06}", event=f"event {n % 3}", properties={"n": n})
        for n in range(number)
    ]


async def ids(rows: Any, table: str = "tracks") -> list[str]:
    return [row["id"] for row in await rows(table)]


async def test_a_batch_that_is_sent_again_adds_nothing(make: Any, rows: Any, batch: Any) -> None:
    """The same offsets of a queue are written once; another queue has its own."""
    destination = await make()
    taken = events(10)
    await destination.send(batch(taken[:6]))
    await destination.send(batch(taken))
    await destination.send(batch(taken[3:5], first=3))
    assert await ids(rows) == [event.message_id for event in taken]
    await destination.send(batch(taken, queue="other"))
    assert len(await ids(rows)) == 20


async def test_two_destinations_have_positions_of_their_own(
    make: Any, rows: Any, batch: Any
) -> None:
    """Two destinations with one schema both write every event."""
    for id_ in ("one", "two"):
        await (await make(id_)).send(batch(events(3)))
    assert len(await ids(rows)) == 6


async def test_scattered_offsets_over_many_blocks(make: Any, rows: Any) -> None:
    """Positions hold any set of offsets in any order of sending."""
    destination = await make()
    rng = random.Random(5)
    offsets = rng.sample(range(5 * BLOCK), 300)
    by_offset = dict(zip(offsets, events(300), strict=True))
    for _ in range(12):
        some = rng.sample(offsets, 60)
        await destination.send(Batch([by_offset[o] for o in some], some, 1, "q"))
    await destination.send(Batch(list(by_offset.values()), offsets, 1, "q"))
    assert len(await ids(rows)) == 300


async def test_writers_at_the_same_time_do_not_get_in_each_others_way(
    make: Any, rows: Any, server: PostgresServer
) -> None:
    """Four destinations, as of four gateways, send overlapping batches that all add columns."""
    writers = [await make() for _ in range(4)]
    rng = random.Random(7)
    taken = [
        make_event(
            message_id=f"{n:06}",
            type=rng.choice(["track", "identify"]),
            event=f"event {rng.randrange(8)}",
            user_id=f"u{rng.randrange(5)}",
            properties={f"p{rng.randrange(40)}": rng.choice([1, 1.5, "x"])},
            traits={f"t{rng.randrange(40)}": rng.choice([1, 1.5, "x"])},
        )
        for n in range(400)
    ]

    async def write(writer: Any, seed: int) -> None:
        own = random.Random(seed)
        starts = [*range(0, 400, 20), *range(10, 390, 20)]
        own.shuffle(starts)
        for start in starts:
            part = Batch(taken[start : start + 20], range(start, start + 20), 1, "q")
            while True:
                try:
                    await writer.send(part)
                except Retryable:
                    continue
                break

    async with asyncio.timeout(90):
        await asyncio.gather(*[write(w, seed) for seed, w in enumerate(writers) for _ in "ab"])
    found = await ids(rows) + await ids(rows, "identifies")
    assert sorted(found) == [f"{n:06}" for n in range(400)]
    assert "deadlock" not in server.log


@contextlib.asynccontextmanager
async def proxy(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Passes on a client's bytes; once armed, cuts the connection before the answer to a COMMIT."""
    armed = asyncio.Event()
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        mute = False

        async def down() -> None:
            while data := await up_reader.read(65536):
                if mute:
                    break  # it has been committed
                writer.write(data)
            writer.close()

        task = asyncio.ensure_future(down())
        tasks.add(task)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if armed.is_set() and b"COMMIT" in data:
                    mute = True
                    armed.clear()
                up_writer.write(data)
        await task
        up_writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1], armed
    finally:
        running.close()
        for task in tasks:
            task.cancel()


async def test_an_answer_to_commit_that_is_lost_does_not_count_twice(
    make: Any, rows: Any, batch: Any, server: PostgresServer
) -> None:
    """The send fails though the events were written; the next one finds them there."""
    async with proxy(server.port) as (port, armed):
        destination = await make(dsn=f"postgresql://postgres@127.0.0.1:{port}/postgres")
        await destination.send(batch(events(3)))
        armed.set()
        with pytest.raises(Retryable):
            await destination.send(batch(events(5)[3:], first=3))
        assert len(await ids(rows)) == 5
        await destination.send(batch(events(5)))
        assert len(await ids(rows)) == 5
        await destination.stop()


async def test_a_restart_of_the_server_costs_nothing(
    make: Any, rows: Any, batch: Any, server: PostgresServer
) -> None:
    """Written events stay, and those sent meanwhile fail and are retried."""
    destination = await make()
    await destination.send(batch(events(3)))
    server.stop()
    with pytest.raises(Retryable):
        await destination.send(batch(events(6)))
    server.start()
    await destination.send(batch(events(6)))
    assert len(await ids(rows)) == 6


async def test_tables_that_are_dropped_are_made_again(
    make: Any, rows: Any, batch: Any, server: PostgresServer, schema: str
) -> None:
    """A table, column or schema that is dropped while the gateway runs is created again."""
    destination = await make()
    await destination.send(batch(events(3)))
    await server.execute(f'DROP TABLE {schema}.event_0; ALTER TABLE {schema}.event_1 DROP "n"')
    await destination.send(batch(events(3, first=3), first=3))
    assert (await ids(rows, "event_0"), (await rows("event_1"))[1]["n"]) == (["000003"], 1)
    await server.execute(f"DROP SCHEMA {schema} CASCADE")
    await destination.send(batch(events(3), first=6))
    assert len(await ids(rows)) == 3


async def test_a_column_whose_type_was_changed_by_hand_is_respected(
    make: Any, rows: Any, batch: Any, server: PostgresServer, schema: str
) -> None:
    """Values go to the column in its new type, or to _extra."""
    destination = await make()
    await destination.send(batch(events(1)))
    await server.execute(f"ALTER TABLE {schema}.event_0 ALTER n TYPE text")
    await destination.send(batch(events(1, first=1), first=1))
    assert [row["n"] for row in await rows("event_0")] == ["0", "0"]
    await server.execute(f"ALTER TABLE {schema}.event_0 ALTER n TYPE date USING null")
    await destination.send(batch(events(1, first=2), first=2))
    assert (await rows("event_0"))[2]["_extra"] == '{"n": 0}'


async def test_an_event_that_the_database_refuses_fails_alone(
    make: Any, rows: Any, batch: Any, server: PostgresServer, schema: str
) -> None:
    """The others are written once; the dead letter has PostgreSQL's message."""
    destination = await make()
    await destination.send(batch(events(3)))
    await server.execute(f"ALTER TABLE {schema}.event_1 ADD CHECK (n < 5)")
    with pytest.raises(BatchError) as raised:
        await destination.send(batch(events(9, first=3), first=3))
    assert list(raised.value.failed) == [7]
    assert isinstance(raised.value.failed[7], Permanent)
    assert "SQLSTATE 23514" in str(raised.value.failed[7])
    assert await ids(rows) == [f"{n:06}" for n in range(12) if n != 10]


CONFIG = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "demo"
[destinations.table]
type = "postgres"
dsn = "{dsn}"
schema = "{schema}"
batch = {{ max_events = 20, max_age_seconds = 0.0 }}
retry = {{ initial_seconds = 0.05, max_seconds = 0.2 }}
"""


@pytest.mark.slow
@sizes("kills", small=2, full=6)
async def test_after_kills_of_both_each_event_is_there_once(
    tmp_path: Path, server: PostgresServer, schema: str, rows: Any, kills: int
) -> None:
    """SIGKILL of the gateway and immediate stops of the server at random points under load."""
    rng = random.Random(3)
    client = RetryingClient()

    def run() -> None:
        with GatewayProcess(tmp_path, CONFIG.format(dsn=server.dsn, schema=schema)) as gateway:
            client.url = gateway.url
            thread = threading.Thread(target=client.run)
            thread.start()
            try:
                for number in range(kills):
                    goal = len(client.sent) + rng.randrange(20, 60)
                    wait_until(lambda goal=goal: len(client.sent) >= goal)
                    if number % 2:
                        server.restart()
                    else:
                        gateway.kill()
                        gateway.start()
                        client.url = gateway.url
            finally:
                client.ended = True
                thread.join(20)
            assert not thread.is_alive()
            gateway.wait_delivered("table", timeout=60)
            assert gateway.stop() == 0

    await asyncio.to_thread(run)
    for table in ("tracks", "x"):
        found = await ids(rows, table)
        assert len(found) == len(set(found))
        assert set(found) >= client.sent
    assert len(client.sent) >= 20 * kills
