"""Groups of users, to try something out on a few before it is for all.

A group divides those whom it concerns into two *arms*: ``test``, who get what is new, and
``control``, who do not. Which arm an id belongs to is a pure function of salts, percentages and the
id (`gateway.events.conditions.bucketing`), so that it is the same after a restart, on another
machine, and in an app that computes it itself:

1. who is not `eligible`, or has no id, is in no arm;
2. in a *layer*, an id stands at ``position(layer's salt, id)``. Each group of the layer has a
   slot of its own, and slots do not overlap: nobody is in two groups of a layer. What is left of a
   layer is its holdout, which is in none;
3. within its slot, the id is in ``test`` if it belongs to the share (group's salt, percent), else
   in ``control``.

Raising the percentage moves ids from control to test and none back. An event's *weight* is one over
the share of the slot's ids that are in its arm: what it stands for in an estimate over all of them.
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
"""Changes of a percentage that are remembered."""


@dataclass(frozen=True, slots=True)
class Membership:
    """An arm, and how many members of the slot one of its members stands for."""

    arm: Arm
    weight: float


class _Split:
    """How the ids of a slot are divided at a percentage."""

    __slots__ = ("control", "share", "test")

    def __init__(self, salt: str, percent: float) -> None:
        share = percent / 100
        self.share = Share(salt, percent)
        self.test = Membership("test", 1 / share if share else 0.0)
        self.control = Membership("control", 1 / (1 - share) if share < 1 else 0.0)


class Group:
    """Decides who is in which arm.

    Attributes:
        layer_salt: of the layer that it is in; None for one alone.
        percent: of those in the slot, how many are in the test arm now.
        earlier: and how many were, of events that came in before; see `resize`.
    """

    def __init__(self, id_: str, config: GroupConfig, layer_salt: str | None) -> None:
        self.id = id_
        self.config = config
        self.layer_salt = layer_salt
        self._read: UnitReader = visitor_of if config.by == "user" else unit_reader(config.by)
        self._eligible = compile_condition(config.eligible) if config.eligible else None
        self._salt = id_ if config.salt is None else config.salt
        begin, end = config.slot
        self._before = Share(layer_salt, begin) if layer_salt is not None and begin else None
        self._up_to = Share(layer_salt, end) if layer_salt is not None and end < 100 else None
        self.resize(config.percent)

    def member(self, event: Event) -> Membership | None:
        """The arm of whom an event is about; None where he is in neither.

        What counts is how many were in the test arm when the event came in.
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
        """The same for an event that would come in now."""
        return self.member_id(self.id_of(event))

    def id_of(self, event: Event) -> str | None:
        """The id that decides about an event; None where it is in no arm."""
        if self._eligible is not None and not self._eligible(event):
            return None
        return text_of(self._read(event))

    def member_id(self, id_: str | None) -> Membership | None:
        """The arm of an id that is eligible, now."""
        return self._in_slot(id_, self._split)

    def _in_slot(self, id_: str | None, split: _Split) -> Membership | None:
        if id_ is None:
            return None
        if self._up_to is not None and id_ not in self._up_to:
            return None
        if self._before is not None and id_ in self._before:
            return None
        return split.test if id_ in split.share else split.control

    def stands(self, event: Event) -> tuple[str | None, float | None]:
        """The id that counts of an event, and its position by the group's salt, in percent."""
        id_ = text_of(self._read(event))
        return id_, None if id_ is None else position(self._salt, id_)

    def resize(self, percent: float, earlier: Sequence[tuple[str, float]] = ()) -> None:
        """Change how many are in the test arm.

        An event is looked at once for each destination, and at other times: whoever comes first
        must not see it in another arm than the last one, or it would reach both or none. So it goes
        by the time at which the event came in.

        Args:
            percent: for all events but those of earlier times.
            earlier: time and percentage of events that came in before it, oldest first; times are
                in the form of `Event.received_at`.
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
        """A group, for something that depends on who is in it.

        Raises:
            ConfigError: there is none with this id.
        """
        if id_ not in self._groups:
            known = ", ".join(self._groups) or "none"
            raise ConfigError(f"there is no group {id_!r}; there are: {known}")
        self._used.add(id_)
        return self._groups[id_]

    def take_over(self, before: Groups, until: str) -> None:
        """Go on where other groups stood: for events of before, their percentages count.

        Those groups go by the new ones too, as long as something still asks them. A group that
        divides users otherwise than by its percentage begins anew. One with a ramp knows its own
        past; one that has a ramp only now stays as it is until its rollout begins.

        Args:
            until: now, in the form of `Event.received_at`.
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
        """Whether something depends on a group whose members are visitors."""
        return any(self._groups[id_].config.by == "user" for id_ in self._used)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __getitem__(self, id_: str) -> Group:
        return self._groups[id_]

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())


def _division(group: Group) -> tuple[object, ...]:
    """All that decides who is in which arm, but for the percentage."""
    config = group.config
    return config.by, config.salt, config.slot, config.eligible, config.layer, group.layer_salt
