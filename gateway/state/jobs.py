"""The SQL of the table `jobs` of the state store: the last run of each job."""

from __future__ import annotations

import sqlite3
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

__all__ = ["JobRecord", "Outcome", "delete_job", "jobs", "put_job"]

Outcome: TypeAlias = Literal["", "ok", "failed", "interrupted"]
"""How a run ended; empty if there was none."""


class JobRecord(Struct, frozen=True):
    """The last run of a job. Times are in milliseconds, 0 for never.

    Attributes:
        schedule: by which the next run was planned.
        since_ms: when the job was planned by this schedule first.
        finished_ms: 0 too while it runs. An interrupted run has its start here.
        outcome, detail: of the last run that has ended.
        succeeded_ms: end of the last run that succeeded.
        interruptions: runs in a row that a stop or a crash interrupted.
    """

    name: str
    schedule: str
    since_ms: int
    started_ms: int = 0
    finished_ms: int = 0
    succeeded_ms: int = 0
    outcome: Outcome = ""
    detail: str = ""
    interruptions: int = 0


_COLUMNS = ", ".join(JobRecord.__struct_fields__)
_PLACES = ", ".join("?" * len(JobRecord.__struct_fields__))


def jobs(db: sqlite3.Connection) -> list[JobRecord]:
    """Returns the records of all jobs."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY name")  # noqa: S608 - constants
    return [JobRecord(*row) for row in rows]


def put_job(db: sqlite3.Connection, record: JobRecord) -> None:
    """Writes the record of a job."""
    values = msgspec.structs.astuple(record)
    db.execute(f"INSERT OR REPLACE INTO jobs ({_COLUMNS}) VALUES ({_PLACES})", values)  # noqa: S608


def delete_job(db: sqlite3.Connection, name: str) -> None:
    """Deletes the record of a job."""
    db.execute("DELETE FROM jobs WHERE name = ?", (name,))
