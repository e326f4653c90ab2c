"""Tells what became of one event, from the queue and the state store; changes neither."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from msgspec import Raw, Struct

from gateway.config.data_dir import public_id
from gateway.events.event import Event, decode_events
from gateway.events.timestamps import format_ms
from gateway.state import reading
from gateway.state.connection import transaction

__all__ = ["Discarded", "Life", "Place", "Step", "Stored", "life", "merge_lives"]

_CHANGED = "changed:"


class Step(Struct, frozen=True):
    """An attempt.

    Attributes:
        time_ms: when it began; took_ms: duration of the send.
        outcome: as in `gateway.state.Attempt`.
    """

    time_ms: int
    outcome: str
    detail: str
    took_ms: float


class Place(Struct, frozen=True):
    """The state of an event at one destination.

    Attributes:
        state: ``delivered``, ``filtered``, ``dead``, ``waiting`` in the retry lane, ``queued``,
            ``too old`` for a destination that began after the event, or ``passed`` where the record
            was deleted.
        detail: when, by which rule, behind how many others, why.
    """

    destination: str
    state: str
    detail: str
    attempts: list[Step]


class Stored(Struct, frozen=True):
    """The event as the queue holds it.

    Attributes:
        shard: the shard whose queue holds it, at `offset`.
        changed_by: intake transforms that changed it.
        event: the JSON object.
    """

    offset: int
    source: str
    received_at: str
    type: str
    name: str
    changed_by: list[str]
    event: Raw
    places: list[Place]
    shard: int = 0


class Discarded(Struct, frozen=True):
    """An event with that id that was answered and not stored, and why."""

    received_ms: int
    source: str
    code: str


class Life(Struct, frozen=True):
    """All that is known of a message id, newest first."""

    message_id: str
    stored: list[Stored]
    discarded: list[Discarded]

    def __bool__(self) -> bool:
        return bool(self.stored or self.discarded)


def life(
    db: sqlite3.Connection, message_id: str, found: Iterable[tuple[int, bytes]], shard: int = 0
) -> Life:
    """Returns all that one shard knows of an event.

    Args:
        found: offset and stored JSON of each event with that id.
        shard: the shard of the state store.
    """
    with transaction(db, "DEFERRED"):  # all reads see the same moment
        stored = [_stored(db, offset, data, shard) for offset, data in found]
        discarded = [
            Discarded(one.received_ms, one.source_id, one.code)
            for one in reversed(reading.discards(db, message_id))
        ]
    return Life(message_id, stored, discarded)


def _stored(db: sqlite3.Connection, offset: int, data: bytes, shard: int) -> Stored:
    event = decode_events(b"[" + data + b"]")[0]
    attempts: dict[str, list[Step]] = {}
    for destination, one in reading.attempts(db, offset):
        step = Step(one.began_ms, one.outcome, one.detail, one.took_ms)
        attempts.setdefault(destination, []).append(step)
    bases = reading.bases(db)
    places = [
        _waiting_or_dead(db, destination, offset, shard, attempts.get(destination, []))
        or _by_cursor(
            destination, offset, cursor, bases[destination], attempts.get(destination, [])
        )
        for destination, cursor in sorted(reading.cursors(db).items())
    ]
    return Stored(
        offset,
        event.source_id,
        event.received_at or "",
        event.type,
        _name(event),
        [note.removeprefix(_CHANGED) for note in event.notes.notes if note.startswith(_CHANGED)],
        Raw(event.to_json()),
        places,
        shard,
    )


def _name(event: Event) -> str:
    return event.event or event.name or ""


def _waiting_or_dead(
    db: sqlite3.Connection, destination: str, offset: int, shard: int, attempts: list[Step]
) -> Place | None:
    """Returns the event's place if it is in the retry lane or a dead letter."""
    row = db.execute(
        "SELECT attempts, next_ms, detail FROM waiting WHERE destination = ? AND queue_offset = ?",
        (destination, offset),
    ).fetchone()
    if row:
        text = f"failed {row[0]} times, due at {format_ms(row[1])}: {row[2]}"
        return Place(destination, "waiting", text, attempts)
    row = db.execute(
        "SELECT id, reason, detail FROM dead_letters WHERE destination = ? AND queue_offset = ? "
        "ORDER BY id DESC",
        (destination, offset),
    ).fetchone()
    if row:
        text = f"letter {public_id(shard, row[0])}, {row[1]}: {row[2]}"
        return Place(destination, "dead", text, attempts)
    return None


def _by_cursor(
    destination: str, offset: int, cursor: int, base: int, attempts: list[Step]
) -> Place:
    """Returns the event's place by the destination's cursor and the last attempt."""

    def at(state: str, detail: str = "") -> Place:
        return Place(destination, state, detail, attempts)

    if offset >= cursor:
        tried = " and is being tried" if attempts else ""
        return at("queued", f"behind {offset - cursor:,} others{tried}")
    last = attempts[-1] if attempts else None
    if last is None:
        if offset < base:
            return at("too old", f"this destination began at offset {base}")
        return at("passed", "what happened is not on record any more")
    if last.outcome == "filtered":
        return at("filtered", f"by {last.detail}")
    if last.outcome == "dead":
        return at("dead", f"its dead letter was dropped: {last.detail}")
    return at(last.outcome, f"at {format_ms(last.time_ms)}")


def merge_lives(found: Iterable[Life], message_id: str) -> Life:
    """Returns all that any shard knows of an event, newest first."""
    lives = list(found)
    return Life(
        message_id,
        sorted(
            (one for life in lives for one in life.stored),
            key=lambda one: one.received_at,
            reverse=True,
        ),
        sorted(
            (one for life in lives for one in life.discarded),
            key=lambda one: one.received_ms,
            reverse=True,
        ),
    )
