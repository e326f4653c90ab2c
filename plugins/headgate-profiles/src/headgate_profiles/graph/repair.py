"""Brings a stored graph up to date with facts, in any order of arrival.

Each fact is decided at its place among all facts. Where that changes a profile, the later facts
that touch the profile are decided again, in their order, and so on. Nothing else is read. The
result is that of `headgate_profiles.graph.whole`, which a test holds.

A profile is *open* from the place on where it is no longer what was stored. A fact need only be
decided again if it has an identifier of an open profile. Profiles that are not open are as stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol

from headgate_profiles.graph.facts import Component, Decision, Fact, Order
from headgate_profiles.graph.rules import Parted, Rules, decide
from headgate_profiles.graph.whole import joined_with
from headgate_profiles.identifiers import Identifier

__all__ = ["Decided", "History", "Repaired", "repair"]


class Decided(NamedTuple):
    """A fact with what was decided about it; None for a fact that is not stored yet."""

    fact: Fact
    decision: Decision | None


class History(Protocol):
    """The stored facts and decisions."""

    def component(self, one: Identifier, before: Order) -> Component | None:
        """Returns the profile of an identifier just before a fact; None if it was not seen yet."""

    def later(self, one: Identifier, after: Order) -> Iterable[Decided]:
        """Returns the stored facts with an identifier that come after a fact."""

    def is_common(self, one: Identifier) -> bool:
        """Tells whether many people share an identifier."""


@dataclass(slots=True)
class Repaired:
    """What has to be stored.

    Attributes:
        decisions: of the facts that are new or were decided in another way.
        profiles: the profile of each identifier that may have another one now.
    """

    decisions: list[Decided] = field(default_factory=list)
    profiles: dict[Identifier, Component] = field(default_factory=dict)


def repair(
    seeds: Collection[Decided], history: History, rules: Rules, parted: Parted = frozenset()
) -> Repaired:
    """Decides facts, and again those later ones that depend on them.

    Args:
        seeds: facts that are new, or whose decision may no longer hold.
    """
    result = Repaired()
    heap = [(one.fact.order, one) for one in seeds]
    heapify(heap)
    seeded = {one.fact for one in seeds}
    queued = set(seeded)
    open_ = result.profiles
    while heap:
        order, (fact, old) = heappop(heap)
        found = _found(fact, order, open_, history)
        common = [one for one in fact.ids if history.is_common(one)]
        decision = decide(fact, found, common, rules, parted)
        changed = fact in seeded or decision != old
        if not changed and not any(one in open_ for one in decision.kept):
            continue
        if decision != old:
            result.decisions.append(Decided(fact, decision))
        after = joined_with(fact, decision, found)
        for profile in after if changed else after[:1]:
            for one in profile.seen:
                if one not in open_:
                    for later in history.later(one, order):
                        if later.fact not in queued:
                            queued.add(later.fact)
                            heappush(heap, (later.fact.order, later))
                open_[one] = profile
    return result


def _found(
    fact: Fact, order: Order, open_: dict[Identifier, Component], history: History
) -> dict[Identifier, Component | None]:
    """Returns the profile of each identifier of a fact, the same object for the same profile."""
    found: dict[Identifier, Component | None] = {}
    for one in fact.ids:
        if one in found:
            continue
        profile = open_.get(one) or history.component(one, order)
        found[one] = profile
        if profile is not None:
            for other in fact.ids:
                if other in profile.seen:
                    found[other] = profile
    return found
