"""Simulated people whose identifiers are known: what is joined is right, and what can be joined is.

Pairs of identifiers and pairs of events are counted, by kind of difficulty. What a shared device or
a kiosk sends alone is not knowable, once a second user was seen on it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import Batch, Event
from gateway.testing import make_event
from headgate_profiles.config import ProfilesConfig, rules_of
from headgate_profiles.identifiers import Identifier, Reader
from headgate_profiles.learner import Known, Learner, facts_of, received_ms
from headgate_profiles.store import Store

KINDS = ("plain", "shared", "kiosk", "anonymous", "typo", "service", "placeholder")
PRECISION, RECALL = 0.999, 0.98
MINUTE = 60_000


class Sent(NamedTuple):
    """What a person did."""

    at: int
    person: int
    device: str
    user: str | None = None
    email: str | None = None


@dataclass
class World:
    """People and what they did.

    Attributes:
        kinds: of each person.
        knowable: for each event, whether it says whose it is.
    """

    kinds: dict[int, str] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    knowable: list[bool] = field(default_factory=list)


def make_world(people: int, seed: int) -> World:
    """Makes people: 5 % share a device, 1 % use kiosks, 10 % never log in, and so on."""
    dice = random.Random(seed)
    world = World()
    shares = {"shared": 0.06, "kiosk": 0.015, "anonymous": 0.1, "typo": 0.03, "service": 0.02}
    shares["placeholder"] = 0.02
    drawn = dice.choices(["plain", *shares], [1 - sum(shares.values()), *shares.values()], k=people)
    world.kinds = dict(enumerate(drawn))
    shared = [one for one, kind in world.kinds.items() if kind == "shared"]
    hosts = {guest: host for host, guest in zip(shared[::2], shared[1::2], strict=False)}
    kiosks = max(1, sum(kind == "kiosk" for kind in drawn) // 30)
    for person, kind in world.kinds.items():
        world.sent += _life(person, kind, hosts.get(person), kiosks, dice)
    world.sent.sort()
    world.knowable = list(_knowable(world.sent))
    return world


def _life(
    person: int, kind: str, host: int | None, kiosks: int, dice: random.Random
) -> Iterator[Sent]:
    """Yields what one person does: visits, logs in on each device, and comes back."""
    user, email = f"user-{person}", f"p{person}@example.org"
    number = 1 if kind == "anonymous" else dice.choice((1, 1, 2, 3))
    devices = [f"device-{person}-{place}" for place in range(number)]
    at = dice.randrange(10_000) * MINUTE
    for device in devices:
        for _ in range(dice.randrange(3)):
            at += dice.randrange(1, 600) * MINUTE
            yield Sent(at, person, device)
        if kind == "anonymous":
            yield Sent(at + MINUTE, person, device)
            continue
        at += dice.randrange(1, 600) * MINUTE
        typed = email
        if kind == "typo" and dice.random() < 0.5:
            typed = f"p{person}@exmaple{dice.randrange(3)}.org"
        yield Sent(at, person, device, user, typed)
        yield Sent(at + MINUTE, person, device, user)
    if kind == "shared" and host is not None:
        yield Sent(at + 30_000 * MINUTE, person, f"device-{host}-0", user)
        yield Sent(at + 30_001 * MINUTE, person, f"device-{host}-0")
    if kind == "kiosk":
        kiosk = f"kiosk-device-{dice.randrange(kiosks)}"
        yield Sent(at + 500 * MINUTE, person, kiosk)
        yield Sent(at + 501 * MINUTE, person, kiosk, user)
    if kind == "service":  # an agent enters an order for them, by the account of the agents
        yield Sent(at + 500 * MINUTE, person, "", f"agent-{person % 3}", email)
    if kind == "placeholder":
        blank = dice.choice(("null", "undefined", "00000000-0000-0000-0000-000000000000", "None"))
        yield Sent(at + 500 * MINUTE, person, blank, user)
        yield Sent(at + 501 * MINUTE, person, f"device-{person}-0", blank)


def _knowable(sent: Iterable[Sent]) -> Iterator[bool]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for one in sent:
        if one.user and one.user.startswith("user-"):
            users[one.device].add(one.user)
            yield True
        else:
            yield not (one.device.startswith("kiosk") or len(users[one.device]) > 1)


def events_of(world: World) -> list[Event]:
    """Makes the events that people sent."""
    made = []
    for number, one in enumerate(world.sent):
        day, rest = divmod(one.at // 1000, 86_400)
        month, day = divmod(day, 28)
        moment = f"2026-{month + 1:02d}-{day + 1:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}"
        made.append(
            make_event(
                type="identify" if one.email else "track",
                event=None if one.email else "Seen",
                user_id=one.user,
                anonymous_id=one.device or None,
                message_id=f"m{number:08d}",
                received_at=f"{moment}:{rest % 60:02d}.000Z",
                **({"traits": {"email": one.email}} if one.email else {}),
            )
        )
    return made


def learn(world: World, path: Path, seed: int) -> tuple[Store, list[int | None]]:
    """Delivers the events, some of them late; returns the graph, and the person of each event."""
    config = ProfilesConfig()
    rules = rules_of(config)
    reader = Reader(rules.kinds, config.max_event_identifiers, config.max_identifier_chars)
    learner = Learner(reader, Known(config.max_cached))
    store = Store(path, rules)
    store.open()
    store.db.execute("PRAGMA synchronous = OFF")
    events = events_of(world)
    dice = random.Random(seed)
    order = sorted(range(len(events)), key=lambda place: place + dice.randrange(200))
    for begin in range(0, len(order), 5_000):
        batch = [events[place] for place in order[begin : begin + 5_000]]
        _, new = learner.sightings(Batch(batch, range(len(batch)), 1, "queue"))
        with store.transaction() as session:
            session.learn(facts_of(new))
    persons = [
        store.person(reader.identifiers(reader.raw(event)), received_ms(event.received_at))
        for event in events
    ]
    return store, persons


class Score(NamedTuple):
    """Ordered pairs that are joined, rightly joined, and knowable, by the kind of the first."""

    joined: Counter[str]
    right: Counter[str]
    knowable: Counter[str]

    def check(self, kinds: Iterable[str]) -> None:
        for kind in kinds:
            assert self.knowable[kind] > 0, kind
            assert self.right[kind] >= PRECISION * self.joined[kind], (kind, self)
            assert self.right[kind] >= RECALL * self.knowable[kind], (kind, self)


def score(members: dict[int, list[tuple[int, int]]], truth: Counter[int], world: World) -> Score:
    """Counts pairs within profiles.

    Args:
        members: for each profile, how many things of each person are in it.
        truth: how many things of each person are knowable.
    """
    result = Score(Counter(), Counter(), Counter())
    for found in members.values():
        total = sum(count for _, count in found)
        for person, count in found:
            kind = world.kinds[person]
            result.right[kind] += count * (count - 1)
            result.joined[kind] += count * (total - 1)
    for person, count in truth.items():
        result.knowable[world.kinds[person]] += count * (count - 1)
    return result


def grouped(pairs: Iterable[tuple[int, int]]) -> dict[int, list[tuple[int, int]]]:
    counts: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for profile, person in pairs:
        counts[profile][person] += 1
    return {profile: list(found.items()) for profile, found in counts.items()}


def check_truth(people: int, seed: int, path: Path) -> None:
    """Checks events and identifiers of a world, and that no profile is larger than it may be."""
    world = make_world(people, seed)
    store, persons = learn(world, path, seed)
    people_of = [one.person for one in world.sent]
    of_events = score(
        grouped(
            (profile, person)
            for profile, person in zip(persons, people_of, strict=True)
            if profile is not None
        ),
        Counter(compress(people_of, world.knowable)),
        world,
    )
    of_events.check(KINDS)
    owners = owners_of(world)
    of_identifiers = score(
        grouped(
            (profile, owners[one]) for one in owners if (profile := store.resolve(one)) is not None
        ),
        Counter(owners.values()),
        world,
    )
    of_identifiers.check(set(KINDS) - {"anonymous"})  # who has a single one
    (largest,) = store.db.execute(
        "SELECT max(size) FROM (SELECT count(*) AS size FROM identifiers GROUP BY profile)"
    ).fetchone()
    assert largest < 20
    store.close()


def owners_of(world: World) -> dict[Identifier, int]:
    """Returns the identifiers that are one person's; a shared device is its host's.

    A kiosk, an agent and a placeholder are nobody's.
    """
    owners: dict[Identifier, int] = {}
    for one in world.sent:
        if one.device.startswith("device"):
            owners.setdefault(Identifier("anonymous_id", one.device), one.person)
        if one.user and one.user.startswith("user"):
            owners[Identifier("user_id", one.user)] = one.person
        if one.email and not (one.user or "").startswith("agent"):
            owners[Identifier("email", one.email)] = one.person
    return owners


def test_who_is_who_of_simulated_people(tmp_path: Path) -> None:
    """At least 99.9 % of joined pairs are right, and 98 % of those that can be known are joined."""
    check_truth(2_000, 18, tmp_path / "graph.sqlite")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_who_is_who_of_many_simulated_people(tmp_path: Path) -> None:
    """The same, for 20,000 people."""
    check_truth(20_000, 81, tmp_path / "graph.sqlite")
