"""Finds the graph that a command is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway import ConfigError, Scope
from headgate_profiles.config import ProfilesConfig, graph_path, rules_of
from headgate_profiles.counted import counted
from headgate_profiles.profile import Schema
from headgate_profiles.store import Store

__all__ = ["find_profiles", "opened", "schema_of"]


def find_profiles(scope: Scope, id_: str | None = None) -> tuple[str, ProfilesConfig]:
    """Returns id and config of a destination with the type ``profiles``.

    Args:
        id_: None for the only one.

    Raises:
        ConfigError: there is no such destination, or no id and several of them.
    """
    found = scope.configs("profiles")
    if not found:
        raise ConfigError(f'{scope.file}: there is no enabled destination of type "profiles"')
    known = ", ".join(found)
    if id_ is None:
        if len(found) > 1:
            raise ConfigError(f"there are several; name one with --profiles: {known}")
        (id_,) = found
    if id_ not in found:
        raise ConfigError(f"there are no profiles {id_!r}; there are: {known}")
    return id_, found[id_]


def schema_of(scope: Scope, store: Store, id_: str | None = None) -> Schema:
    """Returns how the profiles of a config are read; arguments as in `find_profiles`."""
    _, config = find_profiles(scope, id_)
    return Schema(store.rules.kinds, config.traits, counted(scope.tables))


@contextmanager
def opened(scope: Scope, id_: str | None = None, *, reads: bool = True) -> Iterator[Store]:
    """Opens the graph of a config.

    Raises:
        ConfigError: as `find_profiles`.
        GraphError: there is none yet, or it cannot be used.
    """
    name, config = find_profiles(scope, id_)
    store = Store(graph_path(scope.data_dir, name), rules_of(config), reads=reads)
    store.open()
    try:
        yield store
    finally:
        store.close()
