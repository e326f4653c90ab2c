"""The statement that writes the latest traits of users."""

from __future__ import annotations

from collections.abc import Sequence

from headgate_postgres.names import quoted
from headgate_postgres.rows import EXTRA, USERS

__all__ = ["upsert"]


def upsert(schema: str, columns: Sequence[str]) -> str:
    """Returns a statement for rows of ``users``: newer traits win, and the others stay."""
    newer = "coalesce(excluded.timestamp >= u.timestamp, true)"
    sets = []
    for column in columns:
        name = quoted(column)
        new, old = f"excluded.{name}", f"u.{name}"
        if column in ("timestamp", "received_at"):
            value = f"greatest({new}, {old})"
        elif column == EXTRA:
            new, old = f"coalesce({new}, '{{}}')", f"coalesce({old}, '{{}}')"
            value = f"CASE WHEN {newer} THEN {old} || {new} ELSE {new} || {old} END"
        elif column != "id":
            value = f"CASE WHEN {newer} THEN coalesce({new}, {old}) ELSE coalesce({old}, {new}) END"
        else:
            continue
        sets.append(f"{name} = {value}")
    action = f"UPDATE SET {', '.join(sets)}" if sets else "NOTHING"
    marks = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    names = ", ".join(map(quoted, columns))
    return (
        f"INSERT INTO {quoted(schema, USERS)} AS u ({names}) VALUES ({marks}) "  # noqa: S608
        f"ON CONFLICT (id) DO {action}"
    )
