"""Groups of users, to try something out on a few before it is for all.

A group divides those whom it concerns into two *arms*: ``test``, who get what is new, and
``control``, who do not. Which arm an id belongs to is a pure function of salts, percentages and the
id (`gateway.assignment`), so that it is the same after a restart, on another machine, and in an app
that computes it itself:

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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from gateway.assignment import Share, check_percent, position
from gateway.condition import compile_condition
from gateway.errors import ConfigError
from gateway.event import Event
from gateway.unit import UnitReader, text_of, unit_reader, visitor_of

__all__ = ["Arm", "Group", "GroupConfig", "Groups", "LayerConfig", "Membership", "Only"]

Arm: TypeAlias = Literal["test", "control"]
Percent: TypeAlias = Annotated[float, Meta(ge=0, le=100)]


class GroupConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[groups.ID]`.

    Attributes:
        percent: of those in the slot, how many are in the test arm; at most three decimals.
        by: whose id counts: ``user`` (the visitor: `anonymousId`, else the one that the `userId`
            is linked to, else `userId`, so that who logs in stays in the arm he was in),
            ``anonymous``, ``group``, ``event`` or a path.
        salt: groups with the same salt and no layer choose the same ids; the group's own id unless
            set.
        layer: groups of one layer have no member in common.
        slot: from where to where in its layer, in percent.
        eligible: a condition on events; who does not meet it is in no arm.
        stamp: whether events carry arm and weight as ``context.groups.ID`` when they are delivered.
    """

    percent: Percent = 0.0
    by: str = "user"
    salt: str | None = None
    layer: str = ""
    slot: tuple[Percent, Percent] = (0.0, 100.0)
    eligible: str = ""
    stamp: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        check_percent(self.percent)
        for bound in self.slot:
            check_percent(bound, "slot")
        if self.slot[0] >= self.slot[1]:
            raise ValueError("slot: begins where it ends, or after")
        if self.slot != (0.0, 100.0) and not self.layer:
            raise ValueError("slot: is a part of a layer; name the layer")
        if self.by != "user":
            unit_reader(self.by)
        if self.eligible:
            compile_condition(self.eligible)


class LayerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[layers.ID]`.

    Attributes:
        salt: the layer's own id unless set.
    """

    salt: str | None = None


class Only(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which arm something is for."""

    group: str
    arm: Arm = "test"


@dataclass(frozen=True, slots=True)
class Membership:
    """An arm, and how many members of the slot one of its members stands for."""

    arm: Arm
    weight: float


class Group:
    """Decides who is in which arm.

    Attributes:
        percent: of those in the slot, how many are in the test arm now.
    """

    def __init__(self, id_: str, config: GroupConfig, layer_salt: str | None) -> None:
        self.id = id_
        self.config = config
        self._read: UnitReader = visitor_of if config.by == "user" else unit_reader(config.by)
        self._eligible = compile_condition(config.eligible) if config.eligible else None
        self._salt = id_ if config.salt is None else config.salt
        begin, end = config.slot
        self._before = Share(layer_salt, begin) if layer_salt is not None and begin else None
        self._up_to = Share(layer_salt, end) if layer_salt is not None and end < 100 else None
        self.resize(config.percent)

    def member(self, event: Event) -> Membership | None:
        """The arm of whom an event is about; None where he is in neither."""
        if self._eligible is not None and not self._eligible(event):
            return None
        return self.member_id(text_of(self._read(event)))

    def member_id(self, id_: str | None) -> Membership | None:
        """The arm of an id that is eligible."""
        if id_ is None:
            return None
        if self._up_to is not None and id_ not in self._up_to:
            return None
        if self._before is not None and id_ in self._before:
            return None
        return self._test_member if id_ in self._test else self._control_member

    def stands(self, event: Event) -> tuple[str | None, float | None]:
        """The id that counts of an event, and its position by the group's salt, in percent."""
        id_ = text_of(self._read(event))
        return id_, None if id_ is None else position(self._salt, id_)

    def resize(self, percent: float) -> None:
        """Change how many are in the test arm, from the next event on."""
        self.percent = percent
        self._test = Share(self._salt, percent)
        share = percent / 100
        self._test_member = Membership("test", 1 / share if share else 0.0)
        self._control_member = Membership("control", 1 / (1 - share) if share < 1 else 0.0)


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
