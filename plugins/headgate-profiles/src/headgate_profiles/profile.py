"""A profile: everything that is known of one person, or of one account."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from headgate_profiles.computed.definition import Definition
from headgate_profiles.identifiers import Identifier, Kinds
from headgate_profiles.traits.activity import Activity, decode_activity, merged_activity
from headgate_profiles.traits.config import TraitSettings
from headgate_profiles.traits.rules import Origin, shown
from headgate_profiles.traits.tables import SHARED_MS
from headgate_profiles.traits.values import Traits, decode_traits, merged_traits

__all__ = ["Held", "Profile", "Profiles", "Schema", "ShownTrait"]


_ROWS = (
    "SELECT number, type, value, profile, first_ms, last_ms, activity.state, traits.state, "
    f"CASE WHEN common AND type <> 'user_id' THEN 0 ELSE ({SHARED_MS}) END FROM identifiers "
    "LEFT JOIN activity ON activity.identifier = number "
    "LEFT JOIN traits ON traits.identifier = number"
)
"""SQL: an identifier in each row, with what it brought."""

_Row: TypeAlias = tuple[int, str, str, int, int, int, bytes | None, bytes | None, int | None]


class Held(NamedTuple):
    """An identifier of a profile.

    Attributes:
        first_ms, last_ms: times of its first and its last fact.
        until_ms: events with it alone are this person's only if they were received before; 0 if
            many people share it, None if nobody else has it.
    """

    identifier: Identifier
    first_ms: int
    last_ms: int
    until_ms: int | None = None


class ShownTrait(NamedTuple):
    """A trait as readers see it.

    Attributes:
        origin: the event that brought it; None for a computed trait.
    """

    value: Any
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Schema:
    """How profiles are read: types of identifiers, rules of traits, and what is counted.

    Attributes:
        definitions: computed traits, and without a name what only audiences need.
    """

    kinds: Kinds
    settings: TraitSettings
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One person or account.

    Attributes:
        number: of the profile in the graph; 0 for an account.
        held: its identifiers, the one that says most first.
        accounts: of a person, with the time when it was last seen as a member.
    """

    number: int
    held: tuple[Held, ...]
    activity: Activity
    traits: Traits
    accounts: tuple[tuple[str, int], ...] = ()

    def shown(self, schema: Schema, now_ms: int) -> Iterator[tuple[str, ShownTrait]]:
        """Yields all traits by name; a computed one wins over one of the same name."""
        found: dict[str, ShownTrait] = {}
        for name, values in self.traits.items():
            value = shown(schema.settings.rule_of(name), values, schema.settings.max_items)
            if value is not None:
                found[name] = ShownTrait(value.value, value.origin)
        named = (one for one in schema.definitions if one.name) if self.number else ()
        for definition in named:
            buckets = self.activity.computed.get(definition.key, {})
            result = definition.result(buckets, now_ms)
            if result is not None:
                found[definition.name] = ShownTrait(result, None)
        yield from sorted(found.items())


class Profiles:
    """Reads profiles from the file of a graph. One thread at a time uses it."""

    def __init__(self, db: sqlite3.Connection, schema: Schema) -> None:
        self._db = db
        self._schema = schema

    def person(self, identifier: Identifier) -> Profile | None:
        """Returns the profile of an identifier; None if it was never seen."""
        rows = self._db.execute(
            f"{_ROWS} WHERE profile = "
            "(SELECT profile FROM identifiers WHERE value = ? AND type = ?)",
            (identifier.value, identifier.type),
        ).fetchall()
        return self._made(rows) if rows else None

    def everybody(self) -> Iterator[Profile]:
        """Yields all people, by the numbers of their profiles."""
        rows = self._db.execute(f"{_ROWS} ORDER BY profile")
        for _, found in groupby(rows, itemgetter(3)):
            yield self._made(list(found))

    def named(self, text: str, most: int | None = None) -> Iterator[Profile]:
        """Yields people with an identifier that contains a text, at most so many."""
        found: Iterable[tuple[int]] = self._db.execute(
            "SELECT DISTINCT profile FROM identifiers WHERE instr(lower(value), lower(?)) LIMIT ?",
            (text, -1 if most is None else most),
        ).fetchall()
        for number in found:
            yield self._made(self._db.execute(f"{_ROWS} WHERE profile = ?", number))

    def _made(self, found: Iterable[_Row]) -> Profile:
        """Makes a profile of the rows of its identifiers."""
        rows = list(found)
        settings, definitions = self._schema.settings, self._schema.definitions
        held = [Held(Identifier(row[1], row[2]), row[4], row[5], row[8]) for row in rows]
        return Profile(
            rows[0][3],
            tuple(sorted(held, key=lambda one: self._schema.kinds.rank(one.identifier))),
            merged_activity((decode_activity(row[6]) for row in rows if row[6]), definitions),
            merged_traits([decode_traits(row[7]) for row in rows if row[7]], settings),
            self._accounts([row[0] for row in rows]),
        )

    def account(self, account: str) -> Profile | None:
        """Returns the profile of an account; None if it was never seen."""
        row = self._db.execute(
            "SELECT activity, traits FROM accounts WHERE account = ?", (account,)
        ).fetchone()
        if row is None:
            return None
        activity = decode_activity(row[0])
        held = Held(Identifier("group_id", account), activity.first_ms, activity.last_ms)
        return Profile(0, (held,), activity, decode_traits(row[1]))

    def members(self, account: str, most: int, after: int = 0) -> list[tuple[int, Identifier]]:
        """Returns profiles of an account by rising number, with an identifier of each.

        Args:
            after: the number of the last profile that is left out.
        """
        rows: Iterable[tuple[int, str, str]] = self._db.execute(
            "SELECT profile, type, value FROM account_members "
            "JOIN identifiers ON number = identifier WHERE account = ? AND profile > ? "
            "GROUP BY profile ORDER BY profile LIMIT ?",
            (account, after, most),
        )
        return [(profile, Identifier(type_, value)) for profile, type_, value in rows]

    def _accounts(self, numbers: Sequence[int]) -> tuple[tuple[str, int], ...]:
        marks = ", ".join("?" * len(numbers))
        rows: Iterable[tuple[str, int]] = self._db.execute(
            "SELECT account, max(at_ms) FROM account_members "
            f"WHERE identifier IN ({marks}) GROUP BY account ORDER BY account",
            numbers,
        )
        return tuple(rows)
