"""The types of identifiers and their rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypeAlias

from msgspec import Meta, Struct

__all__ = ["BUILT_IN", "DAY_MS", "Identifier", "IdentifierConfig", "Kind", "Kinds"]

DAY_MS = 86_400_000

_Priority: TypeAlias = Annotated[int, Meta(ge=1, le=1_000)]
_Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1_000)]
_Days: TypeAlias = Annotated[float, Meta(ge=0)]


class Identifier(NamedTuple):
    """A value that names a person, such as ``email`` and ``ada@example.com``."""

    type: str
    value: str

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"


class IdentifierConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of ``[destinations.ID.identifiers.TYPE]``; a missing one keeps the type's default.

    Attributes:
        enabled: values of this type identify people.
        path: where events have a value of a type of one's own, such as ``traits.crm_id``.
        priority: the lowest number is dropped last.
        limit: values of this type that one profile may have within the window.
        window_days: length of the window; 0 counts all values ever.
        blocked: more values that identify nobody.
    """

    enabled: bool | None = None
    path: str = ""
    priority: _Priority | None = None
    limit: _Limit | None = None
    window_days: _Days | None = None
    blocked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """The rules of one type.

    Attributes:
        priority: where a link is refused, the identifier with the highest number is dropped first.
        limit: values that one profile may have within the window.
        window_ms: length of the window; 0 counts all values ever.
        counts: different values of this type, seen together with one identifier, count against
            `max_companions`: each of them stands for a person.
        enabled: values of this type identify people.
        path: where events have the value, for types of one's own.
        blocked: values beside `headgate_profiles.identifiers.values.BLOCKED` that identify nobody.
    """

    priority: int
    limit: int
    window_ms: int = 0
    counts: bool = False
    enabled: bool = True
    path: str = ""
    blocked: frozenset[str] = frozenset()


BUILT_IN: Mapping[str, Kind] = {
    "user_id": Kind(1, limit=1, counts=True),
    "email": Kind(2, limit=5, counts=True),
    "phone": Kind(3, limit=5, counts=True),
    "device_id": Kind(60, limit=20),
    "advertising_id": Kind(70, limit=20),
    "push_token": Kind(80, limit=50),
    "anonymous_id": Kind(90, limit=50, window_ms=30 * DAY_MS),
    "click_id": Kind(100, limit=100, window_ms=30 * DAY_MS, enabled=False),
}
"""The types that the gateway knows. Click ids are off: whoever passes a link on passes its click id
on as well, and would be joined with all who follow it."""

_OWN = Kind(50, limit=5)
"""The rules of a type of one's own, and of ids in ``context.externalIds``."""


class Kinds:
    """All types, by name. A name that is not configured gets the rules of a type of one's own."""

    def __init__(self, configured: Mapping[str, IdentifierConfig] | None = None) -> None:
        self._kinds = dict(BUILT_IN)
        for name, config in (configured or {}).items():
            self._kinds[name] = _merged(self._kinds.get(name, _OWN), config)

    def __getitem__(self, name: str) -> Kind:
        return self._kinds.get(name, _OWN)

    def knows(self, name: str) -> bool:
        """Tells whether a type is built in or configured."""
        return name in self._kinds

    def own_paths(self) -> Iterator[tuple[str, str]]:
        """Yields the types that have a path of their own, with it."""
        for name, kind in self._kinds.items():
            if kind.path and kind.enabled:
                yield name, kind.path

    def rank(self, identifier: Identifier) -> tuple[int, str, str]:
        """Returns a sort key: the identifier that says most comes first."""
        return self[identifier.type].priority, identifier.type, identifier.value

    def rank_type(self, type_: str) -> tuple[int, str]:
        """Returns the sort key of a type."""
        return self[type_].priority, type_

    def sort(self, identifiers: set[Identifier]) -> tuple[Identifier, ...]:
        """Returns identifiers in the order of `rank`."""
        return tuple(sorted(identifiers, key=self.rank))


def _merged(kind: Kind, config: IdentifierConfig) -> Kind:
    window_ms = kind.window_ms
    if config.window_days is not None:
        window_ms = round(config.window_days * DAY_MS)
    return Kind(
        kind.priority if config.priority is None else config.priority,
        kind.limit if config.limit is None else config.limit,
        window_ms,
        kind.counts,
        kind.enabled if config.enabled is None else config.enabled,
        config.path,
        frozenset(text.strip().casefold() for text in config.blocked),
    )
