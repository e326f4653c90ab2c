"""`[audiences.NAME]`: who belongs to an audience."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from gateway import ConditionError, ConfigError, Schedule, Scope, compile_condition
from headgate_profiles.computed.config import ComputedTrait

__all__ = ["AudienceConfig", "AudiencesConfig", "Behaviour", "check_audiences", "in_order"]


class Behaviour(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that people did.

    Attributes:
        event, where: which events count, as for a computed trait.
        within: only events of this last time count, such as ``30d``; empty for all.
        at_least: number of events.
    """

    event: str = ""
    where: str = ""
    within: str = ""
    at_least: Annotated[int, Meta(ge=1)] = 1

    def __post_init__(self) -> None:
        """Refuses a behaviour that no event could be."""
        _ = self.counted

    @property
    def counted(self) -> ComputedTrait:
        """The computed trait that counts the events."""
        return ComputedTrait(kind="count", event=self.event, where=self.where, window=self.within)


class AudienceConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The definition of an audience. A member fits all that it says.

    Attributes:
        where: condition on traits, such as ``traits.plan = "pro"``.
        did, did_not: behaviour.
        audiences, not_audiences: names of other audiences, all of which or none of which people
            belong to.
        groups: arms that people are in, by group.
    """

    where: str = ""
    did: tuple[Behaviour, ...] = ()
    did_not: tuple[Behaviour, ...] = ()
    audiences: tuple[str, ...] = ()
    not_audiences: tuple[str, ...] = ()
    groups: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuses an audience of everybody, and conditions that are none."""
        if not (self.where or self.did or self.audiences or self.groups):
            raise ValueError("where: an audience needs where, did, audiences or groups")
        try:
            if self.where:
                compile_condition(self.where)
        except ConditionError as error:
            raise ValueError(f"where: {error}") from error


class AudiencesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of `[audience-job]`.

    Attributes:
        every: how often audiences are decided anew.
        kept_changes: newest entries and exits that are kept of each audience.
    """

    every: str = "every 15m"
    kept_changes: Annotated[int, Meta(ge=0, le=100_000_000)] = 1_000_000

    def __post_init__(self) -> None:
        """Refuses a schedule that is none."""
        Schedule.parse(self.every)


def check_audiences(scope: Scope) -> None:
    """Refuses audiences that refer to none, or in a circle.

    Raises:
        ConfigError: with the path of the key.
    """
    in_order(scope.tables["audiences"])


def in_order(configs: Mapping[str, AudienceConfig]) -> list[str]:
    """Returns the names of audiences, each after those that it refers to.

    Raises:
        ConfigError: one refers to an audience that is not there, or to itself through others.
    """
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in order:
            return
        config = configs[name]
        for key, others in (
            ("audiences", config.audiences),
            ("not_audiences", config.not_audiences),
        ):
            for other in others:
                path = f"audiences.{name}.{key}"
                if other not in configs:
                    raise ConfigError(f"{path}: there is no audience {other!r}")
                if other in (*above, name):
                    raise ConfigError(f"{path}: {other!r} refers to {name!r} itself")
                visit(other, (*above, name))
        order.append(name)

    for name in configs:
        visit(name, ())
    return order
