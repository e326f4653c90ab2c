"""Finds the lake that a command is about."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import click

from gateway import ConfigError, Scope
from headgate_lake.config import LakeConfig
from headgate_lake.storage import LocalStorage, Storage

__all__ = ["LAKE_OPTION", "find_lake", "find_storage", "storage_of"]

LAKE_OPTION = click.option(
    "--lake", "id_", metavar="ID", help="The destination, if there are several lakes."
)


def find_storage(scope: Scope, id_: str | None = None) -> Storage:
    """Returns the storage of a lake in config.toml; see `find_lake`."""
    return find_lake(scope, id_)[0]


@lru_cache(maxsize=64)
def storage_of(root: Path, config: LakeConfig) -> Storage:
    """Returns the storage of a lake.

    Args:
        root: the local folder, which is `LakeConfig.folder`.
    """
    if not config.url:
        return LocalStorage(root)
    from headgate_lake.storage.remote import RemoteStorage

    return RemoteStorage(root, config.url, config.storage)


def find_lake(scope: Scope, id_: str | None = None) -> tuple[Storage, LakeConfig]:
    """Returns storage and config of a lake in config.toml.

    Args:
        id_: of the destination; None for the only one.

    Raises:
        ConfigError: there is no such lake, or no id and several lakes.
    """
    lakes: Mapping[str, Any] = scope.configs("lake")
    if not lakes:
        raise ConfigError(f'{scope.file}: there is no enabled destination of type "lake"')
    known = ", ".join(lakes)
    if id_ is None:
        if len(lakes) > 1:
            raise ConfigError(f"there are several lakes; name one with --lake: {known}")
        (id_,) = lakes
    if id_ not in lakes:
        raise ConfigError(f"there is no lake {id_!r}; there are: {known}")
    config: LakeConfig = lakes[id_]
    return storage_of(scope.path(config.folder), config), config
