"""Regulations in the state store: whose data, what is to be done, and how far it has come."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from gateway.events.subjects import Subjects
from gateway.state.writing import transaction

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
        subjects: how many there are.
        status: as `gateway.privacy.regulations.report.Status`.
        role: as `gateway.privacy.regulations.parts.Role`.
        part_of: names the regulation in all shards that have to do with it; empty for one alone.
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
    """What became of it at one place.

    Attributes:
        place: ``queue``, or ``destination crm``.
        job: what the destination knows its deletion by.
        attempts, next_ms: for one that runs: calls so far, and when the next one is due.
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
    """Write a regulation down, with the places where it is done already."""
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
    """Whose data; nobody's once they are no longer needed."""
    rows = db.execute(
        "SELECT kind, subject FROM regulation_subjects WHERE regulation = ?", (id_,)
    ).fetchall()
    return Subjects(
        frozenset(subject for kind, subject in rows if kind == "user"),
        frozenset(subject for kind, subject in rows if kind == "anonymous"),
    )


def forget_subjects(db: sqlite3.Connection, id_: int) -> None:
    """Nothing that is still to be done needs them."""
    db.execute("DELETE FROM regulation_subjects WHERE regulation = ?", (id_,))


def one(db: sqlite3.Connection, id_: int) -> Row | None:
    """A regulation, if there is one with this id."""
    row = db.execute(f"SELECT {_COLUMNS} FROM regulations WHERE id = ?", (id_,)).fetchone()  # noqa: S608
    return Row(*row) if row else None


def part(db: sqlite3.Connection, part_of: str) -> Row | None:
    """This shard's part of a regulation that another one leads."""
    query = f"SELECT {_COLUMNS} FROM regulations WHERE role = 'part' AND part_of = ?"  # noqa: S608
    row = db.execute(query, (part_of,)).fetchone()
    return Row(*row) if row else None


def listed(db: sqlite3.Connection, limit: int) -> list[Row]:
    """The newest first; parts of those that other shards lead are left out."""
    query = f"SELECT {_COLUMNS} FROM regulations WHERE role != 'part' ORDER BY id DESC LIMIT ?"  # noqa: S608
    return [Row(*row) for row in db.execute(query, (limit,))]


def unfinished(db: sqlite3.Connection) -> list[Row]:
    """Those with something to do, the oldest first."""
    query = f"SELECT {_COLUMNS} FROM regulations WHERE status IN (?, ?) ORDER BY id"  # noqa: S608
    return [Row(*row) for row in db.execute(query, ("INITIALIZED", "RUNNING"))]


def set_status(db: sqlite3.Connection, id_: int, status: str, now_ms: int) -> None:
    """Say how it is doing."""
    db.execute(
        "UPDATE regulations SET status = ?, updated_ms = ? WHERE id = ?", (status, now_ms, id_)
    )


def places(db: sqlite3.Connection, id_: int) -> list[Place]:
    """What became of it, place by place."""
    rows = db.execute(
        "SELECT place, status, items, detail, job, attempts, next_ms FROM regulation_places "
        "WHERE regulation = ? ORDER BY place",
        (id_,),
    )
    return [Place(*row) for row in rows]


def put_place(db: sqlite3.Connection, id_: int, place: Place) -> None:
    """Write down what became of it at a place."""
    db.execute(
        "INSERT OR REPLACE INTO regulation_places VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (id_, *astuple(place)),
    )


def retry(db: sqlite3.Connection, id_: int, now_ms: int) -> None:
    """What failed is to be tried again."""
    with transaction(db):
        db.execute(
            "DELETE FROM regulation_places WHERE regulation = ? AND status = 'FAILED'", (id_,)
        )
        set_status(db, id_, "RUNNING", now_ms)


def forget(db: sqlite3.Connection, id_: int) -> None:
    """Forget a regulation, whether it is done or not."""
    with transaction(db):
        for table, column in (
            ("regulations", "id"),
            ("regulation_subjects", "regulation"),
            ("regulation_places", "regulation"),
        ):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (id_,))  # noqa: S608
