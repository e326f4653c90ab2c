"""Errors of the database: their meaning, and no secret in any of them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from gateway import ConfigError, Destination, Misconfigured, Retryable
from gateway.testing import make_config, make_event
from headgate_postgres import PostgresConfig
from headgate_postgres.answer import Meaning, meaning_of
from tests.support.postgres_server import PostgresServer

PASSWORD = "correct-horse-battery"


def error(state: str) -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": state, "M": "said"})


@pytest.mark.parametrize(
    ("states", "meaning"),
    [
        ("08006 57P01 57P03 53100 53200 53300 55P03 57014 58030 25006 XX000", Meaning.LATER),
        ("40001 40P01", Meaning.AT_ONCE),
        ("28000 28P01 3D000 42501 42601", Meaning.SETTINGS),
        ("42P01 42703 42804 42P07 3F000 22P03", Meaning.CHANGED),
        ("22003 22021 22P02 23502 23505 23514 54000 P0001", Meaning.EVENT),
    ],
)
def test_the_sqlstate_decides(states: str, meaning: Meaning) -> None:
    """The code decides: retry, load the tables again, give up an event, or raise an alarm."""
    assert {state: meaning_of(error(state)) for state in states.split()} == dict.fromkeys(
        states.split(), meaning
    )


@pytest.fixture
async def role(server: PostgresServer, schema: str) -> str:
    """A user with no right but to log in."""
    name = f"role_{schema}"
    await server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    return name


def dsn(
    server: PostgresServer, user: str, password: str = PASSWORD, database: str = "postgres"
) -> str:
    return f"postgresql://{user}:{password}@127.0.0.1:{server.port}/{database}"


async def raised_by(destination: Destination, batch: Any) -> list[Exception]:
    """Returns the error that `send` or `check` raises."""
    found: list[Exception] = []
    for call in (destination.send(batch([make_event()])), destination.check()):
        with pytest.raises((Misconfigured, Retryable)) as raised:
            await call
        found.append(raised.value)
    return found


async def test_credentials_that_are_refused_pause(
    make: Any, batch: Any, server: PostgresServer, role: str
) -> None:
    """A wrong password is an error of settings, and is not shown."""
    with server.passwords_for(role):
        destination = await make(dsn=dsn(server, role, "wr0ng-s3cret"))
        with capture_logs() as logs:
            for found in await raised_by(destination, batch):
                assert isinstance(found, Misconfigured)
                assert "28P01" in str(found)
                assert "s3cret" not in f"{found!r} {found.__cause__!r} {logs}"
        await (await make(dsn=dsn(server, role))).stop()


async def test_a_database_that_is_missing_pauses(
    make: Any, batch: Any, server: PostgresServer
) -> None:
    """The events are kept until a person creates it."""
    destination = await make(dsn=dsn(server, "postgres", database="nowhere"))
    for found in await raised_by(destination, batch):
        assert isinstance(found, Misconfigured)
        assert 'database "nowhere" does not exist' in str(found)


async def test_a_server_that_is_down_is_tried_again(make: Any, batch: Any) -> None:
    """The destination starts anyway, and shows no part of the DSN."""
    destination = await make(dsn=f"postgresql://u:{PASSWORD}@127.0.0.1:1/x")
    for found in await raised_by(destination, batch):
        assert isinstance(found, Retryable)
        assert PASSWORD not in str(found)


async def test_check_says_what_is_missing(
    make: Any, batch: Any, server: PostgresServer, schema: str, role: str
) -> None:
    """`gateway check` lists the statements to run, and passes once they were run."""
    destination = await make(dsn=dsn(server, role))
    sending, checking = await raised_by(destination, batch)
    assert isinstance(sending, Misconfigured)
    assert "42501" in str(sending)
    made = f'CREATE SCHEMA "{schema}" AUTHORIZATION "{role}"'
    assert made in str(checking)
    await server.execute(f"CREATE SCHEMA {schema}")
    granted = f'GRANT USAGE, CREATE ON SCHEMA "{schema}" TO "{role}"'
    with pytest.raises(Misconfigured) as raised:
        await destination.check()
    assert granted in str(raised.value)
    await server.execute(granted)
    await destination.check()
    await destination.send(batch([make_event()]))
    await server.execute(f"ALTER TABLE {schema}.tracks OWNER TO postgres")
    with pytest.raises(Misconfigured, match=f'does not own "{schema}"."tracks"'):
        await destination.check()


async def test_check_changes_nothing(make: Any, server: PostgresServer, schema: str) -> None:
    """The check does not create the schema."""
    await (await make()).check()
    assert await server.fetch("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema) == []


async def test_a_lock_that_lasts_is_waited_for_later(
    make: Any, batch: Any, server: PostgresServer, schema: str
) -> None:
    """A locked table makes the events wait in the queue, not a connection."""
    destination = await make(lock_timeout_seconds=0.05)
    await destination.send(batch([make_event()]))
    db = await asyncpg.connect(server.dsn)
    try:
        async with db.transaction():
            await db.execute(f"LOCK TABLE {schema}.tracks")
            with pytest.raises(Retryable, match="55P03"):
                await destination.send(batch([make_event()], first=1))
        await destination.send(batch([make_event()], first=1))
    finally:
        await db.close()


async def test_a_send_that_is_cut_off_leaves_nothing(
    make: Any, batch: Any, server: PostgresServer, schema: str, rows: Any
) -> None:
    """A time-out of the gateway undoes the transaction, and stop() works afterwards."""
    destination = await make()
    await destination.send(batch([make_event(message_id="1")]))
    db = await asyncpg.connect(server.dsn)
    try:
        async with db.transaction():
            await db.execute(f"LOCK TABLE {schema}.headgate_positions IN SHARE MODE")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await destination.send(batch([make_event(message_id="2")], first=1))
    finally:
        await db.close()
    assert [row["id"] for row in await rows("tracks")] == ["1"]
    await destination.send(batch([make_event(message_id="2")], first=1))
    assert [row["id"] for row in await rows("tracks")] == ["1", "2"]
    await destination.stop()
    await destination.stop()


@pytest.mark.parametrize(
    "keys",
    [
        {"dsn": f"mysql://u:{PASSWORD}@h/d"},
        {"dsn": f"postgresql://u:{PASSWORD}@h:port/d"},
        {"dsn": "postgresql://h/d", "schema": "pg_mine"},
        {"dsn": "postgresql://h/d", "schema": "x" * 64},
        {"dsn": "postgresql://h/d", "columns_limit": 1601},
    ],
)
def test_settings_that_cannot_work_are_refused(keys: dict[str, Any]) -> None:
    """The error names the key and shows no secret."""
    with pytest.raises(ConfigError, match=r"^destinations\.w") as raised:
        make_config(PostgresConfig, keys, "destinations.w")
    assert PASSWORD not in str(raised.value)
    assert list(keys)[-1] in str(raised.value)
