"""Headgate's event lake: events as Parquet files, each exactly once, and SQL over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import BatchPolicy, CommandSpec, Context, Destination, DestinationSpec, hookimpl
from headgate_lake.columns import COLUMNS, SCHEMA_VERSION, Column, person_of
from headgate_lake.config import LakeConfig
from headgate_lake.lake import Lake, LakeState
from headgate_lake.manifest import Change, DataFile, Day, LakeError, Shard

__all__ = [
    "COLUMNS",
    "SCHEMA_VERSION",
    "Change",
    "Column",
    "DataFile",
    "Day",
    "Lake",
    "LakeConfig",
    "LakeError",
    "LakeState",
    "Shard",
    "__version__",
    "person_of",
    "register_commands",
    "register_destinations",
]

__version__ = "0.1.0"


def _build(config: LakeConfig, context: Context) -> Destination:
    from headgate_lake.destination import LakeDestination
    from headgate_lake.dry_run import dry_run_destination

    if context.rehearsal is not None:
        return dry_run_destination(config, context)
    return LakeDestination(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``lake``."""
    register(
        DestinationSpec(
            "lake",
            LakeConfig,
            _build,
            name="Lake",
            storage=True,
            batch=BatchPolicy(max_events=10_000, max_bytes=16_000_000, max_age_seconds=2.0),
            idempotent=True,
            atomic=True,
            rehearses=True,
        )
    )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Registers ``gateway lake``."""
    register(
        CommandSpec(
            "lake", "Look after the lake: status, verify, compact.", f"{__name__}.commands:lake"
        )
    )
