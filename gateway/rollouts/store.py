"""Stores rollouts in an SQLite file, which commands may change beside a running gateway.

A decision, its entry in the history and its alert are one transaction: a crash leaves all or
nothing. `RolloutStore.change` reads and writes in one transaction, so that simultaneous decisions
are taken one after the other. The gateway checks once a second whether the file has changed. All
methods block and belong in a thread.
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
from gateway.state.files import Located

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
"""Name of the file in the data directory."""

MOST_SNAPSHOTS = 2_000
"""Largest number of snapshots of a group; the oldest are deleted."""

MOST_DECISIONS = 1_000
"""Largest number of decisions of a group; the oldest are deleted."""

Change: TypeAlias = Callable[[Rollout | None], tuple[Rollout, Decision | None]]
"""Makes the new state of a rollout from the current one, or from None, with the decision if any."""


class Snapshot(Struct, frozen=True):
    """Figures and findings at one time.

    Attributes:
        users: number of users in the test arm and in the control arm.
        findings: one for each guardrail.
    """

    at_ms: int
    percent: float
    series: int
    users: tuple[int, int]
    findings: list[Finding]


class Pending(Struct, frozen=True):
    """An alert that has not arrived."""

    id: int
    body: bytes
    attempts: int
    next_ms: int


class RolloutStore:
    """The stored rollouts.

    Args:
        path: of the SQLite file, which the first change creates.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._located: Located | None = None
        self._version = -1
        self._known: dict[str, bytes] = {}

    def changed(self) -> bool:
        """Tells whether others changed the file since the last call; True at the first call."""
        with self._using() as db:
            before, self._version = self._version, rollouts.data_version(db)
            return before != self._version

    def all(self) -> dict[str, Rollout]:
        """Returns all rollouts by group."""
        with self._using() as db:
            rows = rollouts.every_rollout(db)
            self._known = dict(rows)
            return {name: msgspec.json.decode(state, type=Rollout) for name, state in rows}

    def change(
        self, name: str, change: Change, alert: Callable[[Decision], bytes | None] | None = None
    ) -> tuple[Rollout, Decision | None]:
        """Changes a rollout in one transaction; returns its new state and the decision.

        Args:
            change: makes the new state. If it raises, nothing changes.
            alert: makes the alert about a decision; None for no alert.
        """
        with self._using() as db, transaction(db):
            state = rollouts.one_rollout(db, name)
            before = None if state is None else msgspec.json.decode(state, type=Rollout)
            after, decision = change(before)
            self._known[name] = msgspec.json.encode(after)
            rollouts.put_rollout(db, name, self._known[name])
            if decision is not None:
                rollouts.add_decision(db, name, msgspec.json.encode(decision), MOST_DECISIONS)
                body = None if alert is None else alert(decision)
                if body is not None:
                    rollouts.add_alert(db, body, decision.at_ms)
        return after, decision

    def decisions(self, name: str) -> list[Decision]:
        """Returns the history of a rollout, oldest first."""
        with self._using() as db:
            found = rollouts.decisions(db, name)
            return [msgspec.json.decode(one, type=Decision) for one in found]

    def add_snapshot(self, name: str, snapshot: Snapshot) -> None:
        """Adds a snapshot of a rollout."""
        with self._using() as db, transaction(db):
            rollouts.add_snapshot(db, name, msgspec.json.encode(snapshot), MOST_SNAPSHOTS)

    def snapshots(self, name: str, limit: int = MOST_SNAPSHOTS) -> list[Snapshot]:
        """Returns the newest snapshots of a rollout, oldest first."""
        with self._using() as db:
            found = rollouts.snapshots(db, name, limit)
            return [msgspec.json.decode(one, type=Snapshot) for one in found]

    def pending(self) -> list[Pending]:
        """Returns the alerts that have not arrived, oldest first."""
        with self._using() as db:
            return [Pending(*row) for row in rollouts.alerts(db)]

    def settle(self, id_: int) -> None:
        """Removes an alert that has arrived or is given up."""
        with self._using() as db:
            rollouts.delete_alert(db, id_)

    def postpone(self, id_: int, next_ms: int) -> None:
        """Counts a failed attempt at an alert and sets the time of the next one."""
        with self._using() as db:
            rollouts.postpone_alert(db, id_, next_ms)

    def close(self) -> None:
        """Closes the file. Safe twice, and without any other call."""
        with self._lock:
            self._forget_file()

    def _open(self) -> None:
        """Opens the file; one that takes the place of a file that was moved continues it."""
        self._connection = db = rollouts.connect(self._path)
        self._located, self._version = Located(self._path), -1
        with transaction(db):
            for name, state in self._known.items():
                if rollouts.one_rollout(db, name) is None:
                    rollouts.put_rollout(db, name, state)

    def _forget_file(self) -> None:
        self._located = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """Gives the connection to one thread at a time.

        Raises:
            StateError: the file cannot be used, or another release wrote it.
        """
        with self._lock:
            try:
                if self._located is not None and self._located.has_moved():
                    self._forget_file()
                if self._connection is None:
                    self._open()
                assert self._connection is not None
                yield self._connection
            except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
                raise StateError(f"{self._path}: {error}") from error
