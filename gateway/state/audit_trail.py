"""The audit trail: one log line and one row of the state store for each change by an operator.

An entry has the actor (the name of an admin token, or ``cli:`` and the user of the machine), the
action (``area.verb``, such as ``dead.retry``) and its detail as a JSON object. Details are counts
and names out of config, never ids of users nor contents of events: erasures leave the trail as it
is.
"""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.errors import StateError
from gateway.events.timestamps import format_ms
from gateway.state import State
from gateway.state.schema import connect

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["MOST_ENTRIES", "Audit", "Entry", "entries", "local_actor", "record_offline"]

MOST_ENTRIES = 100_000
"""Number of entries that are kept; the oldest beyond it are deleted."""


class Entry(Struct, frozen=True):
    """One change.

    Attributes:
        at: ISO 8601, UTC.
        detail: particulars of the action.
    """

    id: int
    at: str
    actor: str
    action: str
    detail: dict[str, Any]


class Audit:
    """The audit trail of a running gateway.

    Args:
        clock: wall clock in milliseconds.
    """

    def __init__(self, state: State, clock: Callable[[], int], log: FilteringBoundLogger) -> None:
        self._state = state
        self._clock = clock
        self._log = log

    async def record(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        """Logs a change that was made, and writes it to the state store.

        Raises:
            StateError: the state store cannot be written; the log line is there all the same.
        """
        self._log.info("audit", actor=actor, action=action, detail=dict(detail))
        await self._state.call(_append, self._clock(), actor, action, detail)

    async def entries(self, limit: int = 100, before: int | None = None) -> list[Entry]:
        """Returns the newest entries first; `before` continues where another list ended."""
        return await self._state.call(entries, limit, before)


def entries(db: sqlite3.Connection, limit: int, before: int | None = None) -> list[Entry]:
    """Returns the newest entries first, of those with an id below `before`."""
    rows = db.execute(
        "SELECT id, at_ms, actor, action, detail FROM audit WHERE ? IS NULL OR id < ? "
        "ORDER BY id DESC LIMIT ?",
        (before, before, limit),
    )
    return [
        Entry(id_, format_ms(at_ms), actor, action, msgspec.json.decode(detail))
        for id_, at_ms, actor, action, detail in rows
    ]


def record_offline(
    path: Path, now_ms: int, actor: str, action: str, detail: Mapping[str, Any]
) -> None:
    """Writes down a change that a command made by itself, beside a gateway or without one.

    Args:
        path: of ``state.sqlite``; it is created where there is none.

    Raises:
        StateError: it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(connect(path)) as db:
            _append(db, now_ms, actor, action, detail)
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"{path}: {error}") from error


def local_actor() -> str:
    """Returns the actor of a command on this machine: ``cli:`` and the user's name."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container may have a user without a name
        return "cli"


def _append(
    db: sqlite3.Connection, now_ms: int, actor: str, action: str, detail: Mapping[str, Any]
) -> None:
    text = msgspec.json.encode(detail).decode()
    cursor = db.execute(
        "INSERT INTO audit (at_ms, actor, action, detail) VALUES (?, ?, ?, ?)",
        (now_ms, actor, action, text),
    )
    db.execute("DELETE FROM audit WHERE id <= ?", ((cursor.lastrowid or 0) - MOST_ENTRIES,))
