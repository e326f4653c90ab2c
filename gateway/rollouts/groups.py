"""Groups of users, to try a change on a few of them first.

A group divides its users into two *arms*: ``test`` gets the change, ``control`` does not. The arm
of an id is a pure function of salts, percentages and the id
(`gateway.events.conditions.bucketing`). So it is the same after a restart, on another machine, and
in an app that computes it itself:

1. an event that is not `eligible`, or has no id, is in no arm;
2. in a *layer*, an id has the place ``position(layer's salt, id)``. Each group of the layer has its
   own slot and slots do not overlap, so no id is in two groups of a layer. The rest of a layer is
   its holdout, which is in no group;
3. within the slot, the id is in ``test`` if it belongs to the share (group's salt, percent), else
   in ``control``.

A higher percentage moves ids from control to test and none back. The *weight* of an event is one
over the share of the slot's ids in its arm: the number of members that it represents in an
estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.components.ports import Arm
from gateway.config.groups import GroupConfig, LayerConfig
from gateway.errors import ConfigError
from gateway.events.conditions.bucketing import Share, position
from gateway.events.conditions.condition import compile_condition
from gateway.events.conditions.unit import UnitReader, text_of, unit_reader, visitor_of
from gateway.events.event import Event

__all__ = ["MOST_EARLIER", "Arm", "Group", "Groups", "Membership"]

MOST_EARLIER = 100
"""Largest number of earlier percentages that a group remembers."""


@dataclass(frozen=True, slots=True)
class Membership:
    """An arm, and the number of slot members that one of its members represents."""

    arm: Arm
    weight: float


class _Split:
    """The two arms of a slot at a percentage."""

    __slots__ = ("control", "share", "test")

    def __init__(self, salt: str, percent: float) -> None:
        share = percent / 100
        self.share = Share(salt, percent)
        self.test = Membership("test", 1 / share if share else 0.0)
        self.control = Membership("control", 1 / (1 - share) if share < 1 else 0.0)


class Group:
    """Assigns events to arms.

    Attributes:
        by: the id that decides the arm.
        layer_salt: salt of the group's layer; None without a layer.
        percent: share of the slot that is in the test arm now.
        earlier: times and percentages for events received before; see `resize`.
    """

    def __init__(self, id_: str, config: GroupConfig, layer_salt: str | None) -> None:
        self.id = id_
        self.config = config
        self.by = config.by
        self.layer_salt = layer_salt
        self._read: UnitReader = visitor_of if config.by == "user" else unit_reader(config.by)
        self._eligible = compile_condition(config.eligible) if config.eligible else None
        self._salt = id_ if config.salt is None else config.salt
        begin, end = config.slot
        self._before = Share(layer_salt, begin) if layer_salt is not None and begin else None
        self._up_to = Share(layer_salt, end) if layer_salt is not None and end < 100 else None
        self.resize(config.percent)

    def member(self, event: Event) -> Membership | None:
        """Returns the arm of an event; None if it is in neither.

        The percentage at the time of receipt counts.
        """
        if self._eligible is not None and not self._eligible(event):
            return None
        id_ = text_of(self._read(event))
        if self._earlier and (received_at := event.received_at) is not None:
            for until, split in self._earlier:
                if received_at < until:
                    return self._in_slot(id_, split)
        return self._in_slot(id_, self._split)

    def member_today(self, event: Event) -> Membership | None:
        """Returns the arm of an event as if it were received now."""
        return self.member_id(self.id_of(event))

    def id_of(self, event: Event) -> str | None:
        """Returns the id that decides the arm of an event; None if the event is in no arm."""
        if self._eligible is not None and not self._eligible(event):
            return None
        return text_of(self._read(event))

    def member_id(self, id_: str | None) -> Membership | None:
        """Returns the current arm of the id of an eligible event."""
        return self._in_slot(id_, self._split)

    def _in_slot(self, id_: str | None, split: _Split) -> Membership | None:
        if id_ is None:
            return None
        if self._up_to is not None and id_ not in self._up_to:
            return None
        if self._before is not None and id_ in self._before:
            return None
        return split.test if id_ in split.share else split.control

    def id_and_position(self, event: Event) -> tuple[str | None, float | None]:
        """Returns the id that decides the arm of an event, and its position in percent."""
        id_ = text_of(self._read(event))
        return id_, None if id_ is None else position(self._salt, id_)

    def resize(self, percent: float, earlier: Sequence[tuple[str, float]] = ()) -> None:
        """Changes the size of the test arm.

        Destinations look at the same event at different times. If they saw it in different arms, it
        would reach both or neither. So the time of receipt decides which percentage counts.

        Args:
            percent: for all events except those of earlier times.
            earlier: pairs of a time and the percentage of events received before it, oldest first;
                times have the form of `Event.received_at`.
        """
        self.percent = percent
        self._split = _Split(self._salt, percent)
        self.earlier = earlier
        self._earlier = tuple((until, _Split(self._salt, part)) for until, part in earlier)


class Groups:
    """All groups of a gateway."""

    def __init__(
        self,
        groups: Mapping[str, GroupConfig] | None = None,
        layers: Mapping[str, LayerConfig] | None = None,
    ) -> None:
        self._groups = {}
        self._used: set[str] = set()
        for id_, config in (groups or {}).items():
            salt = None
            if config.layer:
                salt = (layers or {})[config.layer].salt
                salt = config.layer if salt is None else salt
            self._groups[id_] = Group(id_, config, salt)

    def use(self, id_: str) -> Group:
        """Returns a group and notes that something depends on it.

        Raises:
            ConfigError: there is no group with this id.
        """
        if id_ not in self._groups:
            known = ", ".join(self._groups) or "none"
            raise ConfigError(f"there is no group {id_!r}; there are: {known}")
        self._used.add(id_)
        return self._groups[id_]

    def take_over(self, before: Groups, until: str) -> None:
        """Takes over the percentages of the groups of an earlier config.

        They count for events received until now. The earlier groups get the new percentages too, as
        events under way still use them. A group whose division changed in more than the percentage
        starts afresh. The rollout of a group with a ramp knows its earlier percentages; a group
        whose ramp is new keeps its percentage until its rollout begins.

        Args:
            until: the current time in the form of `Event.received_at`.
        """
        for id_, group in self._groups.items():
            old = before._groups.get(id_)
            if old is None or _division(group) != _division(old):
                continue
            if group.config.ramp:
                if not old.config.ramp:
                    group.resize(old.percent, old.earlier)
                continue
            earlier = list(old.earlier)
            if old.percent != group.percent:
                earlier.append((until, old.percent))
            for one in (group, old):
                one.resize(group.percent, earlier[-MOST_EARLIER:])

    @property
    def ask_for_visitors(self) -> bool:
        """True if something depends on a group whose members are visitors (``by = "user"``)."""
        return any(self._groups[id_].config.by == "user" for id_ in self._used)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __getitem__(self, id_: str) -> Group:
        return self._groups[id_]

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())


def _division(group: Group) -> tuple[object, ...]:
    """Returns all that decides the arm of an id, except the percentage."""
    config = group.config
    return config.by, config.salt, config.slot, config.eligible, config.layer, group.layer_salt
