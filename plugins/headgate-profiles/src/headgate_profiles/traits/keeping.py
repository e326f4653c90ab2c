"""Keeps traits and activity in the file of the graph, in the transaction that links identifiers.

An event belongs to its identifier that says most. No rule of the graph takes that one away from the
event, so the event moves with it whenever profiles are merged or parted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from gateway import Batch, Event, parse_ms
from headgate_profiles.identifiers import Identifier
from headgate_profiles.traits.activity import Activity, decode_activity
from headgate_profiles.traits.config import TraitSettings
from headgate_profiles.traits.counted import count_offsets
from headgate_profiles.traits.observe import Observer, origin_of
from headgate_profiles.traits.tables import SHARED_MS
from headgate_profiles.traits.values import Traits, decode_traits, encode_traits

__all__ = ["Keeper"]


class Keeper:
    """Adds the events of batches to what is kept."""

    def __init__(self, observer: Observer, settings: TraitSettings, most_chars: int) -> None:
        self._observer = observer
        self._settings = settings
        self._most_chars = most_chars

    def keep(
        self,
        db: sqlite3.Connection,
        batch: Batch,
        ids: Iterable[Sequence[Identifier]],
        now_ms: int,
    ) -> None:
        """Adds a batch, within a transaction.

        Args:
            ids: the identifiers of each event, the one that says most first.
        """
        fresh = count_offsets(db, batch.queue_id, batch.offsets)
        persons: dict[Identifier, list[tuple[Event, bool]]] = {}
        accounts: dict[str, list[tuple[Event, bool]]] = {}
        members: dict[tuple[Identifier, str], Event] = {}
        for event, found, is_new in zip(batch.events, ids, fresh, strict=True):
            account = self._account_of(event)
            if account is not None:
                accounts.setdefault(account, []).append((event, is_new))
            if found:
                persons.setdefault(found[0], []).append((event, is_new))
                if account is not None:
                    members[found[0], account] = event
        for identifier, events in persons.items():
            self._keep_person(db, identifier, events, now_ms)
        for account, events in accounts.items():
            self._keep_account(db, account, events, now_ms)
        for (identifier, account), event in members.items():
            self._join(db, identifier, account, origin_of(event, now_ms).at_ms)

    def _account_of(self, event: Event) -> str | None:
        if event.type != "group" or event.group_id is None:
            return None
        return event.group_id if len(event.group_id) <= self._most_chars else None

    def _keep_person(
        self,
        db: sqlite3.Connection,
        identifier: Identifier,
        events: list[tuple[Event, bool]],
        now_ms: int,
    ) -> None:
        number, common, shared_ms, activity = db.execute(
            f"SELECT number, common, ({SHARED_MS}), activity.state FROM identifiers "
            "LEFT JOIN activity ON activity.identifier = number WHERE value = ? AND type = ?",
            (identifier.value, identifier.type),
        ).fetchone()
        if identifier.type != "user_id":
            if common:
                return
            if shared_ms is not None:
                events = [
                    one for one in events if (parse_ms(one[0].received_at) or now_ms) < shared_ms
                ]
        if any(event.type == "identify" for event, _ in events):
            row = db.execute("SELECT state FROM traits WHERE identifier = ?", (number,)).fetchone()
            known = {} if row is None else decode_traits(row[0])
            self._set_traits(known, events, "identify", now_ms)
            db.execute(
                "INSERT OR REPLACE INTO traits VALUES (?, ?)", (number, encode_traits(known))
            )
        state = self._seen(activity, events, now_ms)
        if state is not None:
            db.execute("INSERT OR REPLACE INTO activity VALUES (?, ?)", (number, state))

    def _keep_account(
        self, db: sqlite3.Connection, account: str, events: list[tuple[Event, bool]], now_ms: int
    ) -> None:
        row = db.execute(
            "SELECT activity, traits FROM accounts WHERE account = ?", (account,)
        ).fetchone()
        activity, traits = row or (None, None)
        known = {} if traits is None else decode_traits(traits)
        self._set_traits(known, events, "group", now_ms)
        state = self._seen(activity, events, now_ms) or activity or Activity().encode()
        db.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)",
            (account, state, encode_traits(known)),
        )

    def _set_traits(
        self, traits: Traits, events: list[tuple[Event, bool]], type_: str, now_ms: int
    ) -> None:
        for event, _ in events:
            if event.type == type_:
                self._observer.set_traits(traits, event, origin_of(event, now_ms))

    def _seen(
        self, activity: bytes | None, events: list[tuple[Event, bool]], now_ms: int
    ) -> bytes | None:
        """Returns the activity with the events that are new; None if there are none."""
        new = [event for event, is_new in events if is_new]
        if not new:
            return None
        state = Activity() if activity is None else decode_activity(activity)
        for event in new:
            self._observer.see(state, event, origin_of(event, now_ms), now_ms)
        return state.encode()

    def _join(
        self, db: sqlite3.Connection, identifier: Identifier, account: str, at_ms: int
    ) -> None:
        (number,) = db.execute(
            "SELECT number FROM identifiers WHERE value = ? AND type = ?",
            (identifier.value, identifier.type),
        ).fetchone()
        db.execute(
            "INSERT INTO account_members VALUES (?1, ?2, ?3) "
            "ON CONFLICT DO UPDATE SET at_ms = max(at_ms, ?3)",
            (number, account, at_ms),
        )
        db.execute(
            "DELETE FROM account_members WHERE identifier = ?1 AND account NOT IN ("
            "SELECT account FROM account_members WHERE identifier = ?1 "
            "ORDER BY at_ms DESC, account LIMIT ?2)",
            (number, self._settings.max_accounts),
        )
