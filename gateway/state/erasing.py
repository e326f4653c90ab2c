"""Takes what is about users out of the state store; each function takes an open connection.

Rows are looked at in Python, by the same rule as events of the queue, and in portions, so that
outcomes of other events can be recorded in between. Texts that came from outside, as the answer of
a vendor, may name a user in a row of somebody else: there the text is taken out, not the row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

from gateway.events.subjects import ERASED, Subjects
from gateway.state.writing import add_outcome, transaction

__all__ = ["Found", "Mentions", "erase_letters", "erase_waiting", "scrub", "trace_steps"]

_ROWS = 1_000
_SHORTEST_WORD = 4
"""Shorter ids are looked for in quotation marks only, or they would be found everywhere."""


@dataclass(slots=True)
class Found:
    """What was erased.

    Attributes:
        rows: rows that are gone.
        texts: texts that were taken out of rows that stay.
        ids: source and message id of each event that is gone.
    """

    rows: int = 0
    texts: int = 0
    ids: list[tuple[str, str]] = field(default_factory=list)


class Mentions:
    """Tells whether a text names one of the subjects, as it is or escaped for JSON or a URL."""

    def __init__(self, subjects: Subjects) -> None:
        words = set()
        for id_ in subjects.users | subjects.anonymous:
            if len(id_) < _SHORTEST_WORD:
                words.add(json.dumps(id_))
                words.add(json.dumps(id_, ensure_ascii=False))
            else:
                words |= {id_, json.dumps(id_)[1:-1], json.dumps(id_, ensure_ascii=False)[1:-1]}
                words |= {quote(id_, safe=""), quote(id_)}
        self._words = tuple(words)

    def __call__(self, text: str) -> bool:
        """Whether it does."""
        return bool(text) and any(word in text for word in self._words)


def erase_waiting(
    db: sqlite3.Connection, subjects: Subjects, destination: str, after: int, found: Found
) -> int | None:
    """Take the subjects' events out of a retry lane; they count as filtered, ``erased``.

    Events of others lose the note that a subject is their visitor.

    Args:
        after: offset after which to look; -1 at first.

    Returns:
        Where to go on; None at the end.
    """
    with transaction(db):
        rows = db.execute(
            "SELECT queue_offset, source_id, message_id, event FROM waiting "
            "WHERE destination = ? AND queue_offset > ? ORDER BY queue_offset LIMIT ?",
            (destination, after, _ROWS),
        ).fetchall()
        theirs = [row for row in rows if subjects.owns_json(row[3])]
        db.executemany(
            "DELETE FROM waiting WHERE destination = ? AND queue_offset = ?",
            [(destination, row[0]) for row in theirs],
        )
        for offset, _, _, event in rows:
            changed = subjects.without_visitor(event)
            if changed is not None:
                db.execute(
                    "UPDATE waiting SET event = ? WHERE destination = ? AND queue_offset = ?",
                    (changed, destination, offset),
                )
        if theirs:
            add_outcome(db, destination, "filtered", ERASED, len(theirs))
    found.rows += len(theirs)
    found.ids += [(row[1], row[2]) for row in theirs]
    return rows[-1][0] if rows else None


def erase_letters(
    db: sqlite3.Connection, subjects: Subjects, after: int, found: Found
) -> int | None:
    """Take the subjects' dead letters away, which stay counted as dead; as `erase_waiting`."""
    with transaction(db):
        rows = db.execute(
            "SELECT id, source_id, message_id, event FROM dead_letters WHERE id > ? "
            "ORDER BY id LIMIT ?",
            (after, _ROWS),
        ).fetchall()
        theirs = [row for row in rows if subjects.owns_json(row[3])]
        db.executemany("DELETE FROM dead_letters WHERE id = ?", [(row[0],) for row in theirs])
        for id_, _, _, event in rows:
            changed = subjects.without_visitor(event)
            if changed is not None:
                db.execute("UPDATE dead_letters SET event = ? WHERE id = ?", (changed, id_))
    found.rows += len(theirs)
    found.ids += [(row[1], row[2]) for row in theirs]
    return rows[-1][0] if rows else None


_TEXTS = (
    ("dead_letters", "exchange"),
    ("dead_letters", "detail"),
    ("waiting", "exchange"),
    ("waiting", "detail"),
    ("attempts", "detail"),
    ("discards", "message_id"),
)


Step = Callable[[sqlite3.Connection], bool]
"""A portion of work; True if there is more to do."""


def trace_steps(subjects: Subjects, ids: Sequence[tuple[str, str]], found: Found) -> Iterator[Step]:
    """The work that takes away what else names the subjects.

    Those are the traces of events that were not stored, by the message ids of erased events and by
    ids that name a subject; texts of vendors in the rows of others; and replays of a user.

    Args:
        ids: source and message ids of erased events.
    """
    mentions = Mentions(subjects)
    yield _Discards(list(ids), found)
    for table, column in _TEXTS:
        yield _Texts(table, column, mentions, found)
    yield partial(_forget_replays, subjects=subjects, found=found)


@dataclass(slots=True)
class _Texts:
    """The rows of a table, looked at for who is named."""

    table: str
    column: str
    mentions: Mentions
    found: Found
    after: int = -1

    def __call__(self, db: sqlite3.Connection) -> bool:
        rows = db.execute(
            f"SELECT rowid, {self.column} FROM {self.table} WHERE rowid > ? "  # noqa: S608
            "ORDER BY rowid LIMIT ?",
            (self.after, _ROWS),
        ).fetchall()
        named = [(rowid,) for rowid, text in rows if self.mentions(text)]
        statement = f"UPDATE {self.table} SET {self.column} = '' WHERE rowid = ?"  # noqa: S608
        if self.table == "discards":
            statement = "DELETE FROM discards WHERE rowid = ?"
        with transaction(db):
            db.executemany(statement, named)
        self.found.texts += len(named)
        if rows:
            self.after = rows[-1][0]
        return bool(rows)


@dataclass(slots=True)
class _Discards:
    """The traces of events with these ids."""

    ids: list[tuple[str, str]]
    found: Found

    def __call__(self, db: sqlite3.Connection) -> bool:
        part, self.ids = self.ids[:_ROWS], self.ids[_ROWS:]
        with transaction(db):
            for source, message_id in part:
                self.found.rows += db.execute(
                    "DELETE FROM discards WHERE message_id = ? AND source = ?", (message_id, source)
                ).rowcount
        return bool(self.ids)


def _forget_replays(db: sqlite3.Connection, subjects: Subjects, found: Found) -> bool:
    """A replay of one user's events has nothing to send any more."""
    everybody = subjects.users | subjects.anonymous
    rows = db.execute("SELECT id, json_extract(CAST(request AS TEXT), '$.user') FROM replays")
    theirs = [(id_,) for id_, user in rows.fetchall() if user in everybody]
    with transaction(db):
        db.executemany("DELETE FROM replays WHERE id = ?", theirs)
    found.rows += len(theirs)
    return False


def scrub(db: sqlite3.Connection) -> str:
    """Take deleted rows out of the file's free pages and its journal; what is in the way, if any.

    The file is written anew, which takes as much room on the disk as it has.
    """
    db.execute("VACUUM")
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return "the journal is being read by another process" if busy else ""
