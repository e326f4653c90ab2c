"""The rules of merging: what may be joined, and what is left out where something may not.

Two user ids are never joined by inference. Where the join of a fact's identifiers would break a
rule, the identifier that says least is left out, and the rest is tried again. So an event with a
new user id and a known device makes a new profile, and the device stays where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

from headgate_profiles.graph.facts import Component, Decision, Fact, Reason, Refusal
from headgate_profiles.identifiers import Identifier, Kinds

__all__ = ["Parted", "Rules", "decide", "founder_of"]

Parted: TypeAlias = AbstractSet[frozenset[Identifier]]
"""Pairs that a person has parted."""

_NONE_PARTED: Parted = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of profiles.

    Attributes:
        max_identifiers: identifiers of one profile.
        max_merges: how often two profiles may become one in the past of a profile.
        max_companions: an identifier that was seen with more user ids, or e-mail addresses, or
            phone numbers than this is shared by many people, and identifies nobody.
    """

    kinds: Kinds = field(default_factory=Kinds)
    max_identifiers: int = 1_000
    max_merges: int = 100
    max_companions: int = 10


def decide(
    fact: Fact,
    found: Mapping[Identifier, Component | None],
    common: Collection[Identifier],
    rules: Rules,
    parted: Parted = _NONE_PARTED,
) -> Decision:
    """Decides which identifiers of a fact are joined.

    Args:
        found: the profile of each identifier before this fact; None for one that is new.
        common: identifiers that many people share.
        parted: pairs that may not be joined.
    """
    kept = [one for one in fact.ids if one not in common] if len(fact.ids) > 1 else list(fact.ids)
    refused: list[Refusal] = []
    while len(kept) > 1:
        profiles = _distinct(found[one] for one in kept)
        new = [one for one in kept if found[one] is None]
        if len(profiles) + len(new) == 1:
            break
        problem = _problem(fact, profiles, new, rules, parted)
        if problem is None:
            break
        refused.append(Refusal(kept.pop(), *problem))
    joined = max(0, len(_distinct(found[one] for one in kept)) - 1)
    return Decision(tuple(kept), tuple(refused), joined)


def founder_of(component: Component, kinds: Kinds) -> Identifier:
    """Returns the identifier that a profile was first seen with, which gives it its number."""
    return min(component.seen, key=lambda one: (component.seen[one], kinds.rank(one)))


def _distinct(components: Iterable[Component | None]) -> list[Component]:
    found: list[Component] = []
    for one in components:
        if one is not None and not any(one is other for other in found):
            found.append(one)
    return found


def _problem(
    fact: Fact,
    profiles: Sequence[Component],
    new: Sequence[Identifier],
    rules: Rules,
    parted: Parted,
) -> tuple[Reason, str] | None:
    """Returns the rule that the join would break."""
    if sum(len(one.seen) for one in profiles) + len(new) > rules.max_identifiers:
        return "too_many_identifiers", ""
    if sum(one.merges for one in profiles) + max(0, len(profiles) - 1) > rules.max_merges:
        return "too_many_merges", ""
    parts: list[Collection[Identifier]] = [one.seen.keys() for one in profiles]
    parts += [{one} for one in new]
    problem = None if fact.forced else _over_limit(fact, profiles, new, parts, rules)
    if problem is None and parted and _joins_parted(parts, parted):
        return "parted", ""
    return problem


def _over_limit(
    fact: Fact,
    profiles: Sequence[Component],
    new: Sequence[Identifier],
    parts: Sequence[Collection[Identifier]],
    rules: Rules,
) -> tuple[Reason, str] | None:
    totals = Counter(one.type for part in parts for one in part)
    over = [type_ for type_, count in totals.items() if count > rules.kinds[type_].limit]
    for type_ in sorted(over, key=rules.kinds.rank_type):
        kind = rules.kinds[type_]
        since = fact.at_ms - kind.window_ms if kind.window_ms else -1
        counts = [
            sum(seen > since for one, seen in profile.seen.items() if one.type == type_)
            for profile in profiles
        ]
        counts += [1 for one in new if one.type == type_]
        # A profile that is over a limit already, by an operator's merge, may gain other types.
        if sum(counts) > kind.limit and sum(counts) > max(counts):
            return ("other_user" if type_ == "user_id" else "limit"), type_
    return None


def _joins_parted(parts: Sequence[Collection[Identifier]], parted: Parted) -> bool:
    for pair in parted:
        first, second = pair
        holders = [
            next((place for place, part in enumerate(parts) if one in part), None)
            for one in (first, second)
        ]
        if None not in holders and holders[0] != holders[1]:
            return True
    return False
