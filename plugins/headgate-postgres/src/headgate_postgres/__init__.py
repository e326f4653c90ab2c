"""Headgate destination ``postgres``: a typed table for each event name, each event exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, Context, Destination, DestinationSpec, hookimpl
from headgate_postgres.config import PostgresConfig

__all__ = ["PostgresConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


def _build(config: PostgresConfig, context: Context) -> Destination:
    from headgate_postgres.dry_run import dry_run_destination

    if context.rehearsal is None:
        from headgate_postgres.destination import Postgres  # asyncpg is not imported before

        return Postgres(config, context)
    return dry_run_destination(config, context.rehearsal)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``postgres``."""
    register(
        DestinationSpec(
            "postgres",
            PostgresConfig,
            _build,
            name="Postgres",
            storage=True,
            batch=BatchPolicy(max_events=2000, max_bytes=4_000_000, max_age_seconds=1.0),
            max_concurrency=4,
            idempotent=True,
            rehearses=True,
        )
    )
