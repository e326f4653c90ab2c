"""The ramps of a config: which groups have one, and what measures them where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.model import Config
from gateway.events.timestamps import exact_ms, format_ms
from gateway.rollouts.groups import Group, Groups
from gateway.rollouts.machine import Rollout
from gateway.rollouts.meter import Comparison, IntakeMeter, Meter

__all__ = ["Ramps", "measured_destinations", "resize", "standing"]


def measured_destinations(config: Config, name: str) -> set[str]:
    """The destinations whose outcomes tell of a group.

    Those that `measure` names; else those that are different for its arms, by `only` of their own
    or of a transform of theirs; else all.
    """
    if config.groups[name].measure:
        return set(config.groups[name].measure)
    found = {
        id_
        for id_, (settings, _) in config.destinations.items()
        if settings.only is not None and settings.only.group == name
    }
    for settings, _ in config.transforms.values():
        if settings.only is not None and settings.only.group == name and settings.enabled:
            found |= set(
                config.destinations if settings.destinations is None else settings.destinations
            )
    return found or set(config.destinations)


def _places_of(config: Config, name: str) -> int:
    """At how many destinations an event is measured for a group."""
    only = (config.destinations[id_][0].only for id_ in measured_destinations(config, name))
    # Of those that are for one arm each, an event reaches one.
    return max(1, sum(one is None or one.group != name for one in only))


@dataclass(frozen=True, slots=True)
class Ramps:
    """The ramps of a config, and what measures them.

    Attributes:
        comparisons: by group; none where others decide.
    """

    config: Config
    groups: Groups
    comparisons: Mapping[str, Comparison]

    def meters(self, destination: str) -> list[Meter]:
        """What measures a destination, for each group that its outcomes tell of."""
        return [
            comparison.meter(destination)
            for id_, comparison in self.comparisons.items()
            if destination in measured_destinations(self.config, id_)
        ]

    def intake_meters(self) -> list[IntakeMeter]:
        """What measures at intake, for each group."""
        return [
            IntakeMeter(comparison, _places_of(self.config, id_))
            for id_, comparison in self.comparisons.items()
        ]


def resize(group: Group, rollout: Rollout) -> None:
    """Have a group divided as its rollout says."""
    earlier = [(format_ms(until_ms), percent) for until_ms, percent in rollout.earlier]
    group.resize(rollout.percent, earlier)


def standing(group: Group) -> tuple[float, tuple[tuple[int, float], ...]]:
    """How a group is divided: its percentage, and those of before, as of `Rollout.earlier`."""
    earlier = (
        (until_ms, percent)
        for until, percent in group.earlier
        if (until_ms := exact_ms(until)) is not None
    )
    return group.percent, tuple(earlier)
