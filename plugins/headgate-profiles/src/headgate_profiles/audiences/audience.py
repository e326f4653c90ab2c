"""Decides whether a person belongs to an audience."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from gateway import Event, compile_condition
from headgate_profiles.audiences.config import AudienceConfig, Behaviour, in_order
from headgate_profiles.computed.definition import Definition
from headgate_profiles.profile import Profile, Schema

__all__ = ["Audience", "Person", "Reason", "audiences_of", "behaviours_of"]


class Reason(NamedTuple):
    """A part of a definition, in words, and whether a person fits it."""

    text: str
    fits: bool


@dataclass(frozen=True)
class Person:
    """A profile at a time, as audiences see it."""

    profile: Profile
    schema: Schema
    now_ms: int

    @cached_property
    def traits(self) -> Event:
        """An event whose traits are those of the person, for conditions."""
        event = Event(type="identify")
        shown = self.profile.shown(self.schema, self.now_ms)
        event.traits = {name: trait.value for name, trait in shown}
        return event

    def times(self, definition: Definition) -> int:
        """Returns how often the person did something."""
        buckets = self.profile.activity.computed.get(definition.key, {})
        times: int = definition.result(buckets, self.now_ms)
        return times


class Audience:
    """An audience of config."""

    def __init__(self, name: str, config: AudienceConfig) -> None:
        self.name = name
        self._config = config
        self._where = compile_condition(config.where) if config.where else None
        self._did = [(one, Definition("", one.counted)) for one in config.did]
        self._did_not = [(one, Definition("", one.counted)) for one in config.did_not]

    def fits(self, person: Person, member_of: Collection[str]) -> bool:
        """Tells whether a person belongs to it.

        Args:
            member_of: the other audiences that the person belongs to.
        """
        return all(reason.fits for reason in self.reasons(person, member_of))

    def reasons(self, person: Person, member_of: Collection[str]) -> Iterator[Reason]:
        """Yields each part of the definition, the cheapest first."""
        config = self._config
        for other in config.audiences:
            yield Reason(f"belongs to {other}", other in member_of)
        for other in config.not_audiences:
            yield Reason(f"does not belong to {other}", other not in member_of)
        arms = person.profile.activity.arms
        for group, arm in config.groups.items():
            found = arms[group][0] if group in arms else None
            yield Reason(f"is in the arm {arm} of {group}: {found or 'in none'}", found == arm)
        for one, definition in self._did:
            times = person.times(definition)
            yield Reason(f"did {_words(one)}: {times:,} times", times >= one.at_least)
        for one, definition in self._did_not:
            times = person.times(definition)
            yield Reason(f"did not {_words(one)}: {times:,} times", times < one.at_least)
        if self._where is not None:
            yield Reason(config.where, self._where(person.traits))


def _words(one: Behaviour) -> str:
    what = one.event or "something"
    if one.where:
        what += f" where {one.where}"
    if one.at_least > 1:
        what += f" at least {one.at_least:,} times"
    return what + (f" within {one.within}" if one.within else "")


def audiences_of(tables: Mapping[str, Any]) -> list[Audience]:
    """Returns the audiences of `[audiences.NAME]`, each after those that it refers to."""
    configs: Mapping[str, AudienceConfig] = tables.get("audiences", {})
    return [Audience(name, configs[name]) for name in in_order(configs)]


def behaviours_of(tables: Mapping[str, Any]) -> tuple[Definition, ...]:
    """Returns what has to be counted for audiences, as computed traits without a name."""
    configs: Mapping[str, AudienceConfig] = tables.get("audiences", {})
    return tuple(
        Definition("", one.counted)
        for config in configs.values()
        for one in (*config.did, *config.did_not)
    )
