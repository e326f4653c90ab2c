"""Headgate destination ``postgres``: a typed table for each event name, each event exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, DestinationSpec, hookimpl
from headgate_postgres.config import PostgresConfig
from headgate_postgres.destination import Postgres

__all__ = ["Postgres", "PostgresConfig", "__version__", "register_destinations"]

__version__ = "0.1.0"


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Register it."""
    register(
        DestinationSpec(
            "postgres",
            PostgresConfig,
            Postgres,
            name="Postgres",
            storage=True,
            batch=BatchPolicy(max_events=2000, max_bytes=4_000_000, max_age_seconds=1.0),
            max_concurrency=4,
            idempotent=True,
            rehearses=True,
        )
    )
