"""Paths to a value of an event: ``userId``, ``properties.products[0].sku``, ``context.ip``.

A path begins with a field or a body of the event, named as in JSON. Steps may follow::

    .name          a key made of letters, digits, ``_``, ``$`` and ``-``
    ["any key"]    a key with other characters; a backslash escapes ``"`` and ``\\``
    [2]            an element of a list, counted from 0
    []             every element of a list (only where several values make sense)

Top-level keys that the specification does not name are in ``extra``: ``extra.tenant``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from operator import attrgetter
from typing import Any

import msgspec

from gateway.events.event import EMPTY, Event

__all__ = [
    "BODIES",
    "EVERY",
    "FIELDS",
    "Path",
    "PathError",
    "format_path",
    "parse_path",
    "path_reader",
    "scan_path",
]

BODIES = {
    "properties": "raw_properties",
    "traits": "raw_traits",
    "context": "raw_context",
    "integrations": "raw_integrations",
    "_metadata": "raw_metadata",
    "extra": "raw_extra",
}
"""Maps the bodies that a path can begin with to the attribute that holds their bytes."""

FIELDS = {
    field.encode_name: field.name
    for field in msgspec.structs.fields(Event)
    if not field.name.startswith("raw_")
}
"""Maps the fields that a path can name, as in JSON, to the attribute of `Event`."""

EVERY = None
"""The step ``[]``."""

_USUAL_BODIES = ("properties", "traits", "context", "extra")

_ROOT = re.compile(r"[^\W\d]\w*")
_STEP = re.compile(
    r"""\.(?P<name>[\w$-]+)
      | \[(?P<index>[0-9]{1,6})\]
      | \[(?P<quoted>"(?:[^"\\]|\\["\\])*")\]
      | \[(?P<every>)\]""",
    re.VERBOSE,
)


class PathError(ValueError):
    """A text is not a path; `position` is the index of the wrong character."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Path:
    """A path to a value of an event.

    Attributes:
        root: a key of `FIELDS` or `BODIES`.
        steps: keys, indexes of lists, or `EVERY`.
    """

    root: str
    steps: tuple[str | int | None, ...] = ()

    def __str__(self) -> str:
        text = self.root
        for step in self.steps:
            if step is EVERY:
                text += "[]"
            elif isinstance(step, int):
                text += f"[{step}]"
            elif re.fullmatch(r"[\w$-]+", step):
                text += f".{step}"
            else:
                escaped = step.replace("\\", "\\\\").replace('"', '\\"')
                text += f'["{escaped}"]'
        return text


def format_path(root: str, steps: Sequence[str | int]) -> str:
    """Returns the text of a path, as `parse_path` reads it.

    Args:
        root: a field or a body of the event, such as ``properties``.
        steps: keys and indexes of lists, from there on.
    """
    return str(Path(root, tuple(steps)))


def parse_path(text: str, fields: Collection[str] = FIELDS) -> Path:
    """Reads a text that is a path and nothing else.

    Args:
        fields: names of single values that a path may be; by default those of an event.

    Raises:
        PathError: the text is not a path. The message may suggest a correction.
    """
    path, end = scan_path(text, 0, fields)
    if end != len(text):
        raise PathError(f"{text[end]!r} cannot follow {str(path)!r}", end)
    return path


def scan_path(text: str, start: int, fields: Collection[str] = FIELDS) -> tuple[Path, int]:
    """Reads the path that begins at `start`; returns it and the index after it.

    Raises:
        PathError: no path begins there.
    """
    match = _ROOT.match(text, start)
    if match is None:
        raise PathError("a path begins with the name of a field", start)
    root, position = match[0], match.end()
    if root not in fields and root not in BODIES:
        raise PathError(_unknown_root(root, fields), start)
    steps: list[str | int | None] = []
    while position < len(text) and text[position] in ".[":
        step = _STEP.match(text, position)
        if step is None:
            raise PathError(
                "expected a key after '.'"
                if text[position] == "."
                else 'expected an index such as [0], a key such as ["some key"], or []',
                position,
            )
        if root in fields:
            raise PathError(f"{root!r} holds a single value, so nothing is inside it", position)
        steps.append(_value_of(step))
        position = step.end()
    return Path(root, tuple(steps)), position


def _value_of(step: re.Match[str]) -> str | int | None:
    if step["name"] is not None:
        return step["name"]
    if step["index"] is not None:
        return int(step["index"])
    if step["quoted"] is not None:
        return re.sub(r"\\(.)", r"\1", step["quoted"][1:-1])
    return EVERY


def _unknown_root(root: str, fields: Collection[str]) -> str:
    names = [*fields, *BODIES]
    folded = {name.lower(): name for name in names}
    near = get_close_matches(root.replace("_", "").lower(), folded, n=1, cutoff=0.75)
    meant = [folded[name] for name in near] or [f"{body}.{root}" for body in _USUAL_BODIES]
    return f"an event has no field {root!r}; did you mean {' or '.join(map(repr, meant))}?"


def path_reader(path: Path) -> Callable[[Event], Any]:
    """Makes a function that returns an event's value at a path, or None if there is none.

    If the body is still undecoded, only the one value is read from its bytes and nothing is kept.
    That is faster, and events that wait in memory stay small.
    """
    if path.root in FIELDS:
        return attrgetter(FIELDS[path.root])
    slot = BODIES[path.root]
    if not path.steps:
        return _body_reader(path.root, slot)
    first, rest = path.steps[0], path.steps[1:]
    if not isinstance(first, str):
        return _nothing  # a body is an object, never a list
    read = _key_reader(path.root, slot, first)
    if not rest:
        return read

    def deep(event: Event) -> Any:
        value = read(event)
        for step in rest:
            if isinstance(step, str):
                if not isinstance(value, Mapping):
                    return None
                value = value.get(step)
            elif step is EVERY or not isinstance(value, list | tuple) or step >= len(value):
                return None
            else:
                value = value[step]
        return value

    return deep


def _nothing(_: Event) -> None:
    return None


def _body_reader(root: str, slot: str) -> Callable[[Event], Any]:
    get_body = attrgetter(root.removeprefix("_"))

    def whole(event: Event) -> Any:
        return None if getattr(event, slot) is EMPTY else get_body(event)

    return whole


_UNPEEKABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')  # cannot be in a Struct's field name


def _key_reader(root: str, slot: str, key: str) -> Callable[[Event], Any]:
    get_body = attrgetter(root.removeprefix("_"))
    if _UNPEEKABLE.search(key):
        return lambda event: _get(get_body(event), key)
    peek = msgspec.defstruct("Peek", [("value", Any, msgspec.field(name=key, default=None))])
    decode = msgspec.json.Decoder(peek).decode

    def top(event: Event) -> Any:
        body = event.__dict__.get(slot)
        if body is None:
            raw = getattr(event, slot)
            if raw is EMPTY:
                return None
            try:
                return decode(raw).value  # type: ignore[attr-defined]
            except msgspec.ValidationError:
                # No object, or a number too large for a double: the event handles both.
                body = get_body(event)
        return _get(body, key)

    return top


def _get(body: object, key: str) -> Any:
    return body.get(key) if isinstance(body, Mapping) else None
