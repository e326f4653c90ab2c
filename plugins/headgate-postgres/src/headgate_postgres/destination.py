"""The destination: writes a batch in one transaction, with the positions of its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from gateway import (
    Batch,
    BatchError,
    Context,
    DeliveryError,
    Destination,
    Event,
    Mask,
    Permanent,
    Retryable,
)
from headgate_postgres import catalog, positions, probe
from headgate_postgres.answer import Meaning, error_of, meaning_of
from headgate_postgres.config import PostgresConfig, secrets_of
from headgate_postgres.layout import rows_by_table
from headgate_postgres.rows import OWN_TABLES, POSITIONS, USERS, Row
from headgate_postgres.tables import Fitted, Table, fit
from headgate_postgres.upsert import upsert

__all__ = ["Postgres"]

_TRIES = 4
_STOP_SECONDS = 3.0
_ERRORS = (
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError),
    # Raised by the driver's encoders if the type of a column has changed.
    *(ArithmeticError, AttributeError, TypeError, ValueError),
)


class _Overtaken(Exception):
    """Another send has delivered some of the same events meanwhile."""


class Postgres(Destination):
    """Writes events to typed tables."""

    def __init__(self, config: PostgresConfig, context: Context) -> None:
        self._config = config
        self._id = context.id
        self._mask = Mask(secrets_of(config))
        self._pool: Any = None
        self._tables: dict[str, Table] | None = None
        self._fixed: dict[str, set[str]] = {}
        self._growing = asyncio.Lock()

    async def start(self) -> None:
        """Creates the pool, which connects on the first send.

        So the gateway starts even if the database is down.
        """
        config = self._config
        self._pool = asyncpg.create_pool(
            config.dsn.reveal(),
            min_size=0,
            max_size=config.pool_size,
            timeout=config.connect_timeout_seconds,
            # Tables can change during a connection, and a pooler can switch the server process.
            statement_cache_size=0,
        )
        await self._pool

    async def stop(self) -> None:
        """Closes the connections."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()
            except BaseException:
                pool.terminate()
                raise

    async def send(self, batch: Batch) -> None:
        """Writes the events that are not in the tables yet.

        Raises:
            Retryable: the server cannot be reached, is stopping or full, or locks last too long.
            Misconfigured: credentials, database, rights or schema are wrong.
            BatchError: the database refuses these events; all others are written.
        """
        failed: dict[int, DeliveryError] = {}
        await self._deliver(batch, range(len(batch)), failed)
        if failed:
            raise BatchError(failed)

    async def check(self) -> None:
        """Connects, and reports all rights that are missing to write to the schema."""
        try:
            async with self._connection() as db:
                await probe.check(db, self._config.schema)
        except _ERRORS as error:
            raise error_of(error, self._mask) from None

    # -- a batch -------------------------------------------------------------

    async def _deliver(
        self, batch: Batch, places: Sequence[int], failed: dict[int, DeliveryError]
    ) -> None:
        """Writes the events at these places; halves them until the refused ones are found."""
        try:
            await self._write_with_retries(batch, places)
        except Permanent as error:
            if len(places) == 1:
                failed[places[0]] = error
                return
            middle = len(places) // 2
            await self._deliver(batch, places[:middle], failed)
            await self._deliver(batch, places[middle:], failed)

    async def _write_with_retries(self, batch: Batch, places: Sequence[int]) -> None:
        """Writes, and tries again at once after conflicts and changes of the tables."""
        for left in reversed(range(_TRIES)):
            try:
                await self._write(batch, places)
            except _Overtaken:
                continue
            except _ERRORS as error:
                meaning = meaning_of(error)
                if meaning is Meaning.CHANGED:
                    self._tables = None
                if left and meaning in (Meaning.AT_ONCE, Meaning.CHANGED):
                    continue
                # Without the cause: the traceback of the driver may quote rows and the DSN.
                raise error_of(error, self._mask) from None
            return
        raise Retryable("other sends keep writing some of the same events")

    async def _write(self, batch: Batch, places: Sequence[int]) -> None:
        config = self._config
        async with self._connection() as db:
            # Another send can reset them at any time; this one continues with its copy.
            tables = self._tables or await self._load(db)
            offsets = [batch.offsets[place] for place in places]
            there = await positions.delivered(db, config.schema, self._id, batch.queue_id, offsets)
            todo = [p for p in places if batch.offsets[p] not in there]
            if not todo:
                return
            fitted = await self._fitted(db, [batch.events[place] for place in todo], tables)
            async with self._transaction(db):
                for part in fitted:
                    await self._insert(db, part)
                claimed = [batch.offsets[place] for place in todo]
                if not await positions.claim(db, config.schema, self._id, batch.queue_id, claimed):
                    raise _Overtaken

    async def _insert(self, db: Any, part: Fitted) -> None:
        if part.table != USERS:
            await db.copy_records_to_table(
                part.table,
                schema_name=self._config.schema,
                columns=part.columns,
                records=part.records,
                timeout=self._config.statement_timeout_seconds,
            )
            return
        await db.executemany(upsert(self._config.schema, part.columns), part.records)

    # -- rows ----------------------------------------------------------------

    async def _fitted(
        self, db: Any, events: Sequence[Event], tables: dict[str, Table]
    ) -> list[Fitted]:
        """Returns the rows of events by table, after adding missing tables and columns."""
        rows = await asyncio.to_thread(rows_by_table, events, self._config, tables)
        fitted = await asyncio.to_thread(self._fit, rows, tables)
        if all(part.complete for part in fitted):
            return fitted
        async with self._growing:
            grown = await self._grow(db, rows)
            if self._tables is not None:
                self._tables = {**self._tables, **grown}
        return await asyncio.to_thread(self._fit, rows, {**tables, **grown})

    def _fit(self, rows: Mapping[str, list[Row]], tables: Mapping[str, Table]) -> list[Fitted]:
        """Fits rows to their tables, ordered by name, as all writers lock them in that order."""
        limit = self._config.columns_limit
        return [
            fit(name, rows[name], tables.get(name), limit, self._fixed.get(name, ()))
            for name in sorted(rows)
        ]

    # -- the schema ----------------------------------------------------------

    async def _load(self, db: Any) -> dict[str, Table]:
        """Returns the existing tables, and creates those that must exist."""
        schema = self._config.schema
        async with self._growing:
            if self._tables is not None:
                return self._tables
            tables = await catalog.load(db, schema)
            if not tables.keys() >= {*OWN_TABLES, POSITIONS}:
                async with self._transaction(db):
                    await catalog.lock(db, schema)
                    await catalog.create(db, schema)
                    tables = await catalog.load(db, schema)
            probe.require_ours(tables, schema)
            self._fixed.clear()
            self._tables = tables
            return tables

    async def _grow(self, db: Any, rows: Mapping[str, list[Row]]) -> dict[str, Table]:
        """Adds, under the lock, what rows still lack; returns the new state of the tables."""
        schema, names = self._config.schema, list(rows)
        async with self._transaction(db):
            await catalog.lock(db, schema)
            now = await catalog.load(db, schema, names)
            wanted = [part for part in self._fit(rows, now) if not part.complete]
            fixed = await catalog.grow(db, schema, wanted, self._config.widen_max_bytes)
            after = await catalog.load(db, schema, names)
        for table, column in fixed:
            self._fixed.setdefault(table, set()).add(column)
        return after

    # -- connections ---------------------------------------------------------

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        if self._pool is None:
            raise RuntimeError("send() needs start() first")
        async with self._pool.acquire() as db:
            yield db

    @asynccontextmanager
    async def _transaction(self, db: Any) -> AsyncIterator[None]:
        config = self._config
        async with db.transaction():
            # An event counts as delivered only if COMMIT waits for the disk.
            await db.execute(
                f"SET LOCAL statement_timeout = {round(config.statement_timeout_seconds * 1000)}; "
                f"SET LOCAL lock_timeout = {round(config.lock_timeout_seconds * 1000)}; "
                "SELECT set_config('synchronous_commit', 'on', true) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
            yield
