"""Rows of a batch by table, within the limit on tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway import Event
from headgate_postgres.config import PostgresConfig
from headgate_postgres.rows import OWN_TABLES, USERS, Row, rows_of, users_of
from headgate_postgres.tables import Table

__all__ = ["rows_by_table"]


def rows_by_table(
    events: Iterable[Event], config: PostgresConfig, tables: Mapping[str, Table]
) -> dict[str, list[Row]]:
    """Returns the rows of events by table.

    Args:
        tables: the existing ones. Track events get new tables up to the limit; the properties of
            further ones stay in the table ``tracks``.
    """
    added: set[str] = set()
    room = config.tables_limit - sum(table.ours for table in tables.values()) + len(OWN_TABLES)

    def has_table(name: str) -> bool:
        table = tables.get(name)
        if table is not None or name in added:
            return table is None or table.ours
        if not config.table_per_event or len(added) >= room:
            return False
        added.add(name)
        return True

    rows: dict[str, list[Row]] = {}
    for event in events:
        for row in rows_of(event, config.flatten_depth, has_table):
            rows.setdefault(row.table, []).append(row)
    if USERS in rows:
        rows[USERS] = users_of(rows[USERS])
    return rows
