"""Changes a copy of an event, at the places that paths name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from gateway.delivery.mapping.functions import Unfit, text
from gateway.events.conditions.path import BODIES, EVERY, FIELDS, Path
from gateway.events.event import EVENT_TYPES, Event
from gateway.events.timestamps import format_ms, parse_ms

__all__ = ["TARGETS", "Draft", "field_value", "holders", "own", "put", "take"]

TARGETS = (
    *("type", "event", "name", "category", "userId", "anonymousId", "groupId", "previousId"),
    *("channel", "timestamp", "properties", "traits", "context", "integrations", "extra"),
)
"""The fields of an event that may be changed. The others identify it, or belong to the gateway."""

Step: TypeAlias = str | int | None


def field_value(field: str, value: Any) -> str:
    """Converts a value to the form that a field of the event holds.

    Raises:
        Unfit: the field cannot hold it.
    """
    if field == "timestamp":
        milliseconds = parse_ms(value)
        if milliseconds is None:
            raise Unfit("is not a time that can be read")
        return format_ms(milliseconds)
    held = text(value)
    if not held:
        raise Unfit("would be empty")
    if field == "type" and held not in EVENT_TYPES:
        raise Unfit(f"is none of the types {', '.join(sorted(EVENT_TYPES))}")
    return str(held)


class Draft:
    """A copy of an event that is being changed; `finish` returns it.

    A body is decoded anew when it is first changed, so that no other event shares it, and encoded
    once at the end.

    Attributes:
        event: the copy, which can be read meanwhile like any event.
    """

    def __init__(self, event: Event) -> None:
        self.event = event.copy()
        self._bodies: dict[str, dict[str, Any]] = {}

    def finish(self) -> Event:
        """Returns the event with all changes."""
        for name, body in self._bodies.items():
            setattr(self.event, name, body)
        return self.event

    def store(self, path: Path, value: Any) -> None:
        """Stores a value at a path, and creates missing objects on the way.

        Raises:
            Unfit: another value is in the way, or a field cannot hold the value.
        """
        if path.root in FIELDS:
            setattr(self.event, FIELDS[path.root], field_value(path.root, value))
            return
        put(self._body(path.root), path.steps, value)

    def remove(self, path: Path) -> None:
        """Removes the value at a path, if there is one."""
        if path.root in FIELDS:
            setattr(self.event, FIELDS[path.root], None)
        elif not path.steps:
            self._body(path.root).clear()
        elif getattr(self.event, BODIES[path.root]):
            take(self._body(path.root), path.steps)

    def elements(self, path: Path) -> Iterator[Any]:
        """Yields the elements of the lists at a path that ends with ``[]``; they may be changed."""
        return holders(self._body(path.root), path.steps)

    def _body(self, root: str) -> dict[str, Any]:
        body = self._bodies.get(root)
        if body is None:
            body = self._bodies[root] = self.event.own_body(root)
        return body


def holders(node: Any, steps: tuple[Step, ...]) -> Iterator[Any]:
    """Yields all values that steps lead to from a value."""
    for place, step in enumerate(steps):
        if step is EVERY:
            if isinstance(node, list):
                for element in node:
                    yield from holders(element, steps[place + 1 :])
            return
        if isinstance(step, str):
            if not isinstance(node, dict) or step not in node:
                return
        elif not isinstance(node, list) or step >= len(node):
            return
        node = node[step]
    yield node


def put(node: Any, steps: tuple[Step, ...], value: Any) -> None:
    """Stores a value where steps without ``[]`` lead to, and creates missing objects on the way.

    Raises:
        Unfit: another value is in the way.
    """
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        last = following is None
        if isinstance(step, str):
            if not isinstance(node, dict):
                raise Unfit(f"there is no object that could have a key {step!r}")
            if last:
                node[step] = value
            elif node.get(step) is None:
                node[step] = {}
        else:
            if not isinstance(node, list) or step is None or step >= len(node):
                raise Unfit(f"there is no element [{step}] to be set")
            if last:
                node[step] = value
        node = node[step]


def take(node: Any, steps: tuple[Step, ...]) -> None:
    """Removes the values that steps lead to from a value, if there are any."""
    step = steps[-1]
    for holder in holders(node, steps[:-1]):
        if isinstance(step, str):
            if isinstance(holder, dict):
                holder.pop(step, None)
        elif isinstance(holder, list):
            if step is EVERY:
                holder.clear()
            elif step < len(holder):
                del holder[step]


def own(value: Any) -> Any:
    """Returns a deep copy of a value, so that changes to it touch nothing else."""
    if isinstance(value, dict):
        return {key: own(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [own(inner) for inner in value]
    return value
