"""What commands, jobs and admin endpoints of packages see of a gateway."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.components.destination import Destination
from gateway.components.figure import FigureSpec
from gateway.components.project import ProjectConfig

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A gateway's config and folders, and its destinations if it runs.

    Attributes:
        file: the config file.
        base_dir: folder of the config file; relative paths in config are relative to it.
        data_dir: the data directory, which all shards share.
        project: the `[project]` table.
        tables: value of each table that packages register: a Struct, or one for each id.
        figures: specs of all figures by type.
        configs: returns the configs of the enabled destinations of a type, by id.
        identities: each `gateway.components.identity.IdentitySpec` of packages, by name.
        destinations: the running destinations of this shard, by id; none in a command.
        workers: number of worker processes.
        shard: number of the shard that an admin endpoint or a job runs in.
        clock: wall clock in milliseconds.
    """

    file: Path
    base_dir: Path
    data_dir: Path
    project: ProjectConfig
    tables: Mapping[str, Any]
    figures: Mapping[str, FigureSpec[Any]]
    configs: Callable[[str], Mapping[str, Any]]
    log: FilteringBoundLogger
    clock: Callable[[], int]
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    identities: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1
    shard: int = 0

    def path(self, configured: str) -> Path:
        """Returns a configured path as an absolute one, without looking at the disk."""
        return Path(os.path.abspath(self.base_dir / Path(configured).expanduser()))  # noqa: PTH100
