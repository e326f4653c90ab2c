"""Checks of a database before events depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import Misconfigured
from headgate_postgres.catalog import load
from headgate_postgres.names import quoted
from headgate_postgres.rows import OWN_TABLES
from headgate_postgres.tables import Table

__all__ = ["check", "require_ours"]

_OLDEST = 140_000  # the first version with multiranges
_ABOUT = """
SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS shown,
       current_setting('server_encoding') AS encoding,
       pg_is_in_recovery() AS standby,
       current_user::text AS me,
       current_database()::text AS database,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schema
"""
_SCHEMA = """
SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
FROM pg_namespace WHERE nspname = $1
"""
_NOT_OWNED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY ($2) AND NOT pg_has_role(c.relowner, 'USAGE')
ORDER BY 1
"""


async def check(db: Any, schema: str) -> None:
    """Checks server, schema and rights, and changes nothing.

    Raises:
        Misconfigured: something is missing; the text lists all of it, with statements that mend it.
    """
    about = await db.fetchrow(_ABOUT)
    problems = []
    if about["version"] < _OLDEST:
        problems.append(f"the server is PostgreSQL {about['shown']}; 14 is the oldest that will do")
    if about["encoding"] != "UTF8":
        problems.append(
            f"the database has the encoding {about['encoding']}, which cannot hold all events; "
            "use one made with ENCODING 'UTF8'"
        )
    if about["standby"]:
        problems.append("the server is a standby, which takes no writes; name the primary in `dsn`")
    me = quoted(about["me"])
    may = await db.fetchval(_SCHEMA, schema)
    if may is None and not about["may_create_schema"]:
        problems.append(
            f"the schema {schema} is not there and {about['me']} may not make it: "
            f"CREATE SCHEMA {quoted(schema)} AUTHORIZATION {me}"
        )
    elif may is False:
        problems.append(
            f"{about['me']} may not make tables in the schema {schema}: "
            f"GRANT USAGE, CREATE ON SCHEMA {quoted(schema)} TO {me}"
        )
    tables = await load(db, schema)
    ours = [name for name, table in tables.items() if table.ours]
    for row in await db.fetch(_NOT_OWNED, schema, ours):
        table = quoted(schema, row[0])
        problems.append(f"{about['me']} does not own {table}: ALTER TABLE {table} OWNER TO {me}")
    if problems:
        raise Misconfigured("; ".join(problems))
    require_ours(tables, schema)


def require_ours(tables: Mapping[str, Table], schema: str) -> None:
    """Checks that the tables with reserved names were created by this destination.

    Raises:
        Misconfigured: one was not.
    """
    foreign = [name for name in OWN_TABLES if name in tables and not tables[name].ours]
    if foreign:
        raise Misconfigured(
            f"the schema {schema} has {', '.join(foreign)}, which this destination did not make; "
            "set `schema` to another name"
        )
