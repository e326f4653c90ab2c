"""Looks into the dead letters, and sends them again or drops them; beside a gateway or without one.

A dead letter that is to be sent again goes to its destination's retry lane, due at once, with its
ids and times as they were. The counts follow in the same transaction: what waits is not dead. A
running gateway notices within a few seconds.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from gateway.config.data_dir import public_id, shard_of
from gateway.errors import StateError
from gateway.state.writing import ALREADY_WAITING, add_outcome, transaction

__all__ = ["DeadLetters", "Entry", "Filter", "merge_entries"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant; None leaves a property open.

    Attributes:
        ids: numbers as `Entry.id`; none is all.
        event: name of a track event, or the type of any other.
        since_ms, until_ms: when it was given up.
    """

    ids: tuple[int, ...] = ()
    destination: str | None = None
    reason: str | None = None
    event: str | None = None
    user: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def where(self, shard: int = 0) -> tuple[str, list[object]]:
        """A condition in SQL and its values, for the letters of a shard."""
        terms = ["1"]
        values: list[object] = []
        for term, value in (
            ("destination = ?", self.destination),
            ("reason = ?", self.reason),
            ("? IN (json_extract(event, '$.event'), json_extract(event, '$.type'))", self.event),
            (
                "? IN (json_extract(event, '$.userId'), json_extract(event, '$.anonymousId'))",
                self.user,
            ),
            ("last_ms >= ?", self.since_ms),
            ("last_ms <= ?", self.until_ms),
        ):
            if value is not None:
                terms.append(term)
                values.append(value)
        if self.ids:
            own = [number for of, number in map(shard_of, self.ids) if of == shard]
            terms.append(f"id IN ({', '.join('?' * len(own))})")
            values += own
        return " AND ".join(terms), values


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter.

    Attributes:
        id: its number, no other shard's (`gateway.config.data_dir.public_id`).
        detail: the last error, in words.
        event: as stored, decoded.
        exchange: an excerpt of the last request and its answer, secrets masked; may be empty.
    """

    id: int
    destination: str
    offset: int
    source_id: str
    message_id: str
    reason: str
    detail: str
    attempts: int
    first_ms: int
    last_ms: int
    event: dict[str, Any]
    exchange: str


class DeadLetters:
    """The dead letters of a data directory. All methods block.

    Args:
        path: of ``state.sqlite``.
        shard: whose it is.
    """

    def __init__(self, path: Path, shard: int = 0) -> None:
        self._path = path
        self._shard = shard

    def find(self, which: Filter, limit: int) -> list[Entry]:
        """The newest dead letters that match.

        Raises:
            StateError: there is no state file, or it cannot be read.
        """
        where, values = which.where(self._shard)
        with self._open() as db:
            rows = db.execute(
                "SELECT id, destination, queue_offset, source_id, message_id, reason, detail, "  # noqa: S608
                "attempts, first_ms, last_ms, event, exchange FROM dead_letters "
                f"WHERE {where} ORDER BY id DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
        entries = [Entry(*(*row[:10], msgspec.json.decode(row[10]), row[11])) for row in rows]
        return [replace(entry, id=public_id(self._shard, entry.id)) for entry in entries]

    def count(self, which: Filter) -> dict[tuple[str, str], int]:
        """Destination and reason to number."""
        where, values = which.where(self._shard)
        with self._open() as db:
            rows = db.execute(
                "SELECT destination, reason, count(*) FROM dead_letters "  # noqa: S608
                f"WHERE {where} GROUP BY destination, reason ORDER BY destination, reason",
                values,
            ).fetchall()
        return {(destination, reason): number for destination, reason, number in rows}

    def retry(self, which: Filter, now_ms: int) -> int:
        """Put those that match into their destinations' retry lanes; returns how many."""
        where, values = which.where(self._shard)
        with self._open() as db, transaction(db):
            matched = _numbers(db, "dead_letters", where, values)
            before = _numbers(db, "waiting")
            db.execute(
                "INSERT OR REPLACE INTO waiting (destination, queue_offset, source_id, message_id, "  # noqa: S608
                "detail, attempts, first_ms, last_ms, next_ms, alone, event, exchange) "
                "SELECT destination, queue_offset, source_id, message_id, detail, 0, ?, ?, ?, 0, "
                f"event, exchange FROM dead_letters WHERE {where}",
                (now_ms, now_ms, now_ms, *values),
            )
            db.execute(
                "UPDATE outcomes SET events = events - (SELECT count(*) FROM dead_letters AS d "  # noqa: S608
                "WHERE d.destination = outcomes.destination AND d.reason = outcomes.reason "
                f"AND {where}) WHERE outcome = 'dead'",
                values,
            )
            # One that is dead twice, as after a replay, or that waits already, is sent once.
            after = _numbers(db, "waiting")
            for destination, number in matched.items():
                once = number - (after[destination] - before[destination])
                if once:
                    add_outcome(db, destination, "filtered", ALREADY_WAITING, once)
            return db.execute(f"DELETE FROM dead_letters WHERE {where}", values).rowcount  # noqa: S608

    def drop(self, which: Filter) -> int:
        """Throw those that match away for good; they stay counted as dead. Returns how many."""
        where, values = which.where(self._shard)
        with self._open() as db, transaction(db):
            return db.execute(f"DELETE FROM dead_letters WHERE {where}", values).rowcount  # noqa: S608

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            raise StateError(f"{self._path}: there is no state file; has the gateway run here?")
        try:
            with closing(
                sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
            ) as connection:
                yield connection
        except sqlite3.Error as error:
            raise StateError(f"{self._path}: {error}") from error


def _numbers(
    db: sqlite3.Connection, table: str, where: str = "1", values: Sequence[object] = ()
) -> Counter[str]:
    """Rows of a table for each destination."""
    query = f"SELECT destination, count(*) FROM {table} WHERE {where} GROUP BY destination"  # noqa: S608
    return Counter(dict(db.execute(query, values)))


def merge_entries(found: Iterable[Sequence[Entry]], limit: int) -> list[Entry]:
    """The newest dead letters of all shards."""
    entries = [entry for group in found for entry in group]
    return sorted(entries, key=lambda one: (one.last_ms, one.id), reverse=True)[:limit]
