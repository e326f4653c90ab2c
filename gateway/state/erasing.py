"""Erases data subjects from the state store; each function takes an open connection.

Python code matches the rows, by the rule that also matches events of the queue. It works in
portions, so that outcomes of other events can be recorded in between. Texts from outside, such as a
vendor's answer, may name a subject in a row of another user: such a row loses the text only.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

from gateway.events.subjects import ERASED, Subjects
from gateway.state.connection import transaction, truncate_journal
from gateway.state.writing import add_outcome

__all__ = ["Found", "Mentions", "erase_letters", "erase_waiting", "scrub", "trace_steps"]

_ROWS = 1_000
_SHORTEST_WORD = 4
"""Shorter ids match in quotation marks only; otherwise they would match everywhere."""


@dataclass(slots=True)
class Found:
    """The result of an erasure, which adds to it as it goes.

    Attributes:
        rows: deleted rows.
        texts: texts that were removed from rows that stay.
        ids: source and message id of each deleted event.
    """

    rows: int = 0
    texts: int = 0
    ids: list[tuple[str, str]] = field(default_factory=list)


class Mentions:
    """Tells whether a text names one of the subjects, plainly or escaped for JSON or a URL."""

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
        """Returns True if it does."""
        return bool(text) and any(word in text for word in self._words)


def erase_waiting(
    db: sqlite3.Connection, subjects: Subjects, destination: str, after: int, found: Found
) -> int | None:
    """Deletes the subjects' events from a retry lane; they count as filtered, ``erased``.

    Events of other users lose the note that a subject is their visitor.

    Args:
        after: number after which to look; `gateway.state.lane.LOWEST` at first.

    Returns:
        The next `after`; None at the end.
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
    """Deletes the subjects' dead letters, which stay counted as dead; as `erase_waiting`."""
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
"""Does a portion of work; True if more is left."""


def trace_steps(subjects: Subjects, ids: Sequence[tuple[str, str]], found: Found) -> Iterator[Step]:
    """Yields the steps that erase the subjects from everything else.

    They delete traces of events that were not stored (those with the message id of an erased event,
    or an id that names a subject), vendors' texts in rows of other users, and replays of one user.

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
    """Empties the texts of a table's column that name a subject."""

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
    """Deletes the traces of events with these ids."""

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
    """Deletes the replays of a subject's events; they have nothing left to send."""
    everybody = subjects.users | subjects.anonymous
    rows = db.execute("SELECT id, json_extract(CAST(request AS TEXT), '$.user') FROM replays")
    theirs = [(id_,) for id_, user in rows.fetchall() if user in everybody]
    with transaction(db):
        db.executemany("DELETE FROM replays WHERE id = ?", theirs)
    found.rows += len(theirs)
    return False


def scrub(db: sqlite3.Connection) -> str:
    """Removes deleted rows from the file's free pages and its journal; returns an obstacle, if any.

    This writes the file anew, and needs as much free disk space as the file has bytes.
    """
    db.execute("VACUUM")
    return "" if truncate_journal(db) else "the journal is being read by another process"
