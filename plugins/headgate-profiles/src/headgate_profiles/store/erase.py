"""Erases people: their identifiers, the facts about them, and what follows from these.

A profile is erased whole, with all identifiers that were merged into it. Facts that name others as
well stay without the erased identifiers, and are decided again. An identifier that many people
shared stays shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from headgate_profiles.graph.facts import Fact
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store.session import Move, Session

__all__ = ["Erased", "erase"]


@dataclass(slots=True)
class Erased:
    """The result.

    Attributes:
        profiles: numbers of the profiles that are gone.
        identifiers: number of identifiers that are gone.
        shared: how many of them other people were seen with, too.
        moves: identifiers of others that have another profile now.
    """

    profiles: set[int] = field(default_factory=set)
    identifiers: int = 0
    shared: int = 0
    moves: list[Move] = field(default_factory=list)


def erase(session: Session, subjects: Iterable[Identifier]) -> Erased:
    """Erases the people with these identifiers, within the session's transaction."""
    erased = Erased()
    gone: set[Identifier] = set()
    for one in subjects:
        profile = session.profile(one)
        if profile is not None and profile not in erased.profiles:
            erased.profiles.add(profile)
            gone.update(session.identifiers(profile))
    if not gone:
        return erased
    left: list[Fact] = []
    shared: set[Identifier] = set()
    for fact in [one.fact for one in session.facts_of(gone)]:
        others = tuple(one for one in fact.ids if one not in gone)
        if others:
            shared.update(one for one in fact.ids if one in gone)
            left.append(Fact(fact.at_ms, fact.message_id, others, fact.forced and len(others) > 1))
        session.forget(fact)
    session.drop(gone, erased.profiles)
    erased.identifiers, erased.shared = len(gone), len(shared)
    erased.moves = session.learn(left)
    touched = {one for fact in left for one in fact.ids}
    erased.moves += session.decide_again(touched)
    return erased
