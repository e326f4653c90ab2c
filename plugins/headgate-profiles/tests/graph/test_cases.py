"""Cases that the docs of other tools show, and where we differ from them."""

from __future__ import annotations

import pytest

from headgate_profiles.graph.facts import Fact
from headgate_profiles.graph.rules import Rules
from headgate_profiles.graph.whole import whole_graph
from headgate_profiles.identifiers import Identifier, Kinds
from headgate_profiles.learner import Known, Sighting

SHORT = {"u": "user_id", "e": "email", "a": "anonymous_id", "p": "phone"}


def people(*facts: str, rules: Rules | None = None) -> list[set[str]]:
    """Returns the profiles of facts such as ``u:ada a:laptop``, each a minute after the other."""
    made = [
        Fact(
            60_000 * number,
            f"m{number}",
            Kinds().sort(
                {Identifier(SHORT[type_], value) for type_, value in map(split, text.split())}
            ),
        )
        for number, text in enumerate(facts)
    ]
    graph = whole_graph(made, rules or Rules())
    found = {id(one): {each.value for each in one.seen} for one in graph.profiles.values()}
    return sorted(found.values(), key=sorted)


def split(text: str) -> tuple[str, str]:
    type_, _, value = text.partition(":")
    return type_, value


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        # Segment: a new anonymous id and a known user id are added to the profile.
        (["a:a1", "u:u1 a:a1", "u:u1 a:a2"], [{"a1", "a2", "u1"}]),
        # Segment: two profiles without a conflict are merged by an event that names both.
        (["a:a1 e:x", "u:u1 a:a2", "u:u1 e:x"], [{"a1", "a2", "u1", "x"}]),
        # Segment, merge protection: a new user id with a known address makes a new profile.
        (["u:u1 e:x", "u:u2 e:x"], [{"u1", "x"}, {"u2"}]),
        # Segment: the identifier that says least is dropped, and the rest is tried again.
        (["u:u1 a:a1", "u:u2 e:y a:a1"], [{"a1", "u1"}, {"u2", "y"}]),
        # PostHog: anonymous events before the login are the user's.
        (["a:a1", "a:a1 u:u1"], [{"a1", "u1"}]),
        # PostHog merges two users by alias only where asked; a second login never does.
        (["a:a1 u:u1", "a:a1 u:u2", "a:a1 u:u1"], [{"a1", "u1"}, {"u2"}]),
        # Mixpanel, simplified: a device is the first user's, a user has many devices.
        (["a:d1 u:u1", "a:d2 u:u1", "a:d2 u:u2"], [{"d1", "d2", "u1"}, {"u2"}]),
        # Amplitude: user ids are told apart by case.
        (["u:user-456", "u:USER-456"], [{"USER-456"}, {"user-456"}]),
        # A chain of addresses and devices never joins two users, whichever link comes last.
        (["u:u1 a:a1", "u:u2 e:x", "a:a1 e:x"], [{"a1", "u1"}, {"u2", "x"}]),
    ],
)
def test_cases_of_other_tools(facts: list[str], expected: list[set[str]]) -> None:
    """The same as the others where they agree; nothing joins two users."""
    assert people(*facts) == expected


def test_a_kiosk_is_nobodys() -> None:
    """Where Segment keeps the first users of a kiosk, ours is nobody's once many have used it."""
    logins = [f"u:u{number} a:kiosk a:own{number}" for number in range(11)]
    assert people(*logins[:10])[0] >= {"kiosk", "u0"}
    expected = [{"kiosk"}, *({f"own{number}", f"u{number}"} for number in range(11))]
    assert people(*logins) == sorted(expected, key=sorted)


def test_limits_count_within_their_window() -> None:
    """An address beyond the limit is left out; a device counts for its window only."""
    addresses = [f"u:u1 e:e{number}" for number in range(7)]
    assert people(*addresses) == [{"e0", "e1", "e2", "e3", "e4", "u1"}, {"e5"}, {"e6"}]
    days = [
        Fact(day * 86_400_000, f"m{day}", Kinds().sort({Identifier("user_id", "u1"), device}))
        for day, device in enumerate(Identifier("anonymous_id", f"a{n}") for n in range(200))
    ]
    graph = whole_graph(days, Rules())
    assert len(graph.profiles[Identifier("user_id", "u1")].seen) == 201


def test_a_profile_is_bounded() -> None:
    """A profile takes no more identifiers and merges than it may."""
    links = [f"u:u1 p:p{number}" for number in range(3)]
    assert people(*links, rules=Rules(max_identifiers=3)) == [{"p0", "p1", "u1"}, {"p2"}]
    merges = ["u:u1", "a:a1", "a:a2", "u:u1 a:a1", "u:u1 a:a2"]
    assert people(*merges, rules=Rules(max_merges=1)) == [{"a1", "u1"}, {"a2"}]


def test_known_combinations_are_bounded() -> None:
    """No more combinations are remembered than config says, and those in use stay."""
    known = Known(4)
    sighting = Sighting("", "m", ())
    for number in range(100):
        known.add((number,), sighting)
        if known.get(("used",)) is None:
            known.add(("used",), sighting)
    assert known.get(("used",)) is sighting
    assert sum(known.get((number,)) is not None for number in range(100)) <= 4
