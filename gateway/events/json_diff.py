"""Compares two JSON values path by path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UNSET, Struct

__all__ = ["Change", "changes"]

_PLAIN = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


class Change(Struct, frozen=True):
    """A path at which two values differ.

    Attributes:
        path: such as ``context.ip`` or ``items[0].name``; empty for the value itself.
        was, now: the old and the new value. `was` is UNSET for an added value, `now` for a removed
            one.
    """

    path: str
    was: Any = UNSET
    now: Any = UNSET

    @property
    def kind(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        if self.was is UNSET:
            return "added"
        return "removed" if self.now is UNSET else "changed"


def changes(was: Any, now: Any) -> list[Change]:
    """Returns the paths at which two values differ.

    Added and changed keys come first, in the order of `now`, then removed keys. Elements of lists
    are compared by position.
    """
    return list(_compare("", was, now))


def _compare(path: str, was: Any, now: Any) -> Iterator[Change]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key, value in now.items():
            yield from _compare(_below(path, key), was.get(key, UNSET), value)
        for key, value in was.items():
            if key not in now:
                yield Change(_below(path, key), value, UNSET)
    elif isinstance(was, list) and isinstance(now, list):
        for place in range(max(len(was), len(now))):
            one = was[place] if place < len(was) else UNSET
            other = now[place] if place < len(now) else UNSET
            yield from _compare(f"{path}[{place}]", one, other)
    elif was != now or type(was) is not type(now):  # Python takes 1, 1.0 and True for equal
        yield Change(path, was, now)


def _below(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
