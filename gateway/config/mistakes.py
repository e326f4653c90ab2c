"""Collects mistakes in the config, so that all of them are shown at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gateway.errors import ConfigError

__all__ = ["Mistakes", "joined"]


def joined(mistakes: Iterable[str]) -> ConfigError:
    """Returns one error for several mistakes, each on a line of its own."""
    found = list(dict.fromkeys(mistakes))
    if len(found) == 1:
        return ConfigError(found[0])
    return ConfigError("\n".join([f"{len(found)} mistakes:", *(f"  {line}" for line in found)]))


class Mistakes:
    """The mistakes found so far."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Notes a `ConfigError` raised within the context, and goes on after it."""
        try:
            yield
        except ConfigError as error:
            first, *rest = str(error).split("\n  ")
            self._found += rest or [first]

    def check(self) -> None:
        """Raises a `ConfigError` if there were any."""
        if self._found:
            raise joined(self._found)
