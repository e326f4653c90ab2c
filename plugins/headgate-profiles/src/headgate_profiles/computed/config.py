"""`[traits.NAME]`: a computed trait."""

from __future__ import annotations

import re

from msgspec import Struct

from gateway import ConditionError, PathError, compile_condition, parse_path
from headgate_profiles.computed.aggregates import Kind

__all__ = ["MOST_WINDOW_DAYS", "ComputedTrait", "window_ms"]

MOST_WINDOW_DAYS = 400
"""Longest window. Each day of it that has events is a state of its own."""

_UNITS_MS = {"h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


class ComputedTrait(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The definition of a computed trait.

    Attributes:
        kind: how values become one.
        event: name of the track events that count; empty for all events that `where` admits.
        where: condition on these events.
        property: path of the value in the event, such as ``properties.total``; not for ``count``.
        window: only events of this last time count, such as ``90d``, ``12h`` or ``4w``; empty for
            all.
    """

    kind: Kind
    event: str = ""
    where: str = ""
    property: str = ""
    window: str = ""

    def __post_init__(self) -> None:
        """Refuses definitions that could never have a value."""
        if not self.event and not self.where:
            raise ValueError("event: name an event, or a condition in where")
        if self.kind == "count" and self.property:
            raise ValueError("property: count counts events; leave this out, or use unique_count")
        if self.kind != "count" and not self.property:
            raise ValueError(f"property: {self.kind} needs one, such as properties.total")
        try:
            if self.where:
                compile_condition(self.where)
        except ConditionError as error:
            raise ValueError(f"where: {error}") from error
        try:
            if self.property:
                parse_path(self.property)
        except PathError as error:
            raise ValueError(f"property: {error}") from error
        if self.window:
            try:
                window_ms(self.window)
            except ValueError as error:
                raise ValueError(f"window: {error}") from error


def window_ms(text: str) -> int:
    """Returns the length of a window in milliseconds.

    Raises:
        ValueError: the text is no window, or it is too long.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text)
    if found is None:
        raise ValueError(f"{text!r} is no time like 90d, 12h or 4w")
    length = int(found[1]) * _UNITS_MS[found[2]]
    if length > MOST_WINDOW_DAYS * _UNITS_MS["d"]:
        raise ValueError(f"{text} is longer than {MOST_WINDOW_DAYS}d")
    return length
