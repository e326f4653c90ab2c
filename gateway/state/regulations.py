"""Reads and writes regulations: their subjects, what to do, and the progress at each place."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from gateway.events.subjects import Subjects
from gateway.state.connection import transaction

__all__ = [
    "Place",
    "Row",
    "create",
    "forget",
    "forget_subjects",
    "listed",
    "one",
    "part",
    "places",
    "put_place",
    "retry",
    "set_status",
    "subjects",
    "unfinished",
]

_COLUMNS = "id, kind, actor, subjects, status, created_ms, updated_ms, role, part_of"


@dataclass(frozen=True, slots=True)
class Row:
    """A regulation.

    Attributes:
        subjects: number of ids.
        status: as `gateway.privacy.regulations.report.Status`.
        role: as `gateway.privacy.regulations.parts.Role`.
        part_of: the regulation's name in all shards that take part; empty where one shard is alone.
    """

    id: int
    kind: str
    actor: str
    subjects: int
    status: str
    created_ms: int
    updated_ms: int
    role: str = "whole"
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The result of a regulation at one place.

    Attributes:
        place: such as ``queue`` or ``destination crm``.
        job: the destination's own id of the deletion.
        attempts, next_ms: while it runs: calls so far, and when the next one is due.
    """

    place: str
    status: str
    items: int = 0
    detail: str = ""
    job: str = ""
    attempts: int = 0
    next_ms: int = 0


def create(
    db: sqlite3.Connection,
    kind: str,
    actor: str,
    whose: Subjects,
    done: Sequence[Place],
    now_ms: int,
    role: str = "whole",
    part_of: str = "",
) -> Row:
    """Writes down a regulation, with the places where it is done already."""
    with transaction(db):
        cursor = db.execute(
            "INSERT INTO regulations "
            "(kind, actor, subjects, status, created_ms, updated_ms, role, part_of) "
            "VALUES (?, ?, ?, 'INITIALIZED', ?, ?, ?, ?)",
            (kind, actor, len(whose), now_ms, now_ms, role, part_of),
        )
        id_ = cursor.lastrowid or 0
        rows = [(id_, "user", one) for one in whose.users]
        rows += [(id_, "anonymous", one) for one in whose.anonymous]
        db.executemany("INSERT INTO regulation_subjects VALUES (?, ?, ?)", rows)
        for place in done:
            put_place(db, id_, place)
    return Row(id_, kind, actor, len(whose), "INITIALIZED", now_ms, now_ms, role, part_of)


def subjects(db: sqlite3.Connection, id_: int) -> Subjects:
    """Returns the subjects; none once they were forgotten."""
    rows = db.execute(
        "SELECT kind, subject FROM regulation_subjects WHERE regulation = ?", (id_,)
    ).fetchall()
    return Subjects(
        frozenset(subject for kind, subject in rows if kind == "user"),
        frozenset(subject for kind, subject in rows if kind == "anonymous"),
    )


def forget_subjects(db: sqlite3.Connection, id_: int) -> None:
    """Deletes the subjects' ids, when no step needs them any more."""
    db.execute("DELETE FROM regulation_subjects WHERE regulation = ?", (id_,))


def one(db: sqlite3.Connection, id_: int) -> Row | None:
    """Returns the regulation with this id, if there is one."""
    row = db.execute(f"SELECT {_COLUMNS} FROM regulations WHERE id = ?", (id_,)).fetchone()  # noqa: S608
    return Row(*row) if row else None


def part(db: sqlite3.Connection, part_of: str) -> Row | None:
    """Returns this shard's part of a regulation that another shard leads, if there is one."""
    query = f"SELECT {_COLUMNS} FROM regulations WHERE role = 'part' AND part_of = ?"  # noqa: S608
    row = db.execute(query, (part_of,)).fetchone()
    return Row(*row) if row else None


def listed(db: sqlite3.Connection, limit: int) -> list[Row]:
    """Returns the newest first, without parts of regulations that other shards lead."""
    query = f"SELECT {_COLUMNS} FROM regulations WHERE role != 'part' ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [Row(*row) for row in db.execute(query, (limit,))]


def unfinished(db: sqlite3.Connection) -> list[Row]:
    """Returns the regulations with something left to do, the oldest first."""
    query = f"SELECT {_COLUMNS} FROM regulations WHERE status IN (?, ?) ORDER BY id"  # noqa: S608
    return [Row(*row) for row in db.execute(query, ("INITIALIZED", "RUNNING"))]


def set_status(db: sqlite3.Connection, id_: int, status: str, now_ms: int) -> None:
    """Writes a regulation's status."""
    db.execute(
        "UPDATE regulations SET status = ?, updated_ms = ? WHERE id = ?", (status, now_ms, id_)
    )


def places(db: sqlite3.Connection, id_: int) -> list[Place]:
    """Returns a regulation's result at each place."""
    rows = db.execute(
        "SELECT place, status, items, detail, job, attempts, next_ms FROM regulation_places "
        "WHERE regulation = ? ORDER BY place",
        (id_,),
    )
    return [Place(*row) for row in rows]


def put_place(db: sqlite3.Connection, id_: int, place: Place) -> None:
    """Writes a regulation's result at a place."""
    db.execute(
        "INSERT OR REPLACE INTO regulation_places VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (id_, *astuple(place)),
    )


def retry(db: sqlite3.Connection, id_: int, now_ms: int) -> None:
    """Lets the failed places be tried again."""
    with transaction(db):
        db.execute(
            "DELETE FROM regulation_places WHERE regulation = ? AND status = 'FAILED'", (id_,)
        )
        set_status(db, id_, "RUNNING", now_ms)


def forget(db: sqlite3.Connection, id_: int) -> None:
    """Deletes a regulation, finished or not."""
    with transaction(db):
        for table, column in (
            ("regulations", "id"),
            ("regulation_subjects", "regulation"),
            ("regulation_places", "regulation"),
        ):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (id_,))  # noqa: S608
