"""The destination: a batch is one transaction, with the positions of its events."""

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
    Rehearsal,
    Retryable,
)
from headgate_postgres import catalog, positions, probe
from headgate_postgres.answer import Meaning, error_of, meaning_of
from headgate_postgres.config import PostgresConfig, secrets_of
from headgate_postgres.names import quoted
from headgate_postgres.rows import EXTRA, OWN_TABLES, POSITIONS, USERS, Row, rows_of, users_of
from headgate_postgres.tables import Fitted, Table, fit

__all__ = ["Postgres"]

_TRIES = 4
_STOP_SECONDS = 3.0
_ERRORS = (
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError),
    # From the driver's encoders, where a column is no longer of the type that we know.
    *(ArithmeticError, AttributeError, TypeError, ValueError),
)


class _Overtaken(Exception):
    """Another send delivered some of the same events meanwhile."""


class Postgres(Destination):
    """Writes events to typed tables."""

    def __init__(self, config: PostgresConfig, context: Context) -> None:
        self._config = config
        self._id = context.id
        self._mask = Mask(secrets_of(config))
        self._rehearsal = context.rehearsal
        if self._rehearsal is not None:
            self._rehearsal.hide(secrets_of(config))
        self._pool: Any = None
        self._tables: dict[str, Table] | None = None
        self._fixed: dict[str, set[str]] = {}
        self._growing = asyncio.Lock()

    async def start(self) -> None:
        """Make the pool; it connects when there is something to send.

        A database that is down does not keep the gateway from starting.
        """
        if self._rehearsal is not None:
            return
        config = self._config
        self._pool = asyncpg.create_pool(
            config.dsn.reveal(),
            min_size=0,
            max_size=config.pool_size,
            timeout=config.connect_timeout_seconds,
            # Tables change while we are connected, and a pooler may hand us another server process.
            statement_cache_size=0,
        )
        await self._pool

    async def stop(self) -> None:
        """Close the connections."""
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
        """Write the events that are not there yet.

        Raises:
            Retryable: the server cannot be reached, is stopping or out of room, or locks last.
            Misconfigured: credentials, database, rights or schema are not as they must be.
            BatchError: the database refuses these events; all others were written.
        """
        if self._rehearsal is not None:
            self._rehearse(batch, self._rehearsal)
            return
        failed: dict[int, DeliveryError] = {}
        await self._deliver(batch, range(len(batch)), failed)
        if failed:
            raise BatchError(failed)

    async def check(self) -> None:
        """Connect, and say all that the user lacks to write to the schema."""
        try:
            async with self._connection() as db:
                await probe.check(db, self._config.schema)
        except _ERRORS as error:
            raise error_of(error, self._mask) from None

    def _rehearse(self, batch: Batch, rehearsal: Rehearsal) -> None:
        """Note down the rows, as they are where each of their values has a column."""
        for rows in self._rows(batch.events, {}).values():
            for row in rows:
                extra = {EXTRA: row.extra} if row.extra else {}
                rehearsal.write(f"table {self._config.schema}.{row.table}", row.values | extra)

    # -- a batch -------------------------------------------------------------

    async def _deliver(
        self, batch: Batch, places: Sequence[int], failed: dict[int, DeliveryError]
    ) -> None:
        """Write the events at these places, in halves where the database refuses one of them."""
        try:
            await self._insist(batch, places)
        except Permanent as error:
            if len(places) == 1:
                failed[places[0]] = error
                return
            middle = len(places) // 2
            await self._deliver(batch, places[:middle], failed)
            await self._deliver(batch, places[middle:], failed)

    async def _insist(self, batch: Batch, places: Sequence[int]) -> None:
        """Write, and again where only others were in the way or the tables were new to us."""
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
                # Without its cause: the driver's traceback may quote rows and the DSN.
                raise error_of(error, self._mask) from None
            return
        raise Retryable("other sends keep writing some of the same events")

    async def _write(self, batch: Batch, places: Sequence[int]) -> None:
        config = self._config
        async with self._connection() as db:
            # Another send may forget them at any time; this one goes on with what it has.
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
        await db.executemany(_upsert(self._config.schema, part.columns), part.records)

    # -- rows ----------------------------------------------------------------

    async def _fitted(
        self, db: Any, events: Sequence[Event], tables: dict[str, Table]
    ) -> list[Fitted]:
        """The rows of events by table, once the tables have what they need."""
        rows = await asyncio.to_thread(self._rows, events, tables)
        fitted = await asyncio.to_thread(self._fit, rows, tables)
        if all(part.complete for part in fitted):
            return fitted
        async with self._growing:
            grown = await self._grow(db, rows)
            if self._tables is not None:
                self._tables = {**self._tables, **grown}
        return await asyncio.to_thread(self._fit, rows, {**tables, **grown})

    def _rows(self, events: Sequence[Event], tables: Mapping[str, Table]) -> dict[str, list[Row]]:
        made: set[str] = set()
        room = self._config.tables_limit - sum(t.ours for t in tables.values())
        room += len(OWN_TABLES)

        def has_table(name: str) -> bool:
            table = tables.get(name)
            if table is not None or name in made:
                return table is None or table.ours
            if not self._config.table_per_event or len(made) >= room:
                return False
            made.add(name)
            return True

        rows: dict[str, list[Row]] = {}
        for event in events:
            for row in rows_of(event, self._config.flatten_depth, has_table):
                rows.setdefault(row.table, []).append(row)
        if USERS in rows:
            rows[USERS] = users_of(rows[USERS])
        return rows

    def _fit(self, rows: Mapping[str, list[Row]], tables: Mapping[str, Table]) -> list[Fitted]:
        """Fitted to the tables, in the order of their names, in which all writers lock them."""
        limit = self._config.columns_limit
        return [
            fit(name, rows[name], tables.get(name), limit, self._fixed.get(name, ()))
            for name in sorted(rows)
        ]

    # -- the schema ----------------------------------------------------------

    async def _load(self, db: Any) -> dict[str, Table]:
        """The tables as they are; those that there must be are made."""
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
        """Add what rows need and is still missing now that nobody else adds; the tables then."""
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
            # A COMMIT that is answered before it is on disk would not be delivery.
            await db.execute(
                f"SET LOCAL statement_timeout = {round(config.statement_timeout_seconds * 1000)}; "
                f"SET LOCAL lock_timeout = {round(config.lock_timeout_seconds * 1000)}; "
                "SELECT set_config('synchronous_commit', 'on', true) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
            yield


def _upsert(schema: str, columns: Sequence[str]) -> str:
    """Latest traits: what is newer wins, and what it does not have stays."""
    newer = "coalesce(excluded.timestamp >= u.timestamp, true)"
    sets = []
    for column in columns:
        name = quoted(column)
        new, old = f"excluded.{name}", f"u.{name}"
        if column in ("timestamp", "received_at"):
            value = f"greatest({new}, {old})"
        elif column == EXTRA:
            new, old = f"coalesce({new}, '{{}}')", f"coalesce({old}, '{{}}')"
            value = f"CASE WHEN {newer} THEN {old} || {new} ELSE {new} || {old} END"
        elif column != "id":
            value = f"CASE WHEN {newer} THEN coalesce({new}, {old}) ELSE coalesce({old}, {new}) END"
        else:
            continue
        sets.append(f"{name} = {value}")
    action = f"UPDATE SET {', '.join(sets)}" if sets else "NOTHING"
    marks = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    names = ", ".join(map(quoted, columns))
    return (
        f"INSERT INTO {quoted(schema, USERS)} AS u ({names}) VALUES ({marks}) "  # noqa: S608
        f"ON CONFLICT (id) DO {action}"
    )
