"""The ramps of a config, and the meters that measure their arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.model import Config
from gateway.events.timestamps import exact_ms, format_ms
from gateway.rollouts.groups import Group, Groups
from gateway.rollouts.machine import Rollout
from gateway.rollouts.meter import Comparison, IntakeMeter, Meter

__all__ = ["Ramps", "measured_destinations", "percentages", "resize"]


def measured_destinations(config: Config, name: str) -> set[str]:
    """Returns the destinations whose outcomes are measured for a group.

    These are the ones that `measure` names. Without it, they are those that differ between the
    arms: by their own `only`, or by that of one of their transforms. Without such, they are all.
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
    """Counts the destinations at which an event is measured for a group."""
    only = (config.destinations[id_][0].only for id_ in measured_destinations(config, name))
    # An event reaches only one of the destinations that are limited to an arm of this group.
    return max(1, sum(one is None or one.group != name for one in only))


@dataclass(frozen=True, slots=True)
class Ramps:
    """The ramps of a config, and their measurements.

    Attributes:
        comparisons: by group; empty if another shard decides.
    """

    config: Config
    groups: Groups
    comparisons: Mapping[str, Comparison]

    def meters(self, destination: str) -> list[Meter]:
        """Returns the meters of a destination, one for each group measured there."""
        return [
            comparison.meter(destination)
            for id_, comparison in self.comparisons.items()
            if destination in measured_destinations(self.config, id_)
        ]

    def intake_meters(self) -> list[IntakeMeter]:
        """Returns the meters of intake, one for each group."""
        return [
            IntakeMeter(comparison, _places_of(self.config, id_))
            for id_, comparison in self.comparisons.items()
        ]


def resize(group: Group, rollout: Rollout) -> None:
    """Sets the percentages of a group to those of its rollout."""
    earlier = [(format_ms(until_ms), percent) for until_ms, percent in rollout.earlier]
    group.resize(rollout.percent, earlier)


def percentages(group: Group) -> tuple[float, tuple[tuple[int, float], ...]]:
    """Returns the percentage of a group, and its earlier ones in the form of `Rollout.earlier`."""
    earlier = (
        (until_ms, percent)
        for until, percent in group.earlier
        if (until_ms := exact_ms(until)) is not None
    )
    return group.percent, tuple(earlier)
