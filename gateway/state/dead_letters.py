"""Finds dead letters, sends them again or drops them, beside a running gateway or without one.

A dead letter that is sent again enters its destination's retry lane, due at once, with its ids and
times unchanged. The counts change in the same transaction: a waiting event is not dead. A running
gateway notices within a few seconds.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, structs

from gateway.config.data_dir import public_id, shard_of
from gateway.errors import StateError
from gateway.events.values import Int64
from gateway.state.connection import transaction
from gateway.state.lane import seat
from gateway.state.reading import LETTERS, letter_of
from gateway.state.records import DeadLetter
from gateway.state.writing import ALREADY_WAITING, add_outcome

__all__ = ["MOST_IDS", "DeadLetters", "Filter", "merge_letters"]

MOST_IDS = 10_000
"""Numbers of dead letters that one filter may name; SQLite has a bound on them, too."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects dead letters; None accepts every value.

    Attributes:
        ids: numbers as `DeadLetter.id`, at most `MOST_IDS`; empty for all.
        event: name of a track event, or the type of any other.
        since_ms, until_ms: when it was given up.
    """

    ids: Annotated[tuple[Int64, ...], Meta(max_length=MOST_IDS)] = ()
    destination: str | None = None
    reason: str | None = None
    event: str | None = None
    user: str | None = None
    since_ms: Int64 | None = None
    until_ms: Int64 | None = None

    def where(self, shard: int = 0) -> tuple[str, list[object]]:
        """Returns the condition in SQL for the letters of a shard, and its values."""
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


class DeadLetters:
    """The dead letters of one shard. All methods block.

    Args:
        path: of ``state.sqlite``.
    """

    def __init__(self, path: Path, shard: int = 0) -> None:
        self._path = path
        self._shard = shard

    def find(self, which: Filter, limit: int) -> list[DeadLetter]:
        """Returns the newest dead letters that match.

        Raises:
            StateError: there is no state file, or it cannot be read.
        """
        where, values = which.where(self._shard)
        with self._open() as db:
            rows = db.execute(
                f"{LETTERS} WHERE {where} ORDER BY id DESC LIMIT ?", (*values, limit)
            ).fetchall()
        letters = map(letter_of, rows)
        return [structs.replace(one, id=public_id(self._shard, one.id)) for one in letters]

    def count(self, which: Filter) -> dict[tuple[str, str], int]:
        """Returns the number that match, by destination and reason."""
        where, values = which.where(self._shard)
        with self._open() as db:
            rows = db.execute(
                "SELECT destination, reason, count(*) FROM dead_letters "  # noqa: S608
                f"WHERE {where} GROUP BY destination, reason ORDER BY destination, reason",
                values,
            ).fetchall()
        return {(destination, reason): number for destination, reason, number in rows}

    def retry(self, which: Filter, now_ms: int) -> int:
        """Moves those that match into their destinations' retry lanes; returns how many."""
        where, values = which.where(self._shard)
        with self._open() as db, transaction(db):
            once: Counter[str] = Counter()
            for letter in map(
                letter_of, db.execute(f"{LETTERS} WHERE {where} ORDER BY id", values)
            ):
                once[letter.destination] += _enter(db, letter, now_ms)
            db.execute(
                "UPDATE outcomes SET events = events - (SELECT count(*) FROM dead_letters AS d "  # noqa: S608
                "WHERE d.destination = outcomes.destination AND d.reason = outcomes.reason "
                f"AND {where}) WHERE outcome = 'dead'",
                values,
            )
            for destination, number in once.items():
                if number:
                    add_outcome(db, destination, "filtered", ALREADY_WAITING, number)
            return db.execute(f"DELETE FROM dead_letters WHERE {where}", values).rowcount  # noqa: S608

    def drop(self, which: Filter) -> int:
        """Deletes those that match, and returns how many; they stay counted as dead."""
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


def _enter(db: sqlite3.Connection, letter: DeadLetter, now_ms: int) -> bool:
    """Puts a letter into its retry lane; True if its event is there already, and is sent once."""
    found = seat(db, letter.destination, letter.offset, letter.queue_id)
    db.execute(
        "INSERT OR REPLACE INTO waiting (destination, queue_offset, source_id, message_id, detail, "
        "attempts, first_ms, last_ms, next_ms, alone, event, exchange, queue_id, place, "
        "untransformed) VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, 0, ?, ?, ?, ?, ?)",
        (
            *(letter.destination, found.number, letter.source_id, letter.message_id),
            *(letter.detail, now_ms, now_ms, now_ms, bytes(letter.event), letter.exchange),
            *(letter.queue_id, found.place, letter.reason == "transform"),
        ),
    )
    return found.taken


def merge_letters(found: Iterable[Sequence[DeadLetter]], limit: int) -> list[DeadLetter]:
    """Returns the newest dead letters of all shards."""
    letters = [letter for group in found for letter in group]
    return sorted(letters, key=lambda one: (one.last_ms, one.id), reverse=True)[:limit]
