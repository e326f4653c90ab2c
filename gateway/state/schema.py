"""The tables of the state store, and the migrations from those of earlier releases."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

from gateway.errors import StateError
from gateway.state.files import open_database

__all__ = ["VERSION", "connect"]

VERSION = 5

_V1 = """
CREATE TABLE cursors (destination TEXT PRIMARY KEY, next_offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE outcomes (
    destination TEXT NOT NULL,
    outcome TEXT NOT NULL,     -- delivered, filtered, dead or replayed
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (destination, outcome, reason)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    queue_offset INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    event BLOB NOT NULL
);
CREATE INDEX dead_letters_by_destination ON dead_letters (destination, last_ms);
CREATE TABLE waiting (
    destination TEXT NOT NULL,
    queue_offset INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    alone INTEGER NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (destination, queue_offset)
);
CREATE INDEX waiting_by_time ON waiting (destination, next_ms);
"""

# `base_offset` is where the destination's counts began. It makes the ledger balance:
# cursor - base = delivered + filtered + dead + waiting - replayed.
_V2 = """
ALTER TABLE dead_letters ADD COLUMN exchange TEXT NOT NULL DEFAULT '';
CREATE INDEX dead_letters_by_message ON dead_letters (message_id);
ALTER TABLE waiting ADD COLUMN exchange TEXT NOT NULL DEFAULT '';
ALTER TABLE cursors ADD COLUMN base_offset INTEGER NOT NULL DEFAULT 0;
UPDATE cursors SET base_offset = next_offset
    - (SELECT ifnull(sum(events), 0) FROM outcomes WHERE outcomes.destination = cursors.destination)
    - (SELECT count(*) FROM waiting WHERE waiting.destination = cursors.destination);
CREATE TABLE leaks (
    destination TEXT NOT NULL,
    first_offset INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    found_ms INTEGER NOT NULL
);
CREATE TABLE sources (
    source TEXT NOT NULL,
    outcome TEXT NOT NULL,     -- accepted, duplicate or discarded
    code TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (source, outcome, code)
) WITHOUT ROWID;
CREATE TABLE counted (       -- one row: the events in [base_offset, next_offset) of that queue
    id INTEGER PRIMARY KEY CHECK (id = 1),
    queue_id TEXT NOT NULL,
    base_offset INTEGER NOT NULL,
    next_offset INTEGER NOT NULL
);
CREATE TABLE discards (
    id INTEGER PRIMARY KEY,
    received_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    message_id TEXT NOT NULL,
    code TEXT NOT NULL
);
CREATE INDEX discards_by_message ON discards (message_id);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    first_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    members BLOB,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    took_ms REAL NOT NULL
);
CREATE INDEX attempts_by_offset ON attempts (last_offset);
CREATE TABLE replays (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    request BLOB NOT NULL,     -- what was asked for, as JSON
    first_offset INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    replayed INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,       -- running, done, cancelled or failed
    detail TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL
);
"""
_V3 = """
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,       -- name of the admin token, or cli:<user of the machine>
    action TEXT NOT NULL,      -- such as suppress.add
    detail TEXT NOT NULL       -- a JSON object
);
CREATE TABLE regulations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    subjects INTEGER NOT NULL, -- how many there were
    status TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);
CREATE TABLE regulation_subjects (   -- only until the regulation needs them no more
    regulation INTEGER NOT NULL,
    kind TEXT NOT NULL,        -- user or anonymous
    subject TEXT NOT NULL,
    PRIMARY KEY (regulation, kind, subject)
) WITHOUT ROWID;
CREATE TABLE regulation_places (
    regulation INTEGER NOT NULL,
    place TEXT NOT NULL,
    status TEXT NOT NULL,
    items INTEGER NOT NULL,
    detail TEXT NOT NULL,
    job TEXT NOT NULL,         -- what the destination knows its deletion by
    attempts INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    PRIMARY KEY (regulation, place)
) WITHOUT ROWID;
"""
_V4 = """
ALTER TABLE regulations ADD COLUMN role TEXT NOT NULL DEFAULT 'whole';  -- whole, lead or part
ALTER TABLE regulations ADD COLUMN part_of TEXT NOT NULL DEFAULT '';    -- its name in all shards
"""
_V5 = """
ALTER TABLE waiting ADD COLUMN queue_id TEXT NOT NULL DEFAULT '';       -- of its event's offset
ALTER TABLE waiting ADD COLUMN place INTEGER;        -- that offset, where it is not queue_offset
ALTER TABLE waiting ADD COLUMN untransformed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN queue_id TEXT NOT NULL DEFAULT '';
CREATE TABLE jobs (          -- the last run of each job; times are 0 for never
    name TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER NOT NULL,
    succeeded_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,     -- ok, failed, interrupted or empty
    detail TEXT NOT NULL,
    interruptions INTEGER NOT NULL
) WITHOUT ROWID;
"""
_STEPS = (_V1, _V2, _V3, _V4, _V5)


def connect(path: Path) -> sqlite3.Connection:
    """Opens the file, creates it where there is none, and brings its tables up to date.

    Raises:
        StateError: it is of a later release.
        sqlite3.Error: it cannot be opened, or is damaged.
        OSError: it cannot be created.
    """
    return open_database(path, partial(_migrate, path), make_folder=False)


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version > VERSION:
        raise StateError(
            f"{path} was written by a later release (version {version}, this one reads up to "
            f"{VERSION}): start that release, or use another data_dir"
        )
    while version < VERSION:
        version = _step(connection, version)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _step(connection: sqlite3.Connection, version: int) -> int:
    """Brings the tables to the next version, unless another process has; returns the version."""
    change = f"{_STEPS[version]} PRAGMA user_version = {version + 1};"
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {change} COMMIT;")
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if _version(connection) == version:
            raise
    return _version(connection)
