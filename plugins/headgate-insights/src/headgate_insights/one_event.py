"""The base of figures that are about one event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from headgate_insights.events import ANYTHING, Selector
from headgate_insights.figure import Figure

__all__ = ["EventOptions", "OneEvent"]


class EventOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The option that names the event."""

    event: Annotated[
        str, Meta(description="The event that makes people active. `*` is anything that they do.")
    ] = ANYTHING


Options = TypeVar("Options", bound=EventOptions)


class OneEvent(Figure[Options]):
    """A figure about the event of its options."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._event = Selector.parse(options.event)

    @property
    def selectors(self) -> Sequence[Selector]:
        """The event."""
        return (self._event,)
