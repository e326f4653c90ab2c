"""Headgate's event lake: events as Parquet files, each exactly once, and SQL over them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gateway import hookimpl

if TYPE_CHECKING:  # for type checkers and editors; ``X as X`` makes a name public
    from gateway import AdminArea, CommandSpec, Context, Destination, DestinationSpec, TableSpec
    from headgate_lake.columns import COLUMNS as COLUMNS
    from headgate_lake.columns import SCHEMA_VERSION as SCHEMA_VERSION
    from headgate_lake.columns import Column as Column
    from headgate_lake.columns import person_of as person_of
    from headgate_lake.config import LakeConfig as LakeConfig
    from headgate_lake.failures import explained as explained
    from headgate_lake.lake import Lake as Lake
    from headgate_lake.lake import LakeState as LakeState
    from headgate_lake.loading import Loader as Loader
    from headgate_lake.loading import queue_ids as queue_ids
    from headgate_lake.loading import unload as unload
    from headgate_lake.manifest import Change as Change
    from headgate_lake.manifest import DataFile as DataFile
    from headgate_lake.manifest import Day as Day
    from headgate_lake.manifest import LakeError as LakeError
    from headgate_lake.manifest import Shard as Shard
    from headgate_lake.place import find_storage as find_storage
    from headgate_lake.reports import erased_since as erased_since
    from headgate_lake.reports import reports_of as reports_of
    from headgate_lake.sql.errors import QueriesBusy as QueriesBusy
    from headgate_lake.sql.errors import QueryCancelled as QueryCancelled
    from headgate_lake.sql.errors import QueryCrashed as QueryCrashed
    from headgate_lake.sql.errors import QueryError as QueryError
    from headgate_lake.sql.errors import QueryInvalid as QueryInvalid
    from headgate_lake.sql.errors import QueryOutOfMemory as QueryOutOfMemory
    from headgate_lake.sql.errors import QueryOutOfTime as QueryOutOfTime
    from headgate_lake.sql.errors import QueryRefused as QueryRefused
    from headgate_lake.sql.limits import Limits as Limits
    from headgate_lake.sql.people import People as People
    from headgate_lake.sql.people import find_people as find_people
    from headgate_lake.sql.place import find_lake as find_lake
    from headgate_lake.sql.place import limits_of as limits_of
    from headgate_lake.sql.process import Spares as Spares
    from headgate_lake.sql.runner import Answer as Answer
    from headgate_lake.sql.runner import AnswerColumn as AnswerColumn
    from headgate_lake.sql.runner import Query as Query
    from headgate_lake.sql.runner import Runner as Runner
    from headgate_lake.storage import Storage as Storage

_LATER = {
    name: module
    for module, names in {
        "headgate_lake.columns": "COLUMNS SCHEMA_VERSION Column person_of",
        "headgate_lake.config": "LakeConfig",
        "headgate_lake.failures": "explained",
        "headgate_lake.lake": "Lake LakeState",
        "headgate_lake.loading": "Loader queue_ids unload",
        "headgate_lake.manifest": "Change DataFile Day LakeError Shard",
        "headgate_lake.place": "find_storage",
        "headgate_lake.reports": "erased_since reports_of",
        "headgate_lake.sql.errors": (
            "QueriesBusy QueryCancelled QueryCrashed QueryError QueryInvalid QueryOutOfMemory "
            "QueryOutOfTime QueryRefused"
        ),
        "headgate_lake.sql.limits": "Limits",
        "headgate_lake.sql.people": "People find_people",
        "headgate_lake.sql.place": "find_lake limits_of",
        "headgate_lake.sql.process": "Spares",
        "headgate_lake.sql.runner": "Answer AnswerColumn Query Runner",
        "headgate_lake.storage": "Storage",
    }.items()
    for name in names.split()
}
"""Public names by module. They are imported on first use: the process of a query needs none."""

__all__ = [
    "COLUMNS",
    "SCHEMA_VERSION",
    "Answer",
    "AnswerColumn",
    "Change",
    "Column",
    "DataFile",
    "Day",
    "Lake",
    "LakeConfig",
    "LakeError",
    "LakeState",
    "Limits",
    "Loader",
    "People",
    "QueriesBusy",
    "Query",
    "QueryCancelled",
    "QueryCrashed",
    "QueryError",
    "QueryInvalid",
    "QueryOutOfMemory",
    "QueryOutOfTime",
    "QueryRefused",
    "Runner",
    "Shard",
    "Spares",
    "Storage",
    "__version__",
    "erased_since",
    "explained",
    "find_lake",
    "find_people",
    "find_storage",
    "limits_of",
    "person_of",
    "queue_ids",
    "register_admin",
    "register_commands",
    "register_config",
    "register_destinations",
    "reports_of",
    "unload",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def _build(config: LakeConfig, context: Context) -> Destination:
    from headgate_lake.destination import LakeDestination
    from headgate_lake.dry_run import dry_run_destination

    if context.rehearsal is not None:
        return dry_run_destination(config, context)
    return LakeDestination(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``lake``."""
    from gateway import BatchPolicy, DestinationSpec
    from headgate_lake.config import LakeConfig

    register(
        DestinationSpec(
            "lake",
            LakeConfig,
            _build,
            name="Lake",
            storage=True,
            batch=BatchPolicy(max_events=20_000, max_bytes=32_000_000, max_age_seconds=2.0),
            idempotent=True,
            atomic=True,
            rehearses=True,
            weighs=True,
        )
    )


@hookimpl
def register_config(register: Callable[[TableSpec[Any]], None]) -> None:
    """Registers ``[sql]``."""
    from gateway import TableSpec
    from headgate_lake.sql.limits import Limits

    register(TableSpec("sql", Limits))


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Registers ``gateway lake`` and ``gateway sql``."""
    from gateway import CommandSpec

    register(
        CommandSpec(
            "lake", "Look after the lake, and load files into it.", f"{__name__}.commands:lake"
        )
    )
    register(CommandSpec("sql", "Ask the events of the lake.", f"{__name__}.sql.command:sql"))


@hookimpl
def register_admin(register: Callable[[AdminArea], None]) -> None:
    """Registers ``/admin/sql``."""
    from headgate_lake.sql.admin import SQL_AREA

    register(SQL_AREA)
