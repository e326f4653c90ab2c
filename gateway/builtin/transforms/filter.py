"""Transform ``filter``: drops the events that meet a condition, or keeps only those.

`gateway.events.conditions.condition` has the language.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway.components.context import Context
from gateway.components.hookmarkers import hookimpl
from gateway.components.transform import Transform, TransformSpec
from gateway.events.conditions.condition import Condition, ConditionError, compile_condition
from gateway.events.event import Event

__all__ = ["Filter", "FilterConfig", "register_transforms"]


class FilterConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a filter; exactly one of them is set.

    Attributes:
        drop: condition of the events to drop.
        keep: condition of the events to keep.
    """

    drop: str | None = None
    keep: str | None = None

    def __post_init__(self) -> None:
        self.condition()

    def condition(self) -> tuple[Condition, bool]:
        """Returns the condition, and True to keep the events that meet it, False to drop them."""
        if self.drop is not None and self.keep is None:
            return _compile("drop", self.drop), False
        if self.keep is not None and self.drop is None:
            return _compile("keep", self.keep), True
        raise ValueError(
            "write either drop or keep, with a condition such as 'type = \"page\"'"
            + ("; not both" if self.drop is not None else "")
        )


def _compile(key: str, text: str) -> Condition:
    try:
        return compile_condition(text)
    except ConditionError as error:
        raise ValueError(f"{key}: {error}") from None


class Filter(Transform):
    """Keeps or drops the events that meet a condition."""

    mutates = False

    def __init__(self, config: FilterConfig) -> None:
        self._meets, self._keeps = config.condition()

    def apply(self, events: list[Event]) -> list[Event]:
        """Returns the events to keep."""
        meets = self._meets
        if self._keeps:
            kept = [event for event in events if meets(event)]
        else:
            kept = [event for event in events if not meets(event)]
        return kept if len(kept) < len(events) else events


def _build(config: FilterConfig, _: Context) -> Filter:
    return Filter(config)


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Registers ``filter``."""
    register(TransformSpec("filter", FilterConfig, _build))
