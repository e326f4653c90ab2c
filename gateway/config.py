"""config.toml: read, checked, and turned into frozen structures.

Errors name the file and the path of the key. ``${NAME}`` in a string is replaced with that
environment variable, ``${NAME:-text}`` gives it a default, and ``$${`` stands for ``${``.
Relative paths are relative to the config file. The keys of a component that the gateway uses itself
are listed in `HOST_KEYS`; the others belong to its plugin and are decoded into the plugin's Struct.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from gateway.access import AdminConfig
from gateway.alerts import AlertsConfig
from gateway.components.destination import BatchPolicy
from gateway.components.settings import Secret, Settings
from gateway.errors import ConfigError
from gateway.groups import GroupConfig, LayerConfig
from gateway.settings import (
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

__all__ = ["Config", "Table", "check_workers", "decode_table", "hash_of", "load"]

S = TypeVar("S", bound=Struct)

_HASH_DIGITS = 12


class _File(Settings, frozen=True):
    data_dir: str = "data"
    server: ServerConfig = ServerConfig()
    dedup: DedupConfig = DedupConfig()
    identity: IdentityConfig = IdentityConfig()
    log: LogConfig = LogConfig()
    trace: TraceConfig = TraceConfig()
    admin: AdminConfig = AdminConfig()
    reload: ReloadConfig = ReloadConfig()
    alerts: AlertsConfig = AlertsConfig()
    groups: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    layers: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    queue: dict[str, Any] = msgspec.field(default_factory=dict)
    sources: dict[str, Any] = msgspec.field(default_factory=dict)
    transforms: dict[str, Any] = msgspec.field(default_factory=dict)
    destinations: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """The part of a component's table that belongs to its plugin.

    Attributes:
        path: such as ``destinations.crm``, for error messages.
    """

    path: str
    options: Mapping[str, Any]

    def decode(self, struct: type[S]) -> S:
        """The plugin's own Struct."""
        return decode_table(self.options, struct, self.path)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole config file, checked as far as that is possible without plugins.

    Attributes:
        data_dir: folder of the shard that a gateway runs; see `gateway.shards`.
        shared_dir: the data directory as configured, with what all shards have in common.
        shard: number of the shard.
        file: the config file as it was named, where it is read again; `path` is what that led to.
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
    groups: dict[str, GroupConfig]
    layers: dict[str, LayerConfig]
    queue: tuple[QueueSettings, Table]
    sources: dict[str, tuple[SourceSettings, Table]]
    transforms: dict[str, tuple[TransformSettings, Table]]
    destinations: dict[str, tuple[DestinationSettings, Table]]
    file: Path
    hash: str
    shard: int = 0

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths are relative to."""
        return self.path.parent

    @property
    def disabled(self) -> tuple[str, ...]:
        """Ids of the destinations that are named and not used."""
        return tuple(id_ for id_, (one, _) in self.destinations.items() if not one.enabled)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a config file.

    Raises:
        ConfigError: with the file and the path of the key in front.
    """
    try:
        return _load(path.absolute(), os.environ if environ is None else environ)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error.__cause__


def hash_of(content: bytes) -> str:
    """What tells one content of the file from another."""
    return hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]


def _load(file: Path, environ: Mapping[str, str]) -> Config:
    path = file.resolve()
    try:
        content = path.read_bytes()
        text = content.decode()
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror}); name the file with --config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 (byte {error.start})") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}") from error
    tables = decode_table(_expand(tree, environ, ""), _File, "")
    data_dir = (path.parent / Path(tables.data_dir).expanduser()).resolve()
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
        groups=_each(tables.groups, GroupConfig, "groups"),
        layers=_each(tables.layers, LayerConfig, "layers"),
        queue=_split("queue", tables.queue, QueueSettings, "queue"),
        sources=_components("source", tables.sources, SourceSettings),
        transforms=_components("transform", tables.transforms, TransformSettings),
        destinations=_components("destination", tables.destinations, DestinationSettings),
        file=file,
        hash=hash_of(content),
    )
    _check_references(config)
    _check_groups(config)
    check_workers(config)
    return config


_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_ID_RULE = "an id starts with a letter and has letters, digits, - and _, at most 64"


def _components(
    kind: str, tables: Mapping[str, Any], settings: type[S]
) -> dict[str, tuple[S, Table]]:
    result = {}
    for id_, table in tables.items():
        path = f"{kind}s.{id_}"
        if not _ID.fullmatch(id_):
            raise ConfigError(f"{path}: {_ID_RULE}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: expected a table, got {type(table).__name__}")
        result[id_] = _split(kind, table, settings, path)
    return result


def _split(kind: str, table: Mapping[str, Any], settings: type[S], path: str) -> tuple[S, Table]:
    keys = HOST_KEYS[kind]
    own = {key: value for key, value in table.items() if key in keys}
    rest = {key: value for key, value in table.items() if key not in keys}
    return decode_table(own, settings, path), Table(path, rest)


def _check_references(config: Config) -> None:
    for id_, (transform, table) in config.transforms.items():
        for destination in transform.destinations or ():
            if destination not in config.destinations:
                raise ConfigError(
                    f"{table.path}.destinations: there is no destination {destination!r}"
                )
        if transform.destinations == ():
            raise ConfigError(
                f"{table.path}.destinations: is empty; leave it out to run {id_} at intake"
            )
    owners: dict[str, str] = {}
    for id_, (source, table) in config.sources.items():
        number = len(source.all_keys) - len(source.keys)
        for place, entry in enumerate(source.all_keys, -number):
            where = f"{table.path}." + ("write_key" if place < 0 else f"keys[{place}].key")
            if not entry.key.strip():
                raise ConfigError(f"{where}: is empty")
            if owners.setdefault(entry.key, id_) != id_:
                raise ConfigError(f"{where}: is also the key of sources.{owners[entry.key]}")
        repeated = {key.key for key in source.keys} & set(source.write_keys[:number])
        if repeated or len({key.key for key in source.keys}) < len(source.keys):
            raise ConfigError(f"{table.path}.keys: the same key is there twice")
    for network in config.server.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(f"server.trusted_proxies: {error}") from error
    for id_, (settings, table) in config.destinations.items():
        decode_table(settings.batch, BatchPolicy, f"{table.path}.batch")
        if settings.shadowing is not None and settings.shadowing.of is not None:
            _check_live(config, f"{table.path}.shadow.of", id_, settings.shadowing.of)


def _check_live(config: Config, path: str, shadow: str, of: str) -> None:
    if of not in config.destinations:
        raise ConfigError(f"{path}: there is no destination {of!r}")
    live, _ = config.destinations[of]
    if of == shadow or live.shadowing is not None:
        raise ConfigError(f"{path}: {of} is a shadow itself; name one that things are sent to")
    if not live.enabled:
        raise ConfigError(f"{path}: {of} is disabled")


def _check_groups(config: Config) -> None:
    slots: dict[str, list[tuple[float, float, str]]] = {}
    for id_, group in config.groups.items():
        if not _ID.fullmatch(id_):
            raise ConfigError(f"groups.{id_}: {_ID_RULE}")
        if group.layer:
            if group.layer not in config.layers:
                raise ConfigError(f"groups.{id_}.layer: there is no layer {group.layer!r}")
            layer_salt = config.layers[group.layer].salt
            layer_salt = group.layer if layer_salt is None else layer_salt
            if layer_salt == (id_ if group.salt is None else group.salt):
                raise ConfigError(
                    f"groups.{id_}.salt: is also that of layer {group.layer!r}, so that the slot "
                    "would decide the arm; set another"
                )
            slots.setdefault(group.layer, []).append((*group.slot, id_))
    for layer, taken in slots.items():
        for (_, end, one), (begin, _, other) in pairwise(sorted(taken)):
            if begin < end:
                raise ConfigError(
                    f"groups.{other}.slot: overlaps that of groups.{one} in layer {layer!r}"
                )
    users = [(table.path, one.only) for one, table in config.transforms.values()]
    users += [(table.path, one.only) for one, table in config.destinations.values()]
    for path, only in users:
        if only is not None and only.group not in config.groups:
            raise ConfigError(f"{path}.only.group: there is no group {only.group!r}")
    for id_, group in config.groups.items():
        for destination in group.measure:
            if destination not in config.destinations:
                raise ConfigError(f"groups.{id_}.measure: there is no destination {destination!r}")


def check_workers(config: Config) -> None:
    """Refuse what several processes cannot keep, rather than keep it now and then.

    Raises:
        ConfigError: the number of workers, and a setting, cannot be had together.
    """
    workers = config.server.workers
    if workers == 1:
        return
    for id_, group in config.groups.items():
        if group.ramp:
            raise ConfigError(
                f"groups.{id_}.ramp: the arms are compared user by user, and the {workers} workers "
                "each see only some of the events of a user; set server.workers = 1, or grow the "
                "group by hand with `percent`"
            )
    for settings, table in config.destinations.values():
        if settings.enabled and settings.ordering == "user":
            raise ConfigError(
                f'{table.path}.ordering: "user" needs all events of a user in one queue, and each '
                f"of the {workers} workers has its own; set server.workers = 1, or ordering = "
                '"none"'
            )


_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _expand(node: Any, environ: Mapping[str, str], path: str) -> Any:
    if isinstance(node, dict):
        return {
            key: _expand(value, environ, f"{path}.{key}" if path else key)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_expand(value, environ, f"{path}[{i}]") for i, value in enumerate(node)]
    if not isinstance(node, str):
        return node

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
        return value

    return _VARIABLE.sub(replace, node)


_AT = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>key in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)


def decode_table(table: Mapping[str, Any], struct: type[S], path: str) -> S:
    """Decode a table into a Struct.

    Raises:
        ConfigError: starts with the path of the key that is wrong.
    """
    try:
        return msgspec.convert(table, struct, strict=True, dec_hook=_decode_secret)
    except msgspec.ValidationError as error:
        match = _AT.match(str(error))
        what, inner = (match["what"], match["path"] or "") if match else (str(error), "")
        where = (path + inner).lstrip(".")
        unknown = _UNKNOWN.fullmatch(what)
        if unknown:
            key = unknown["key"]
            known = _fields_at(struct, inner)
            near = get_close_matches(key, known, n=1)
            what = f"there is no key {key!r} here"
            if near:
                what += f"; did you mean {near[0]!r}?"
            elif known:
                what += f"; there are: {', '.join(known)}"
        raise ConfigError(f"{where}: {what}" if where else what) from None


def _each(tables: Mapping[str, Mapping[str, Any]], struct: type[S], kind: str) -> dict[str, S]:
    return {id_: decode_table(table, struct, f"{kind}.{id_}") for id_, table in tables.items()}


def _fields_at(struct: Any, inner: str) -> list[str]:
    for name in filter(None, inner.split(".")):
        hints = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
        struct = hints.get(name.partition("[")[0])
        # Of what may be written in short, such as true, the long form has the keys.
        parts = [struct, *get_args(struct)]
        struct = next((p for p in parts if isinstance(p, type) and issubclass(p, Struct)), None)
        if struct is None:
            return []
    return [f.encode_name for f in msgspec.structs.fields(struct)]


def _decode_secret(expected: type, value: Any) -> Any:
    if expected is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"expected a string, got {type(value).__name__}")
