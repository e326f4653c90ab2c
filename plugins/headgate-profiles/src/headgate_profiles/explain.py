"""What is known about an identifier, and why: for commands."""

from __future__ import annotations

from dataclasses import dataclass, field

from headgate_profiles.graph.facts import Fact, Refusal
from headgate_profiles.identifiers import Identifier, Kinds
from headgate_profiles.identifiers.values import clean
from headgate_profiles.store import GraphError, Session, Store

__all__ = ["Link", "Person", "explain", "parse_identifier", "words_of"]

_LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Link:
    """A fact about a profile, and what became of it.

    Attributes:
        kept: its identifiers that are one person's.
        refused: those that a rule left out.
        common: those that many people share.
    """

    fact: Fact
    kept: tuple[Identifier, ...]
    refused: tuple[Refusal, ...]
    common: tuple[Identifier, ...]


@dataclass(slots=True)
class Person:
    """A profile with all that made it.

    Attributes:
        seen: its identifiers, each with the time when it was first seen.
        shared: its identifiers that other users were seen with, and since when.
        common: the identifier that was asked for is shared by many people.
        links: the facts of more than one identifier, in their order.
    """

    number: int
    merges: int
    seen: dict[Identifier, int]
    shared: dict[Identifier, int] = field(default_factory=dict)
    common: bool = False
    links: list[Link] = field(default_factory=list)


def parse_identifier(text: str, kinds: Kinds) -> Identifier:
    """Reads ``email:ada@example.com``; a text without a known type before it is a user id.

    Raises:
        GraphError: the value never identifies anybody.
    """
    type_, sign, value = text.partition(":")
    if not sign or not kinds.knows(type_):
        type_, value = "user_id", text
    value, why = clean(type_, value, kinds, _LONGEST)
    if why is not None:
        raise GraphError(f"{type_}:{value} identifies nobody: the value is {why}")
    return Identifier(type_, value)


def explain(store: Store, one: Identifier) -> Person:
    """Returns the profile of an identifier, and the facts that made it.

    Raises:
        GraphError: it was never seen.
    """
    session = Session(store.db, store.rules)
    number = session.profile(one)
    if number is None:
        raise GraphError(f"{one} was never seen")
    ids = session.identifiers(number)
    person = Person(
        number,
        session.merges(number),
        {each: session.first_ms(each) for each in ids},
        common=session.is_common(one),
    )
    for each in ids:
        since_ms = session.shared_ms(each)
        if since_ms is not None:
            person.shared[each] = since_ms
    for fact, decision in sorted(session.facts_of(ids), key=lambda found: found.fact.order):
        if len(fact.ids) > 1 and decision is not None:
            left_out = {refusal.identifier for refusal in decision.refused}
            common = [i for i in fact.ids if i not in decision.kept and i not in left_out]
            person.links.append(Link(fact, decision.kept, decision.refused, tuple(common)))
    return person


def words_of(refusal: Refusal, kinds: Kinds) -> str:
    """Returns why an identifier was not joined, in words."""
    kind = kinds[refusal.type]
    if refusal.reason == "other_user":
        return "it belongs to another user, and two users are never joined"
    if refusal.reason == "limit":
        within = f" within {kind.window_ms / 86_400_000:g} days" if kind.window_ms else ""
        return f"a profile has at most {kind.limit} {refusal.type}{within}"
    return {
        "parted": "a person has parted them",
        "too_many_merges": "the profile has been merged too often (max_merges)",
        "too_many_identifiers": "the profile has too many identifiers (max_identifiers)",
    }[refusal.reason]
