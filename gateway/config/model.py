"""A whole config file as one frozen structure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.components.project import ProjectConfig
from gateway.config.admin import AdminConfig
from gateway.config.alerts import AlertsConfig
from gateway.config.decode import Table
from gateway.config.groups import GroupConfig, LayerConfig
from gateway.config.settings import (
    DedupConfig,
    DestinationSettings,
    IdentityConfig,
    LogConfig,
    QueueSettings,
    ReloadConfig,
    ServerConfig,
    SourceSettings,
    TraceConfig,
    TransformSettings,
)

__all__ = ["Config"]


@dataclass(frozen=True, slots=True)
class Config:
    """A whole config file, checked as far as that is possible without plugins.

    Attributes:
        path: the config file, after following links.
        data_dir: folder of the shard that a gateway runs; see `gateway.config.data_dir`.
        shared_dir: the data directory as configured, with the files that all shards share.
        others: tables that only packages can know, as they are in the file.
        shard: number of the shard.
        file: the config file as the user named it; a reload reads this.
        hash: the beginning of the SHA-256 of the file's bytes, in hexadecimal.
    """

    path: Path
    data_dir: Path
    shared_dir: Path
    server: ServerConfig
    dedup: DedupConfig
    identity: IdentityConfig
    log: LogConfig
    trace: TraceConfig
    admin: AdminConfig
    reload: ReloadConfig
    alerts: AlertsConfig
    project: ProjectConfig
    groups: dict[str, GroupConfig]
    layers: dict[str, LayerConfig]
    queue: tuple[QueueSettings, Table]
    sources: dict[str, tuple[SourceSettings, Table]]
    transforms: dict[str, tuple[TransformSettings, Table]]
    destinations: dict[str, tuple[DestinationSettings, Table]]
    others: dict[str, dict[str, Any]]
    file: Path
    hash: str
    shard: int = 0

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent

    @property
    def disabled(self) -> tuple[str, ...]:
        """Ids of the disabled destinations."""
        return tuple(id_ for id_, (one, _) in self.destinations.items() if not one.enabled)
