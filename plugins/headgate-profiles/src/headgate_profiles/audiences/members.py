"""Decides about all people, and stores who is a member."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from headgate_profiles.audiences.audience import Audience, Person
from headgate_profiles.profile import Profile, Schema

__all__ = ["Change", "belongs_to", "decide", "drop_others", "members_of", "sizes", "store"]


class Change(Struct, frozen=True):
    """How an audience has changed.

    Attributes:
        gone: members whose profile is no more: it was merged into another one, or erased.
    """

    audience: str
    size: int
    entered: int
    left: int
    gone: int


def decide(
    audiences: Sequence[Audience], profiles: Iterable[Profile], schema: Schema, now_ms: int
) -> tuple[dict[str, set[int]], set[int]]:
    """Returns the members of each audience by the numbers of their profiles, and all numbers."""
    members: dict[str, set[int]] = {one.name: set() for one in audiences}
    everybody: set[int] = set()
    for profile in profiles:
        everybody.add(profile.number)
        person = Person(profile, schema, now_ms)
        for name in belongs_to(audiences, person):
            members[name].add(profile.number)
    return members, everybody


def belongs_to(audiences: Sequence[Audience], person: Person) -> list[str]:
    """Returns the audiences that a person belongs to, now."""
    found: list[str] = []
    for one in audiences:
        if one.fits(person, found):
            found.append(one.name)
    return found


def store(
    db: sqlite3.Connection,
    audience: str,
    members: set[int],
    everybody: set[int],
    now_ms: int,
    kept_changes: int,
) -> Change:
    """Stores the members of an audience, and notes who entered and left, within a transaction."""
    before = {number for number, _ in members_of(db, audience)}
    gone = before - everybody
    entered, left = members - before, before - members - gone
    db.executemany(
        "DELETE FROM audiences WHERE audience = ? AND profile = ?",
        [(audience, number) for number in left | gone],
    )
    db.executemany(
        "INSERT INTO audiences VALUES (?, ?, ?)", [(audience, one, now_ms) for one in entered]
    )
    changes = [*((one, True) for one in sorted(entered)), *((one, False) for one in sorted(left))]
    db.executemany(
        "INSERT INTO audience_changes (audience, profile, at_ms, entered) VALUES (?, ?, ?, ?)",
        [(audience, number, now_ms, is_new) for number, is_new in changes],
    )
    db.execute(
        "DELETE FROM audience_changes WHERE audience = ?1 AND id <= (SELECT id FROM "
        "audience_changes WHERE audience = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (audience, kept_changes),
    )
    return Change(audience, len(members), len(entered), len(left), len(gone))


def drop_others(db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Removes audiences that are no longer in config."""
    known = {name for (name,) in db.execute("SELECT DISTINCT audience FROM audiences")}
    known |= {name for (name,) in db.execute("SELECT DISTINCT audience FROM audience_changes")}
    for name in known - set(names):
        db.execute("DELETE FROM audiences WHERE audience = ?", (name,))
        db.execute("DELETE FROM audience_changes WHERE audience = ?", (name,))


def members_of(db: sqlite3.Connection, audience: str) -> Iterator[tuple[int, int]]:
    """Yields the stored members of an audience, with the time when each was seen to enter."""
    yield from db.execute(
        "SELECT profile, entered_ms FROM audiences WHERE audience = ?", (audience,)
    )


def sizes(db: sqlite3.Connection) -> dict[str, tuple[int, int, int]]:
    """Returns size, entries and exits of each audience that is stored."""
    found = {
        name: (size, 0, 0)
        for name, size in db.execute("SELECT audience, count(*) FROM audiences GROUP BY audience")
    }
    rows = db.execute(
        "SELECT audience, sum(entered), sum(NOT entered) FROM audience_changes GROUP BY audience"
    )
    for name, entered, left in rows:
        found[name] = (found.get(name, (0, 0, 0))[0], entered, left)
    return found
