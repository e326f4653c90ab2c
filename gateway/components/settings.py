"""The base of config tables, and secrets in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

__all__ = ["Secret", "Settings", "secrets_in"]


class Secret:
    """A text that prints as ``***``; only `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Returns the text itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A config table: it is frozen, and an unknown key is an error."""


def secrets_in(config: object) -> Iterator[str]:
    """Yields the texts of all `Secret` values in a component's config, at any depth."""
    if isinstance(config, Secret):
        yield config.reveal()
    elif isinstance(config, Struct):
        for name in config.__struct_fields__:
            yield from secrets_in(getattr(config, name))
    elif isinstance(config, Mapping):
        for value in config.values():
            yield from secrets_in(value)
    elif isinstance(config, list | tuple | set | frozenset):
        for value in config:
            yield from secrets_in(value)
