"""The graph of all facts, made from the begin. It defines what `repair` has to arrive at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from headgate_profiles.graph.facts import Component, Decision, Fact, number_of
from headgate_profiles.graph.rules import Parted, Rules, decide, founder_of
from headgate_profiles.identifiers import Identifier, Kinds

__all__ = ["Graph", "common_among", "companions", "joined_with", "whole_graph"]


@dataclass(slots=True)
class Graph:
    """All profiles.

    Attributes:
        profiles: the profile of each identifier.
        decisions: what became of each fact.
        common: identifiers that many people share.
    """

    profiles: dict[Identifier, Component] = field(default_factory=dict)
    decisions: dict[Fact, Decision] = field(default_factory=dict)
    common: frozenset[Identifier] = frozenset()

    def numbers(self, kinds: Kinds) -> dict[Identifier, int]:
        """Returns the number of each identifier's profile."""
        return {
            one: number_of(founder_of(profile, kinds)) for one, profile in self.profiles.items()
        }


def whole_graph(facts: Iterable[Fact], rules: Rules, parted: Parted = frozenset()) -> Graph:
    """Returns the graph of facts, whatever the order in which they are given.

    A set of identifiers counts once, when it was first received.
    """
    first: dict[tuple[tuple[Identifier, ...], bool], Fact] = {}
    for fact in facts:
        known = first.get((fact.ids, fact.forced))
        if known is None or fact.order < known.order:
            first[fact.ids, fact.forced] = fact
    ordered = sorted(first.values(), key=lambda fact: fact.order)
    graph = Graph(common=common_among(ordered, rules))
    for fact in ordered:
        found = {one: graph.profiles.get(one) for one in fact.ids}
        decision = decide(fact, found, graph.common, rules, parted)
        graph.decisions[fact] = decision
        for profile in joined_with(fact, decision, found):
            for one in profile.seen:
                graph.profiles[one] = profile
    return graph


def joined_with(
    fact: Fact, decision: Decision, found: dict[Identifier, Component | None]
) -> list[Component]:
    """Returns the profiles of a fact's identifiers after it: the joined one, and those left out."""
    after: list[Component] = []
    kept = Component(merges=decision.joined)
    merged: list[Component] = []
    for one in decision.kept:
        profile = found[one]
        if profile is None:
            kept.seen[one] = fact.at_ms
        elif not any(profile is other for other in merged):
            merged.append(profile)
            kept.seen.update(profile.seen)
            kept.merges += profile.merges
    if kept.seen:
        after.append(kept)
    for one in fact.ids:
        if one not in kept.seen:
            profile = found[one]
            after.append(Component({one: fact.at_ms}) if profile is None else profile)
    return after


def companions(fact: Fact, rules: Rules) -> Iterable[tuple[Identifier, Identifier]]:
    """Yields each identifier of a fact with those others that stand for a person each."""
    if fact.forced:
        return
    counted = [one for one in fact.ids if rules.kinds[one.type].counts]
    for one in fact.ids:
        for other in counted:
            if other != one:
                yield one, other


def common_among(facts: Collection[Fact], rules: Rules) -> frozenset[Identifier]:
    """Returns the identifiers that were seen with too many different people."""
    met: defaultdict[tuple[Identifier, str], set[Identifier]] = defaultdict(set)
    for fact in facts:
        for one, other in companions(fact, rules):
            met[one, other.type].add(other)
    return frozenset(one for (one, _), others in met.items() if len(others) > rules.max_companions)
