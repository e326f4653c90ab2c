"""Transform ``sample``: keeps the events of a fixed share of users, the same users every time.

Whether an id belongs to the share follows from the id alone
(`gateway.events.conditions.bucketing`). So the app, for instance, can compute it too. The share is
a percentage, or an arm of a group that has a config of its own and may grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.components.context import Context
from gateway.components.hookmarkers import hookimpl
from gateway.components.ports import Arm, Group
from gateway.components.transform import Transform, TransformSpec
from gateway.components.transform_methods import KeepsByIds, Samples
from gateway.events.conditions.bucketing import Share, check_percent, sample_salt
from gateway.events.conditions.unit import KEEPS_PEOPLE_WHOLE, text_of, unit_reader
from gateway.events.envelope.sealed import Ids
from gateway.events.event import Event

__all__ = ["GroupSample", "Sample", "SampleConfig", "register_transforms"]


class SampleConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a sample.

    Either `percent` or `group` is set. A group defines by itself which id counts and which users
    are in which arm, so `by`, `salt` and `invert` go with `percent` only.

    Attributes:
        percent: share to keep, 0 to 100, with at most three decimals.
        group: group whose members' events are kept.
        arm: arm of the group.
        by: id to sample by: ``user`` (`userId`, else `anonymousId`), ``anonymous``
            (`anonymousId`), ``group`` (`groupId`, else `context.groupId`), ``event``
            (`messageId`), or a path such as ``properties.account_id``.
        salt: samples with the same salt choose the same ids; by default ``sample:`` and the
            transform's id, so that a group with the same name divides ids independently.
        missing: whether to keep events without the id, or of users in no arm.
        invert: keep all others instead, the control group.
    """

    percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    group: Annotated[str, Meta(min_length=1)] | None = None
    arm: Arm = "test"
    by: str = "user"
    salt: str | None = None
    missing: Literal["keep", "drop"] = "drop"
    invert: bool = False

    def __post_init__(self) -> None:
        if (self.percent is None) == (self.group is None):
            raise ValueError("set either percent or group")
        if self.group is not None and (self.by, self.salt, self.invert) != ("user", None, False):
            raise ValueError("by, salt and invert go with percent; a group has its own")
        if self.group is None and self.arm != "test":
            raise ValueError("arm: is an arm of a group; name the group")
        check_percent(self.percent or 0.0)
        unit_reader(self.by)


class GroupSample(Transform, Samples):
    """Keeps the events of one arm of a group."""

    mutates = False

    def __init__(self, group: Group, arm: Arm, *, missing_kept: bool) -> None:
        self._member = group.member
        self._provable = group.by in KEEPS_PEOPLE_WHOLE
        self._arm = arm
        self._missing_kept = missing_kept

    def apply(self, events: list[Event]) -> list[Event]:
        """Returns the events of users in the arm."""
        kept = []
        for event in events:
            member = self._member(event)
            if self._missing_kept if member is None else member.arm == self._arm:
                kept.append(event)
        return kept if len(kept) < len(events) else events

    def weight(self, event: Event) -> float | None:
        """Returns the weight of the user's arm; None for a group that divides single events."""
        if not self._provable:
            return None
        member = self._member(event)
        return 1.0 if member is None else member.weight


class Sample(Transform, KeepsByIds, Samples):
    """Keeps the events of a percentage of ids.

    Args:
        id_: id of the transform.
    """

    mutates = False

    def __init__(self, config: SampleConfig, id_: str) -> None:
        assert config.percent is not None
        self._read: Callable[[Any], Any] = unit_reader(config.by)
        self._ids_tell = config.by in ("user", "anonymous", "event")
        self._share = Share(sample_salt(id_, config.salt), config.percent)
        self._kept = not config.invert
        kept_percent = 100 - config.percent if config.invert else config.percent
        self._weight = None
        if config.by in KEEPS_PEOPLE_WHOLE and kept_percent:
            self._weight = 100 / kept_percent
        self._missing_kept = config.missing == "keep"

    def apply(self, events: list[Event]) -> list[Event]:
        """Returns the events whose id is in the sample."""
        kept = [event for event, keep in zip(events, self._decide(events), strict=True) if keep]
        return kept if len(kept) < len(events) else events

    def keeps(self, ids: Sequence[Ids | Event]) -> Sequence[bool] | None:
        """Tells whether each event is in the sample; returns None where ids do not tell."""
        return self._decide(ids) if self._ids_tell else None

    def weight(self, event: Event) -> float | None:
        """Returns one over the share; None for a sample of single events."""
        return self._weight if text_of(self._read(event)) is not None else 1.0

    def _decide(self, events: Sequence[Ids | Event]) -> list[bool]:
        read, decided = self._read, {None: self._missing_kept}
        result = []
        for event in events:
            id_ = read(event)
            if not isinstance(id_, str) or not id_:
                id_ = text_of(id_)
            # One batch often has many events of one user. The cache lasts for this batch only.
            keep = decided.get(id_)
            if keep is None:
                assert id_ is not None
                keep = decided[id_] = (id_ in self._share) is self._kept
            result.append(keep)
        return result


def _build(config: SampleConfig, context: Context) -> Transform:
    if config.group is not None:
        group = context.groups.use(config.group)
        return GroupSample(group, config.arm, missing_kept=config.missing == "keep")
    return Sample(config, context.id)


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Registers ``sample``."""
    register(TransformSpec("sample", SampleConfig, _build))
