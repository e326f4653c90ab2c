"""The stored graph is that of all facts in their order, however they arrive."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate_profiles.graph.facts import Fact
from headgate_profiles.graph.rules import Rules
from headgate_profiles.graph.whole import Graph, whole_graph
from headgate_profiles.identifiers import Identifier, Kinds
from headgate_profiles.identifiers.kinds import IdentifierConfig
from headgate_profiles.store import Store

KINDS = Kinds({"anonymous_id": IdentifierConfig(limit=2, window_days=1.0 / 86_400)})
RULES = Rules(KINDS, max_identifiers=6, max_merges=2, max_companions=2)
"""Bounds so narrow that a few facts meet all of them."""

IDENTIFIERS = [
    *(Identifier("user_id", f"u{number}") for number in range(4)),
    *(Identifier("email", f"e{number}") for number in range(3)),
    *(Identifier("anonymous_id", f"a{number}") for number in range(5)),
]

facts = st.lists(
    st.builds(
        lambda at_ms, ids, number, forced: Fact(
            at_ms * 300, f"m{number}", KINDS.sort(ids), forced and len(ids) > 1
        ),
        st.integers(0, 12),
        st.sets(st.sampled_from(IDENTIFIERS), min_size=1, max_size=4),
        st.integers(0, 3),
        st.sampled_from([False] * 9 + [True]),
    ),
    max_size=25,
)


def stored(store: Store) -> dict[Identifier, int]:
    rows = store.db.execute("SELECT type, value, profile FROM identifiers").fetchall()
    return {Identifier(type_, value): profile for type_, value, profile in rows}


def refusals(store: Store) -> set[tuple[Identifier, int, str, str]]:
    rows = store.db.execute(
        "SELECT identifiers.type, value, at_ms, reason, refusals.type FROM refusals "
        "JOIN identifiers ON number = identifier"
    ).fetchall()
    return {(Identifier(*row[:2]), *row[2:]) for row in rows}


def expected_refusals(graph: Graph) -> set[tuple[Identifier, int, str, str]]:
    return {
        (identifier, fact.at_ms, reason, type_)
        for fact, decision in graph.decisions.items()
        for identifier, reason, type_ in decision.refused
    }


def check_any_order(facts: list[Fact], data: st.DataObject) -> None:
    """Delivers facts in any order, in batches of any size, by two workers, some twice."""
    expected = whole_graph(facts, RULES)
    arriving = data.draw(st.permutations(facts))
    again = data.draw(st.lists(st.sampled_from(facts), max_size=5)) if facts else []
    sizes = count(data.draw(st.integers(0, 3)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.sqlite"
        workers = [Store(path, RULES), Store(path, RULES)]
        for worker in workers:
            worker.open()
        left = [*arriving, *again]
        while left:
            number = next(sizes)
            batch, left = left[: number % 4 + 1], left[number % 4 + 1 :]
            with workers[number % 2].transaction() as session:
                session.learn(batch)
        assert stored(workers[0]) == expected.numbers(KINDS)
        assert refusals(workers[0]) == expected_refusals(expected)
        merges = dict(workers[0].db.execute("SELECT profile, merges FROM merges").fetchall())
        numbers = expected.numbers(KINDS)
        assert merges == {
            numbers[one]: profile.merges
            for one, profile in expected.profiles.items()
            if profile.merges
        }
        for worker in workers:
            worker.close()


@given(facts, st.data())
@settings(max_examples=40, deadline=None)
def test_any_order_gives_the_same_graph(facts: list[Fact], data: st.DataObject) -> None:
    """Whatever the order, the batches and the workers, the graph is that of the sorted facts."""
    check_any_order(facts, data)


@pytest.mark.long
@pytest.mark.timeout(600)
@given(facts, st.data())
@settings(max_examples=300, deadline=None)
def test_any_order_gives_the_same_graph_at_length(facts: list[Fact], data: st.DataObject) -> None:
    """The same, for many more orders."""
    check_any_order(facts, data)
