"""The catalogue of events: which there are, which properties each has, and of which type.

It is what the views of events are made from. Types are kept, so that a query that runs today runs
tomorrow: a property whose type was found in enough values never changes it, except from whole
numbers to fractions. A value of another type is then NULL in the view; `properties` still has it.

The catalogue holds names and counts, and no values. It may be deleted; the next query makes it
again from the newest events.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from headgate_lake.sql.guard import FIXED_VIEWS
from headgate_lake.sql.views import TYPE_VIEWS, Kind, read_files

__all__ = [
    "LOOK_EVENTS",
    "MOST_EVENT_NAMES",
    "MOST_PROPERTIES",
    "SETTLED_VALUES",
    "Catalogue",
    "Property",
    "snake_case",
    "type_of",
    "view_names",
]

SETTLED_VALUES = 100
"""The type of a property is kept once so many values had a say in it."""

LOOK_EVENTS = 10_000
"""Events of a view that one query looks at, the newest of those that no query has looked at yet.
With sixty properties each, that takes less than a second."""

MOST_EVENT_NAMES = 1000
"""Event names with views, the most frequent ones."""

MOST_PROPERTIES = 200
"""Properties of an event with a column of their own, the most frequent ones."""

_MOST_NAME_CHARACTERS = 128

_BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS names_in (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (event TEXT PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen_in (
    event TEXT NOT NULL, file TEXT NOT NULL, PRIMARY KEY (event, file)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS properties (
    event TEXT NOT NULL, property TEXT NOT NULL, type TEXT NOT NULL, counts TEXT NOT NULL,
    PRIMARY KEY (event, property)
) WITHOUT ROWID;
"""

_KINDS = {
    "BOOLEAN": "BOOLEAN",
    "BIGINT": "BIGINT",
    "UBIGINT": "BIGINT",
    "HUGEINT": "BIGINT",
    "DOUBLE": "DOUBLE",
    "VARCHAR": "VARCHAR",
    "ARRAY": "JSON",
    "OBJECT": "JSON",
}
"""Types of columns by DuckDB's names of JSON types. ``null`` has no say."""

Look = Callable[[str, Sequence[str]], list[tuple[Any, ...]]]
"""Runs a statement of our own over files, and returns its rows."""

Portions = Callable[[Sequence[str]], Iterable[Sequence[str]]]
"""Divides files into portions for one statement each."""


class Property(NamedTuple):
    """A property of an event: its name and the type of its column."""

    name: str
    type: str


def snake_case(name: str) -> str:
    """Returns the name of an event as one that needs no quotes: ``order_completed``."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"\W+", "_", parts).strip("_").casefold()


def view_names(events: Sequence[str]) -> dict[str, str]:
    """Returns the event of each view, by the view's name in lower case.

    An event has a view by its own name, and one by that in snake case. Where two events would have
    the same, it is that of an event's own name, then that of the more frequent event. The names of
    fixed views get ``event_`` before them.

    Args:
        events: names, the most frequent first.
    """
    views: dict[str, str] = {}
    for name_of in (str.casefold, snake_case):
        for event in events:
            name = name_of(event)
            fixed = name in FIXED_VIEWS or name in TYPE_VIEWS
            views.setdefault(f"event_{name}" if fixed else name, event)
    views.pop("", None)
    return views


def type_of(counts: Counter[str], before: str | None) -> str:
    """Returns the type of a property.

    Args:
        counts: values of each type.
        before: the type until now, if it is settled.
    """
    whole, fractions = counts["BIGINT"], counts["DOUBLE"]
    number = "DOUBLE" if fractions else "BIGINT"
    if before in {"BIGINT", "DOUBLE"}:
        return "DOUBLE" if before == "DOUBLE" else number
    if before is not None:
        return before
    groups = {kind: counts[kind] for kind in ("VARCHAR", "JSON", "BOOLEAN")}
    groups[number] = whole + fractions
    # The first of equals: a text and JSON hold all values.
    return max(groups, key=lambda kind: groups[kind])


class Catalogue:
    """The catalogue of a lake's events, in a file that several processes share.

    Args:
        path: of the file; it is made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def refresh_names(self, files: Sequence[str], look: Look, portions: Portions) -> None:
        """Takes in the event names of files that are new.

        Args:
            files: all files of the lake.
        """
        with closing(self._open()) as db:
            known = {file for (file,) in db.execute("SELECT file FROM names_in")}
            new = [file for file in files if file not in known]
            gone = known - set(files)
            with db:
                db.executemany("DELETE FROM names_in WHERE file = ?", ((file,) for file in gone))
                db.executemany("DELETE FROM seen_in WHERE file = ?", ((file,) for file in gone))
            for some in portions(new):
                self._take_names(db, some, look)

    @staticmethod
    def _take_names(db: sqlite3.Connection, files: Sequence[str], look: Look) -> None:
        rows = look(
            f"SELECT event, count(*) FROM {read_files(files)} "  # noqa: S608
            "WHERE type = 'track' AND event IS NOT NULL AND event <> '' "
            f"AND length(event) <= {_MOST_NAME_CHARACTERS} "
            f"GROUP BY event ORDER BY 2 DESC, 1 LIMIT {MOST_EVENT_NAMES}",
            files,
        )
        with db:
            db.executemany("INSERT OR IGNORE INTO names_in VALUES (?)", ((file,) for file in files))
            db.executemany(
                "INSERT INTO names VALUES (?, ?) "
                "ON CONFLICT (event) DO UPDATE SET events = events + excluded.events",
                [row for row in rows if str(row[0]).isprintable()],
            )

    def names(self) -> list[str]:
        """Returns the names of events, the most frequent first."""
        with closing(self._open()) as db:
            rows = db.execute(
                "SELECT event FROM names ORDER BY events DESC, event LIMIT ?", (MOST_EVENT_NAMES,)
            )
            return [event for (event,) in rows]

    def refresh(self, kind: Kind, files: Sequence[str], look: Look, portions: Portions) -> None:
        """Takes in the parts of the bodies of events in files that no query has looked at.

        It looks at one portion; the next query looks at the next one.
        """
        with closing(self._open()) as db:
            seen = {
                file
                for (file,) in db.execute("SELECT file FROM seen_in WHERE event = ?", (kind.key,))
            }
            new = [file for file in files if file not in seen]
            new = [*next(iter(portions(new)), ())]
            if not new:
                return
            rows = look(_parts(kind, new), new)
            with db:
                # Files are marked although not all of their events may have been looked at: the
                # types of ten thousand are enough.
                db.executemany(
                    "INSERT OR IGNORE INTO seen_in VALUES (?, ?)",
                    ((kind.key, file) for file in new),
                )
                _add(db, kind.key, rows)

    def properties(self, kind: Kind) -> list[Property]:
        """Returns the parts of the bodies that get a column, the most frequent first."""
        with closing(self._open()) as db:
            rows = db.execute(
                "SELECT property, type, counts FROM properties WHERE event = ?", (kind.key,)
            ).fetchall()
        rows.sort(key=lambda row: (-_counts(row[2]).total(), row[0]))
        return [Property(name, kind) for name, kind, _ in rows[:MOST_PROPERTIES]]

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
        try:
            db.executescript(_SCHEMA)
        except sqlite3.Error:
            db.close()
            raise
        return db


def _parts(kind: Kind, files: Iterable[str]) -> str:
    return (
        "SELECT part, json_kind, count(*) FROM ("  # noqa: S608
        "SELECT unnest(keys) AS part, json_type(body, '/' || replace(replace("
        "unnest(keys), '~', '~0'), '/', '~1')) AS json_kind FROM ("
        f"SELECT {kind.body} AS body, json_keys({kind.body}) AS keys FROM {read_files(files)} "
        f"WHERE {kind.where} LIMIT {LOOK_EVENTS})) "
        f"WHERE length(part) <= {_MOST_NAME_CHARACTERS} "
        f"GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT {MOST_PROPERTIES * 10}"
    )


def _add(db: sqlite3.Connection, event: str, rows: Iterable[tuple[Any, ...]]) -> None:
    found: dict[str, Counter[str]] = {}
    for name, kind, count in rows:
        if kind in _KINDS and name.isprintable():
            found.setdefault(name, Counter())[_KINDS[kind]] += count
    stored = {
        name: (kind, _counts(text))
        for name, kind, text in db.execute(
            "SELECT property, type, counts FROM properties WHERE event = ?", (event,)
        )
    }
    for name, counts in found.items():
        before, earlier = stored.get(name, (None, Counter[str]()))
        settled = before if earlier.total() >= SETTLED_VALUES else None
        total = earlier + counts
        text = " ".join(f"{kind}:{count}" for kind, count in sorted(total.items()))
        db.execute(
            "INSERT OR REPLACE INTO properties VALUES (?, ?, ?, ?)",
            (event, name, type_of(total, settled), text),
        )


def _counts(text: str) -> Counter[str]:
    parts = (part.partition(":") for part in text.split())
    return Counter({kind: int(count) for kind, _, count in parts})
