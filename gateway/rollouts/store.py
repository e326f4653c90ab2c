"""Where rollouts are kept: an SQLite file that commands may change beside a running gateway.

A decision, its entry in the history and the alert about it are one transaction: after a kill all of
it is there or nothing. `act` reads and writes in one transaction too, so that two who decide at the
same time decide one after the other. The gateway asks now and then whether the file has changed.
All methods block: they are for a thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from gateway.errors import StateError
from gateway.rollouts.guardrails import Finding
from gateway.rollouts.machine import Decision, Rollout
from gateway.state import rollouts
from gateway.state.connection import transaction

__all__ = [
    "FILE_NAME",
    "MOST_DECISIONS",
    "MOST_SNAPSHOTS",
    "Change",
    "Pending",
    "RolloutStore",
    "Snapshot",
]

FILE_NAME = "rollouts.sqlite"
"""In the data directory."""

MOST_SNAPSHOTS = 2_000
"""Of each group; beyond it the oldest are forgotten."""

MOST_DECISIONS = 1_000
"""Of each group; beyond it the oldest are forgotten."""


Change: TypeAlias = Callable[[Rollout | None], tuple[Rollout, Decision | None]]
"""What makes of a rollout as it is, or of None, the one that is to be, with what was decided."""


class Snapshot(Struct, frozen=True):
    """What was known of both arms at some time.

    Attributes:
        users: in the test arm and in the control arm.
        findings: of each guardrail.
    """

    at_ms: int
    percent: float
    series: int
    users: tuple[int, int]
    findings: list[Finding]


class Pending(Struct, frozen=True):
    """An alert that has not arrived yet."""

    id: int
    body: bytes
    attempts: int
    next_ms: int


class RolloutStore:
    """The file.

    Args:
        path: of the SQLite file, which the first change creates.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._version = -1

    def changed(self) -> bool:
        """Whether others have changed the file since the last call; True at the first one."""
        with self._using() as db:
            before, self._version = self._version, rollouts.data_version(db)
            return before != self._version

    def all(self) -> dict[str, Rollout]:
        """All rollouts there are, by their groups."""
        with self._using() as db:
            rows = rollouts.every_rollout(db)
            return {name: msgspec.json.decode(state, type=Rollout) for name, state in rows}

    def change(
        self, name: str, change: Change, alert: Callable[[Decision], bytes | None] | None = None
    ) -> tuple[Rollout, Decision | None]:
        """Decide about a rollout, alone.

        Args:
            change: is given the rollout as it is, and gives it as it is to be with what was
                decided. What it raises is passed on, and nothing changes.
            alert: the alert to send about a decision.
        """
        with self._using() as db, transaction(db):
            state = rollouts.one_rollout(db, name)
            before = None if state is None else msgspec.json.decode(state, type=Rollout)
            after, decision = change(before)
            rollouts.put_rollout(db, name, msgspec.json.encode(after))
            if decision is not None:
                rollouts.add_decision(db, name, msgspec.json.encode(decision), MOST_DECISIONS)
                body = None if alert is None else alert(decision)
                if body is not None:
                    rollouts.add_alert(db, body, decision.at_ms)
        return after, decision

    def decisions(self, name: str) -> list[Decision]:
        """The history of a rollout, the oldest first."""
        with self._using() as db:
            found = rollouts.decisions(db, name)
            return [msgspec.json.decode(one, type=Decision) for one in found]

    def add_snapshot(self, name: str, snapshot: Snapshot) -> None:
        """Keep what was known."""
        with self._using() as db, transaction(db):
            rollouts.add_snapshot(db, name, msgspec.json.encode(snapshot), MOST_SNAPSHOTS)

    def snapshots(self, name: str, limit: int = MOST_SNAPSHOTS) -> list[Snapshot]:
        """The newest snapshots of a rollout, the oldest of them first."""
        with self._using() as db:
            found = rollouts.snapshots(db, name, limit)
            return [msgspec.json.decode(one, type=Snapshot) for one in found]

    def pending(self) -> list[Pending]:
        """Alerts that have not arrived, the oldest first."""
        with self._using() as db:
            return [Pending(*row) for row in rollouts.alerts(db)]

    def settle(self, id_: int) -> None:
        """An alert has arrived, or is given up."""
        with self._using() as db:
            rollouts.delete_alert(db, id_)

    def postpone(self, id_: int, next_ms: int) -> None:
        """An attempt at an alert has failed."""
        with self._using() as db:
            rollouts.postpone_alert(db, id_, next_ms)

    def close(self) -> None:
        """Let go of the file. Safe twice, and without any other call."""
        with self._lock:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time.

        Raises:
            StateError: the file cannot be used, or is of another release.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = rollouts.connect(self._path)
                yield self._connection
            except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
                raise StateError(f"{self._path}: {error}") from error
