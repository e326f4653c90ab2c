"""Merges, partings and erasures in the stored graph."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_profiles.graph.facts import Fact
from headgate_profiles.graph.rules import Rules
from headgate_profiles.graph.whole import whole_graph
from headgate_profiles.identifiers import Identifier, Kinds
from headgate_profiles.store import Store
from headgate_profiles.store.choices import merge, unmerge
from headgate_profiles.store.erase import erase

ADA, BOB = Identifier("user_id", "ada"), Identifier("user_id", "bob")
LAPTOP, PHONE = Identifier("anonymous_id", "laptop"), Identifier("anonymous_id", "mobile")
MAIL = Identifier("email", "ada@example.org")
EVERYONE = [ADA, BOB, LAPTOP, PHONE, MAIL]
FACTS = [
    Fact(1, "m1", (ADA, LAPTOP)),
    Fact(2, "m2", (ADA, MAIL, PHONE)),
    Fact(3, "m3", (BOB, LAPTOP)),
]


def learn(store: Store, *facts: Fact) -> None:
    with store.transaction() as session:
        session.learn(facts)


def people(store: Store) -> list[set[str]]:
    """Returns the values of each profile."""
    found: dict[int, set[str]] = {}
    for value, profile in store.db.execute("SELECT value, profile FROM identifiers"):
        found.setdefault(profile, set()).add(value)
    return sorted(found.values(), key=sorted)


def test_a_person_joins_what_events_never_do(store: Store) -> None:
    """A merge by hand joins two user ids, later facts add to the profile, and it can be undone."""
    learn(store, *FACTS)
    before = people(store)
    assert before == [{"ada", "ada@example.org", "laptop", "mobile"}, {"bob"}]
    with store.transaction() as session:
        merge(session, ADA, BOB, 10)
    tablet = Identifier("anonymous_id", "tablet")
    learn(store, Fact(11, "m11", (BOB, tablet)))
    assert people(store) == [{"ada", "ada@example.org", "bob", "laptop", "mobile", "tablet"}]
    with store.transaction() as session:
        unmerge(session, ADA, BOB, 12)
    assert people(store) == [*before[:1], {"bob", "tablet"}]
    with store.transaction() as session:
        merge(session, ADA, BOB, 13)
    assert len(people(store)) == 1


def test_parting_changes_the_past_and_holds(store: Store) -> None:
    """Parted identifiers are joined by no event, neither an old nor a new one."""
    learn(store, *FACTS[:2])
    with store.transaction() as session:
        unmerge(session, ADA, PHONE, 5)
    apart = [{"ada", "ada@example.org", "laptop"}, {"mobile"}]
    assert people(store) == apart
    learn(store, Fact(6, "m6", (ADA, PHONE)), Fact(7, "m7", (MAIL, PHONE)))
    assert people(store) == apart


def test_a_late_fact_is_decided_at_its_place(store: Store) -> None:
    """An event that arrives late takes the device from the user who was second."""
    learn(store, Fact(5, "m5", (BOB, LAPTOP)))
    learn(store, Fact(1, "m1", (ADA, LAPTOP)))
    assert people(store) == [{"ada", "laptop"}, {"bob"}]


def test_erasure_takes_a_merged_person_whole(store: Store) -> None:
    """All identifiers of the person go; what others shared with them stays without these."""
    learn(store, *FACTS)
    with store.transaction() as session:
        erased = erase(session, [PHONE])
    assert (erased.identifiers, erased.shared) == (4, 1)
    assert people(store) == [{"bob"}]
    learn(store, FACTS[2])  # a newer event with the device is Bob's now
    assert people(store) == [{"bob", "laptop"}]


facts = st.lists(
    st.builds(
        lambda at_ms, ids: Fact(at_ms, "m", Kinds().sort(ids)),
        st.integers(0, 9),
        st.sets(st.sampled_from(EVERYONE), min_size=1, max_size=3),
    ),
    max_size=12,
)


@given(facts, st.sampled_from(EVERYONE), facts)
@settings(max_examples=25, deadline=None)
def test_after_an_erasure_the_graph_is_that_of_what_is_left(
    learned: list[Fact], subject: Identifier, later: list[Fact]
) -> None:
    """Erasing a person leaves the graph of the facts without them; new facts go on from there."""
    rules = Rules()
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "graph.sqlite", rules)
        store.open()
        learn(store, *learned)
        before = whole_graph(learned, rules).profiles.get(subject)
        gone = set() if before is None else set(before.seen)
        with store.transaction() as session:
            erase(session, [subject])
        left = [
            fact._replace(ids=ids)
            for fact in learned
            if (ids := tuple(one for one in fact.ids if one not in gone))
        ]
        learn(store, *later)
        expected = whole_graph([*left, *later], rules).numbers(rules.kinds)
        rows = store.db.execute("SELECT type, value, profile FROM identifiers").fetchall()
        assert {Identifier(*row[:2]): row[2] for row in rows} == expected
        store.close()
