"""The stand-in for the destination in a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway import Batch, DryRunDestination, Rehearsal
from headgate_postgres.config import PostgresConfig, secrets_of
from headgate_postgres.layout import rows_by_table
from headgate_postgres.rows import EXTRA

__all__ = ["dry_run_destination"]


def dry_run_destination(config: PostgresConfig, rehearsal: Rehearsal) -> DryRunDestination:
    """Returns a destination that records rows, as if each of their values had a column."""
    rehearsal.hide(secrets_of(config))

    def writes(batch: Batch) -> Iterator[tuple[str, Any]]:
        for rows in rows_by_table(batch.events, config, {}).values():
            for row in rows:
                extra = {EXTRA: row.extra} if row.extra else {}
                yield f"table {config.schema}.{row.table}", row.values | extra

    return DryRunDestination(rehearsal, writes)
