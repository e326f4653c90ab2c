"""Collects mistakes in the config, so that all of them are shown at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gateway.errors import ConfigError

__all__ = ["Mistakes", "joined"]


class _Several(ConfigError):
    """Several mistakes in one error.

    Attributes:
        each: the text of each.
    """

    def __init__(self, each: list[str]) -> None:
        self.each = each
        shown = [line.replace("\n", "\n  ") for line in each]
        super().__init__("\n  ".join([f"{len(each)} mistakes:", *shown]))


def joined(mistakes: Iterable[str]) -> ConfigError:
    """Returns one error for several mistakes, each on a line of its own."""
    found = list(dict.fromkeys(mistakes))
    return ConfigError(found[0]) if len(found) == 1 else _Several(found)


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
            self._found += error.each if isinstance(error, _Several) else [str(error)]

    def check(self) -> None:
        """Raises a `ConfigError` if there were any."""
        if self._found:
            raise joined(self._found)
