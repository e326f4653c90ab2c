"""The schema: reading it, and adding to it.

Tables and columns are added under an advisory lock, in a transaction of their own, before the
events that need them. So concurrent writers cannot deadlock on tables that are not committed yet.
An empty column does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from headgate_postgres.kinds import Kind
from headgate_postgres.names import quoted
from headgate_postgres.rows import OWN_TABLES, POSITIONS, USERS, own_columns
from headgate_postgres.tables import Fitted, Table

__all__ = ["create", "grow", "load", "lock"]

_CANNOT_ALTER = (asyncpg.FeatureNotSupportedError, asyncpg.DependentObjectsStillExistError)
_NUMERIC = Kind.NUMERIC.value
_COLUMNS = """
SELECT c.relname, c.relkind IN ('r', 'p') AS is_table, a.attname, a.attisdropped,
       CASE WHEN a.attgenerated = '' THEN format_type(a.atttypid, a.atttypmod) END AS type
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE $2::text[] IS NULL OR c.relname = ANY ($2)
"""
_KINDS = {kind.value: kind for kind in Kind}


async def load(db: Any, schema: str, names: Sequence[str] | None = None) -> dict[str, Table]:
    """Returns the tables of a schema, or those with these names."""
    kinds: dict[str, dict[str, Kind | None]] = {}
    used: dict[str, int] = {}
    tables = set()
    for row in await db.fetch(_COLUMNS, schema, names):
        name = row["relname"]
        columns = kinds.setdefault(name, {})
        used[name] = used.get(name, 0) + (row["attname"] is not None)
        if row["is_table"]:
            tables.add(name)
        if row["attname"] is not None and not row["attisdropped"]:
            columns[row["attname"]] = _KINDS.get(row["type"])
    return {
        name: Table(
            columns, used[name], name in tables and own_columns(name).items() <= columns.items()
        )
        for name, columns in kinds.items()
    }


async def lock(db: Any, schema: str) -> None:
    """Locks the schema against other writers' changes until the transaction ends."""
    await db.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"headgate-postgres {schema}"
    )


async def create(db: Any, schema: str) -> None:
    """Creates the schema and its permanent tables, if they are missing."""
    if not await db.fetchval("SELECT true FROM pg_namespace WHERE nspname = $1", schema):
        await db.execute(f"CREATE SCHEMA {quoted(schema)}")
    there = await load(db, schema, [*OWN_TABLES, POSITIONS])
    if POSITIONS not in there:
        # Offsets are in blocks, so that each batch rewrites little.
        await db.execute(
            f"CREATE TABLE {quoted(schema, POSITIONS)} (destination text NOT NULL, "
            "queue_id text NOT NULL, block bigint NOT NULL, delivered int8multirange NOT NULL, "
            "PRIMARY KEY (destination, queue_id, block)) WITH (fillfactor = 50)"
        )
    for name in OWN_TABLES:
        if name not in there:
            await db.execute(_create_table(schema, name))


async def grow(
    db: Any, schema: str, wanted: Iterable[Fitted], widen_max_bytes: int
) -> set[tuple[str, str]]:
    """Adds tables and columns, and widens columns.

    Returns:
        Pairs of table and column that cannot be widened: the table is too large, or something
        depends on the column.
    """
    fixed: set[tuple[str, str]] = set()
    for fitted in wanted:
        table = quoted(schema, fitted.table)
        if not fitted.exists:
            await db.execute(_create_table(schema, fitted.table))
        if fitted.add:
            added = ", ".join(f"ADD {quoted(c)} {kind.value}" for c, kind in fitted.add.items())
            await db.execute(f"ALTER TABLE {table} {added}")
        if not fitted.widen:
            continue
        size = await db.fetchval("SELECT pg_total_relation_size($1::text::regclass)", table)
        for column in sorted(fitted.widen):
            if size > widen_max_bytes or not await _widened(db, table, column):
                fixed.add((fitted.table, column))
    return fixed


async def _widened(db: Any, table: str, column: str) -> bool:
    try:
        async with db.transaction():
            name = quoted(column)
            # By way of text: the cast from double precision keeps 15 digits only.
            await db.execute(
                "SET LOCAL extra_float_digits = 1; "
                f"ALTER TABLE {table} ALTER {name} TYPE {_NUMERIC} USING {name}::text::{_NUMERIC}"
            )
    except _CANNOT_ALTER:  # a view uses the column
        return False
    return True


def _create_table(schema: str, name: str) -> str:
    columns = ", ".join(f"{quoted(c)} {kind.value}" for c, kind in own_columns(name).items())
    key = ", PRIMARY KEY (id)" if name == USERS else ""
    return f"CREATE TABLE {quoted(schema, name)} ({columns}{key})"
