"""Reads and checks config.toml, and turns it into frozen structures.

Errors name the file and the path of the key. ``${NAME}`` in a string is replaced with that
environment variable, ``${NAME:-text}`` gives it a default, and ``$${`` stands for ``${``.
Relative paths are relative to the config file. The keys of a component that the gateway uses itself
are listed in `HOST_KEYS`; the others belong to its plugin and are decoded into the plugin's Struct.
Tables that the gateway does not have belong to packages too; `gateway.runtime.tables` decodes them
once the plugins are known.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.components.project import ProjectConfig
from gateway.components.settings import Settings
from gateway.config.admin import AdminConfig
from gateway.config.alerts import AlertsConfig
from gateway.config.checks import check_groups, check_id, check_references, check_workers
from gateway.config.decode import StructT, Table, decode_table
from gateway.config.groups import GroupConfig, LayerConfig
from gateway.config.mistakes import Mistakes
from gateway.config.model import Config
from gateway.config.settings import (
    HOST_KEYS,
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
from gateway.errors import ConfigError

__all__ = ["CORE_TABLES", "DEFAULT_DATA_DIR", "expanded_text", "hash_of", "load"]

DEFAULT_DATA_DIR = "data"
"""The data directory of a config file that names none, beside the file."""

_HASH_DIGITS = 12


class _File(Settings, frozen=True):
    data_dir: str = DEFAULT_DATA_DIR
    server: ServerConfig = ServerConfig()
    dedup: DedupConfig = DedupConfig()
    identity: IdentityConfig = IdentityConfig()
    log: LogConfig = LogConfig()
    trace: TraceConfig = TraceConfig()
    admin: AdminConfig = AdminConfig()
    reload: ReloadConfig = ReloadConfig()
    alerts: AlertsConfig = AlertsConfig()
    project: ProjectConfig = ProjectConfig()
    groups: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    layers: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    queue: dict[str, Any] = msgspec.field(default_factory=dict)
    sources: dict[str, Any] = msgspec.field(default_factory=dict)
    transforms: dict[str, Any] = msgspec.field(default_factory=dict)
    destinations: dict[str, Any] = msgspec.field(default_factory=dict)


CORE_TABLES = frozenset(_File.__struct_encode_fields__)
"""The tables and keys of the gateway itself. Other tables belong to packages."""


def load(
    path: Path, environ: Mapping[str, str] | None = None, *, content: bytes | None = None
) -> Config:
    """Reads and checks a config file.

    Args:
        content: used in place of that of the file.

    Raises:
        ConfigError: it is wrong; the message starts with the file and the path of the key.
    """
    try:
        return _load(path.absolute(), os.environ if environ is None else environ, content)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error.__cause__


def hash_of(content: bytes) -> str:
    """Returns the hash that identifies a content of the file."""
    return hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]


def _load(file: Path, environ: Mapping[str, str], content: bytes | None) -> Config:
    path = file.resolve()
    try:
        if content is None:
            content = path.read_bytes()
        text = content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror}); name the file with --config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}") from error
    mistakes = Mistakes()
    expanded = _expand(tree, environ, "", mistakes)
    mistakes.check()
    own, others = _divided(expanded)
    tables = _File()
    with mistakes.noted():
        tables = decode_table(own, _File, "")
    data_dir = (path.parent / Path(tables.data_dir).expanduser()).resolve()
    # Each component is read, whatever is wrong with the rest of the file.
    config = Config(
        path=path,
        data_dir=data_dir,
        shared_dir=data_dir,
        server=tables.server,
        dedup=tables.dedup,
        identity=tables.identity,
        log=tables.log,
        trace=tables.trace,
        admin=tables.admin,
        reload=tables.reload,
        alerts=tables.alerts,
        project=tables.project,
        groups=_each(_table(own, "groups"), GroupConfig, "groups", mistakes),
        layers=_each(_table(own, "layers"), LayerConfig, "layers", mistakes),
        queue=_queue(_table(own, "queue"), mistakes),
        sources=_components("source", _table(own, "sources"), SourceSettings, mistakes),
        transforms=_components("transform", _table(own, "transforms"), TransformSettings, mistakes),
        destinations=_components(
            "destination", _table(own, "destinations"), DestinationSettings, mistakes
        ),
        others=others,
        file=file,
        hash=hash_of(content),
    )
    mistakes.check()
    check_references(config)
    check_groups(config)
    check_workers(config)
    return config


def _divided(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Divides a file into the part of the gateway itself, and tables that packages may read."""
    others = {
        key: value
        for key, value in tree.items()
        if isinstance(value, dict) and key not in CORE_TABLES
    }
    return {key: value for key, value in tree.items() if key not in others}, others


def _table(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def _queue(table: Mapping[str, Any], mistakes: Mistakes) -> tuple[QueueSettings, Table]:
    with mistakes.noted():
        return _split("queue", table, QueueSettings, "queue")
    return QueueSettings(), Table("queue", {})


def _components(
    kind: str, tables: Mapping[str, Any], settings: type[StructT], mistakes: Mistakes
) -> dict[str, tuple[StructT, Table]]:
    result = {}
    for id_, table in tables.items():
        path = f"{kind}s.{id_}"
        with mistakes.noted():
            check_id(id_, path)
            if not isinstance(table, dict):
                raise ConfigError(f"{path}: expected a table, got {type(table).__name__}")
            result[id_] = _split(kind, table, settings, path)
    return result


def _split(
    kind: str, table: Mapping[str, Any], settings: type[StructT], path: str
) -> tuple[StructT, Table]:
    """Decodes the gateway's own keys of a table, and leaves the others to the plugin."""
    keys = HOST_KEYS[kind]
    own = {key: value for key, value in table.items() if key in keys}
    rest = {key: value for key, value in table.items() if key not in keys}
    return decode_table(own, settings, path), Table(path, rest)


_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _expand(node: Any, environ: Mapping[str, str], path: str, mistakes: Mistakes) -> Any:
    """Replaces environment variables in all strings, and notes numbers that are not finite."""
    if isinstance(node, dict):
        return {
            key: _expand(value, environ, f"{path}.{key}" if path else key, mistakes)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_expand(value, environ, f"{path}[{i}]", mistakes) for i, value in enumerate(node)]
    if isinstance(node, float) and not math.isfinite(node):
        with mistakes.noted():
            raise ConfigError(f"{path}: expected a finite number, got {node}")
    if not isinstance(node, str):
        return node
    with mistakes.noted():
        return expanded_text(node, path, environ)
    return node


def expanded_text(text: str, path: str, environ: Mapping[str, str]) -> str:
    """Replaces environment variables in the string at a path.

    Raises:
        ConfigError: a variable is not set, or ends in a line feed.
    """

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name is None:
            return "${"
        value = environ.get(name, default)
        if value is None:
            raise ConfigError(
                f"{path}: the environment variable {name} is not set; "
                f"set it, or write ${{{name}:-default}}"
            )
        if value.endswith(("\n", "\r")):
            # It would be part of a key or a secret, and nobody would see it.
            raise ConfigError(
                f"{path}: the environment variable {name} ends in a line feed; set it without one, "
                f"such as with `printf %s`"
            )
        return value

    return _VARIABLE.sub(replace, text)


def _each(
    tables: Mapping[str, Any], struct: type[StructT], kind: str, mistakes: Mistakes
) -> dict[str, StructT]:
    result = {}
    for id_, table in tables.items():
        if not isinstance(table, dict):
            continue  # noted with the file's own tables
        with mistakes.noted():
            result[id_] = decode_table(table, struct, f"{kind}.{id_}")
    return result
