"""``sample``: lets the events of a fixed share of users through, the same users every time.

Whether an id belongs to the share follows from the id alone (`gateway.assignment`), so it can be
worked out anywhere, by the app itself for instance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.assignment import Share, check_percent
from gateway.component import Context, Transform, TransformSpec
from gateway.event import Event
from gateway.hookspecs import hookimpl
from gateway.sealed import Ids
from gateway.subject import subject_reader, text_of

__all__ = ["Sample", "SampleConfig", "register_transforms"]


class SampleConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a sample.

    Attributes:
        percent: share that is let through, 0 to 100, with at most three decimals.
        by: what is sampled: ``user`` (`userId`, else `anonymousId`), ``anonymous``
            (`anonymousId`), ``group`` (`groupId`, else `context.groupId`), ``event``
            (`messageId`), or a path such as ``properties.account_id``.
        salt: samples with the same salt choose the same ids; by default the transform's own id.
        missing: what happens to events without the id.
        invert: let the others through instead: the control group.
    """

    percent: Annotated[float, Meta(ge=0, le=100)]
    by: str = "user"
    salt: str | None = None
    missing: Literal["keep", "drop"] = "drop"
    invert: bool = False

    def __post_init__(self) -> None:
        check_percent(self.percent)
        subject_reader(self.by)


class Sample(Transform):
    """The transform.

    Args:
        salt: what `config.salt` is if it is not set.
    """

    mutates = False

    def __init__(self, config: SampleConfig, salt: str) -> None:
        self._read: Callable[[Any], Any] = subject_reader(config.by)
        self._ids_tell = config.by in ("user", "anonymous", "event")
        self._share = Share(salt if config.salt is None else config.salt, config.percent)
        self._kept = not config.invert
        self._missing_kept = config.missing == "keep"

    def apply(self, events: list[Event]) -> list[Event]:
        """The events whose id is in the sample."""
        kept = [event for event, keep in zip(events, self._decide(events), strict=True) if keep]
        return kept if len(kept) < len(events) else events

    def keeps(self, ids: Sequence[Ids | Event]) -> Sequence[bool] | None:
        """Whether each event is in the sample, where its ids tell."""
        return self._decide(ids) if self._ids_tell else None

    def _decide(self, events: Sequence[Ids | Event]) -> list[bool]:
        read, decided = self._read, {None: self._missing_kept}
        result = []
        for event in events:
            id_ = read(event)
            if not isinstance(id_, str) or not id_:
                id_ = text_of(id_)
            # One batch often has many events of one user; what is known is forgotten after it.
            keep = decided.get(id_)
            if keep is None:
                assert id_ is not None
                keep = decided[id_] = (id_ in self._share) is self._kept
            result.append(keep)
        return result


def _build(config: SampleConfig, context: Context) -> Sample:
    return Sample(config, context.id)


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Register ``sample``."""
    register(TransformSpec("sample", SampleConfig, _build))
