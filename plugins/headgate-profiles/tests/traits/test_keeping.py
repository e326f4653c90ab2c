"""What is known of people is kept with the graph: once, and together with their identifiers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, Event, Subjects
from gateway.testing import make_config, make_context, make_event
from headgate_profiles import ProfilesConfig
from headgate_profiles.computed.config import ComputedTrait
from headgate_profiles.computed.definition import definitions_of
from headgate_profiles.config import graph_path, rules_of
from headgate_profiles.destination import ProfilesDestination
from headgate_profiles.identifiers import Identifier
from headgate_profiles.profile import Profile, Profiles, Schema
from headgate_profiles.store.choices import merge, unmerge
from headgate_profiles.store.tables import open_to_read

TABLES = {
    "traits": {
        "orders": ComputedTrait(kind="count", event="Order"),
        "spent": ComputedTrait(kind="sum", event="Order", property="properties.total"),
    }
}
TABLES_OF = ("activity", "traits", "account_members")


class People:
    """A destination with its file, and the profiles in it."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.config = make_config(ProfilesConfig, keys)
        self.context = make_context(folder, tables=TABLES)
        self.destination = ProfilesDestination(self.config, self.context)
        self.path = graph_path(self.context.shared_dir, self.context.id)
        self._schema = Schema(
            rules_of(self.config).kinds, self.config.traits, definitions_of(TABLES)
        )
        self._next = 0

    async def send(self, *events: Event, first: int | None = None, queue: str = "q") -> None:
        """Delivers events in one batch, with the next offsets unless the first is given."""
        if first is None:
            first, self._next = self._next, self._next + len(events)
        await self.destination.send(
            Batch(events, range(first, first + len(events)), queue_id=queue)
        )

    def profile(self, type_: str, value: str) -> Profile | None:
        """Reads a person, or an account."""
        db = open_to_read(self.path)
        try:
            profiles = Profiles(db, self._schema)
            if type_ == "group_id":
                return profiles.account(value)
            return profiles.person(Identifier(type_, value))
        finally:
            db.close()

    def traits(self, type_: str, value: str) -> dict[str, Any]:
        """Returns the traits of a person by name."""
        found = self.profile(type_, value)
        assert found is not None
        shown = found.shown(self._schema, self.context.clock())
        return {name: trait.value for name, trait in shown}


@asynccontextmanager
async def people(folder: Path, **keys: Any) -> AsyncIterator[People]:
    """Runs a destination."""
    found = People(folder, **keys)
    await found.destination.start()
    try:
        yield found
    finally:
        await found.destination.stop()


def at(second: int, type_: str, **fields: Any) -> Event:
    """Makes an event of a second."""
    moment = f"2026-11-01T00:00:{second:02}.000Z"
    fields = {"anonymous_id": None, "user_id": None, **fields}
    return make_event(
        type=type_, message_id=f"m{second}", timestamp=moment, received_at=moment, **fields
    )


STORY = [
    at(1, "track", anonymous_id="pixel", event="Order", properties={"total": 5}),
    at(2, "identify", anonymous_id="pixel", traits={"plan": "free", "city": "Rome"}),
    at(3, "track", anonymous_id="laptop", event="Order", properties={"total": 0.1}),
    at(4, "identify", anonymous_id="pixel", user_id="ann", traits={"plan": "pro"}),
    at(5, "track", user_id="ann", event="Order", properties={"total": 0.2}),
    at(6, "track", anonymous_id="laptop", user_id="ann", event="Came"),
    at(7, "identify", anonymous_id="laptop", traits={"plan": "team", "city": None}),
]


async def test_a_person_has_what_all_devices_brought(tmp_path: Path) -> None:
    """Traits, counts and computed traits are those of all identifiers of the person."""
    async with people(tmp_path) as found:
        await found.send(*STORY)
        ann = found.profile("user_id", "ann")
        assert ann is not None
        assert [str(one.identifier) for one in ann.held] == [
            "user_id:ann",
            "anonymous_id:laptop",
            "anonymous_id:pixel",
        ]
        assert ann.activity.counts == {"Order": 3, "identify": 3, "Came": 1}
        assert ann.activity.last_ms - ann.activity.first_ms == 6_000
        assert found.traits("anonymous_id", "pixel") == {"plan": "team", "orders": 3, "spent": 5.3}


@pytest.mark.parametrize("seed", range(3))
async def test_order_and_redelivery_change_nothing(tmp_path: Path, seed: int) -> None:
    """Any order of events, and batches that come twice, give the same profile."""
    events = random.Random(seed).sample(STORY, len(STORY))
    async with people(tmp_path) as found:
        await found.send(*events[:3], first=0)
        await found.send(*events[:3], first=0)
        await found.send(*events[2:5], first=2)
        await found.send(*events[5:], first=5)
        await found.send(*events, first=0)
        ann = found.profile("user_id", "ann")
        assert ann is not None
        assert ann.activity.counts == {"Order": 3, "identify": 3, "Came": 1}
        assert found.traits("user_id", "ann") == {"plan": "team", "orders": 3, "spent": 5.3}


async def test_a_replay_into_an_empty_file_counts_beside_the_stream(tmp_path: Path) -> None:
    """Old offsets count once also after newer ones, and each queue has offsets of its own."""
    async with people(tmp_path) as found:
        await found.send(STORY[6], first=6)
        for first in (0, 3, 0):
            await found.send(*STORY[first : first + 3], first=first)
        await found.send(STORY[0], first=0, queue="another")
        ann = found.profile("user_id", "ann")
        assert ann is not None
        assert ann.activity.counts == {"Order": 4, "identify": 3, "Came": 1}


async def test_what_two_users_share_counts_for_neither(tmp_path: Path) -> None:
    """A shared device is its first user's until the second one is seen, and then nobody's."""
    async with people(tmp_path) as found:
        await found.send(
            at(1, "track", anonymous_id="kiosk", user_id="ann", event="Came"),
            at(2, "track", anonymous_id="kiosk", event="Looked"),
            at(3, "track", anonymous_id="kiosk", user_id="bob", event="Came"),
            at(4, "track", anonymous_id="kiosk", event="Looked"),
        )
        counts = {}
        for user in ("ann", "bob"):
            profile = found.profile("user_id", user)
            assert profile is not None
            counts[user] = profile.activity.counts
        assert counts == {"ann": {"Came": 1, "Looked": 1}, "bob": {"Came": 1}}


async def test_an_unmerge_gives_each_what_is_theirs(tmp_path: Path) -> None:
    """A merge by hand joins traits and counts by their rules, and an unmerge takes them apart."""
    ann, bob = Identifier("user_id", "ann"), Identifier("user_id", "bob")
    async with people(tmp_path) as found:
        await found.send(
            at(1, "identify", user_id="ann", traits={"plan": "free", "city": "Rome"}),
            at(2, "identify", user_id="bob", traits={"plan": "pro"}),
            at(3, "track", user_id="bob", event="Order", properties={"total": 2}),
        )
        apart = found.traits("user_id", "ann"), found.traits("user_id", "bob")
        for choose, expected in (
            (merge, {"plan": "pro", "city": "Rome", "orders": 1, "spent": 2}),
            (unmerge, {"plan": "free", "city": "Rome", "orders": 0}),
        ):
            with found.destination._store.transaction() as session:
                choose(session, ann, bob, found.context.clock())
            assert found.traits("user_id", "ann") == expected
        assert (found.traits("user_id", "ann"), found.traits("user_id", "bob")) == apart


async def test_accounts_have_profiles_and_members(tmp_path: Path) -> None:
    """A group event sets traits of its account, and makes its person a member of it."""
    async with people(tmp_path, traits={"max_accounts": 2}) as found:
        await found.send(
            at(1, "group", user_id="ann", group_id="acme", traits={"seats": 3, "plan": "team"}),
            at(2, "group", user_id="bob", group_id="acme", traits={"seats": 4}),
            at(3, "group", user_id="ann", group_id="b", traits={}),
            at(4, "group", user_id="ann", group_id="c"),
        )
        assert found.traits("group_id", "acme") == {"plan": "team", "seats": 4}
        ann, bob = found.profile("user_id", "ann"), found.profile("user_id", "bob")
        assert ann is not None
        assert bob is not None
        assert [account for account, _ in ann.accounts] == ["b", "c"]
        assert [account for account, _ in bob.accounts] == ["acme"]
        assert found.profile("group_id", "none") is None
        db = open_to_read(found.path)
        members = Profiles(db, found._schema).members("acme", 10)
        db.close()
        assert [str(identifier) for _, identifier in members] == ["user_id:bob"]


async def test_an_erased_person_leaves_nothing(tmp_path: Path) -> None:
    """Erasing by any id removes what all identifiers of the person brought, and nobody else's."""
    async with people(tmp_path) as found:
        group = at(8, "group", user_id="ann", group_id="acme")
        await found.send(*STORY, group, at(9, "identify", user_id="bob", traits={"plan": "pro"}))
        await found.destination.erase(Subjects(anonymous=frozenset({"laptop"})))
        assert found.profile("user_id", "ann") is None
        assert found.traits("user_id", "bob") == {"plan": "pro", "orders": 0}
        db = open_to_read(found.path)
        rows = [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES_OF]
        db.close()
        assert rows == [1, 1, 0]
        assert b"Rome" not in found.path.read_bytes()
