"""Reads the id by which an event belongs to a sample or a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gateway.events.conditions.path import EVERY, FIELDS, Path, parse_path, path_reader
from gateway.events.event import EMPTY, Event

__all__ = ["KEEPS_PEOPLE_WHOLE", "UnitReader", "text_of", "unit_reader", "visitor_of"]

UnitReader: TypeAlias = Callable[[Event], Any]
"""Returns the value in the id's place, of any type; see `text_of`."""

KEEPS_PEOPLE_WHOLE = frozenset({"user", "anonymous", "group"})
"""The ids by which a share has all events of a person or none of them.

One person's events may differ in their message id, or in the value at a path.
"""

_LARGEST_EXACT = 2**53


def text_of(value: object) -> str | None:
    """Returns a text or a whole number (12, 12.0) as text; None for any other value."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not (abs(value) < _LARGEST_EXACT and value.is_integer()):
        return None
    return str(int(value))


def unit_reader(by: str) -> UnitReader:
    """Makes a function that reads an id from an event.

    Args:
        by: ``user`` (`userId`, else `anonymousId`), ``anonymous`` (`anonymousId`), ``group``
            (`groupId`, else `context.groupId`), ``event`` (`messageId`), or a path.

    Raises:
        ValueError: `by` is none of these, or a path to several values.
    """
    named = _BY.get(by)
    if named is not None:
        return named
    try:
        path = parse_path(by)
    except ValueError as error:
        choices = ", ".join(_BY)
        raise ValueError(f"by: {error} There are also: {choices}") from None
    if EVERY in path.steps or (path.root not in FIELDS and not path.steps):
        raise ValueError(f"by: {by!r} is not a single value")
    return path_reader(path)


def visitor_of(event: Event) -> str | None:
    """Returns the visitor of an event: its `anonymousId`, else the visitor linked to its `userId`.

    The link is noted when the event is stored (`gateway.identity.visitors`). Without a link, the
    `userId` itself is the visitor.
    """
    if event.anonymous_id:
        return event.anonymous_id
    noted = None if event.raw_notes is EMPTY else event.notes.visitor
    return noted or event.user_id


def _by_user(event: Event) -> str | None:
    return event.user_id or event.anonymous_id


_context_group = path_reader(Path("context", ("groupId",)))


def _by_group(event: Event) -> Any:
    return event.group_id or _context_group(event)


_BY: dict[str, UnitReader] = {
    "user": _by_user,
    "anonymous": path_reader(Path("anonymousId")),
    "group": _by_group,
    "event": path_reader(Path("messageId")),
}
