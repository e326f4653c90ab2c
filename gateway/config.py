"""config.toml: read, checked, and turned into frozen structures.

Errors name the file and the path of the key. ``${NAME}`` in a string is replaced with that
environment variable, ``${NAME:-text}`` gives it a default, and ``$${`` stands for ``${``.
Relative paths are relative to the config file. The keys of a component that the gateway uses itself
are listed in `HOST_KEYS`; the others belong to its plugin and are decoded into the plugin's Struct.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.component import BatchPolicy
from gateway.errors import ConfigError

__all__ = [
    "HOST_KEYS",
    "Config",
    "DedupConfig",
    "DestinationSettings",
    "LogConfig",
    "QueueSettings",
    "RetryPolicy",
    "Secret",
    "ServerConfig",
    "SourceSettings",
    "Table",
    "TransformSettings",
    "decode_table",
    "load",
]

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
S = TypeVar("S", bound=Struct)


class Secret:
    """A text that shows itself to nobody who does not call `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself."""
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


class _Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ServerConfig(_Settings, frozen=True):
    """`[server]`.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        prefix: put before all paths of sources, such as ``/ingest``.
        trusted_proxies: networks whose X-Forwarded-For is believed.
        real_ip_header: header in which a trusted proxy names the client, such as
            ``cf-connecting-ip``; empty for none.
        header_timeout_seconds: a connection must send a request's head within this.
        body_timeout_seconds: and its body within this.
        keepalive_timeout_seconds: an idle connection is closed after this.
        max_connections: connections over this are closed at once.
        drain_timeout_seconds: time to answer and deliver what is under way when stopping.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    prefix: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    trusted_proxies: tuple[str, ...] = ()
    real_ip_header: str = ""
    header_timeout_seconds: PositiveSeconds = 10.0
    body_timeout_seconds: PositiveSeconds = 8.0
    keepalive_timeout_seconds: PositiveSeconds = 75.0
    max_connections: Positive = 10_000
    drain_timeout_seconds: PositiveSeconds = 10.0


class QueueSettings(_Settings, frozen=True):
    """Keys of `[queue]` that hold for every type of store.

    Attributes:
        type: ``disk``, ``memory`` or what a plugin registers.
        ack: ``fsync`` answers once the events are on disk, ``memory`` once they are in the queue.
        max_pending_bytes: events waiting to be written; over this the gateway sheds.
        max_write_bytes: most that goes into one write.
        memory_feed_bytes: newest events kept in memory for destinations that are caught up.
    """

    type: str = "disk"
    ack: Literal["fsync", "memory"] = "fsync"
    max_pending_bytes: Positive = 64_000_000
    max_write_bytes: Positive = 4_000_000
    memory_feed_bytes: Positive = 32_000_000


class DedupConfig(_Settings, frozen=True):
    """`[dedup]`.

    Attributes:
        window_hours: an id seen within this is a duplicate.
        max_entries: ids remembered, about 150 bytes each; beyond it the oldest are forgotten.
    """

    enabled: bool = True
    window_hours: Annotated[float, Meta(gt=0)] = 24.0
    max_entries: Positive = 1_000_000


class LogConfig(_Settings, frozen=True):
    """`[log]`; format ``auto`` is console on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class RetryPolicy(_Settings, frozen=True):
    """`retry` of a destination: exponential back-off with full jitter.

    Attributes:
        initial_seconds: the first delay is drawn from 0 to this.
        max_seconds: the bound that the doubling range of delays reaches; also the most that a
            destination's Retry-After is honoured for.
        max_attempts: an event that failed on its own so often becomes a dead letter.
        max_age_seconds: an event that has been tried for so long becomes a dead letter.
        max_waiting: single events that may wait for another try while the rest goes on.
    """

    initial_seconds: PositiveSeconds = 1.0
    max_seconds: PositiveSeconds = 300.0
    max_attempts: Positive = 10
    max_age_seconds: PositiveSeconds = 604_800.0
    max_waiting: Positive = 10_000


class SourceSettings(_Settings, frozen=True):
    """Keys that every source has.

    Attributes:
        write_key: the key, or a list of keys, that a request carries to name the source.
        enabled: events of a disabled source are answered, counted and thrown away.
    """

    type: str
    write_key: str | tuple[str, ...] = ()
    enabled: bool = True

    @property
    def write_keys(self) -> tuple[str, ...]:
        """All keys of the source."""
        return (self.write_key,) if isinstance(self.write_key, str) else self.write_key


class TransformSettings(_Settings, frozen=True):
    """Keys that every transform has; without `destinations` it runs at intake."""

    type: str
    enabled: bool = True
    destinations: tuple[str, ...] | None = None


class DestinationSettings(_Settings, frozen=True):
    """Keys that every destination has.

    Attributes:
        name: its name in the `integrations` object of events; the plugin has a default.
        batch: overrides of the plugin's `BatchPolicy`.
        timeout_seconds: one attempt at sending a batch takes at most this.
        max_concurrency: sends under way at once, at most; the plugin has a default. How many it
            really is adapts to how the destination answers. With more than 1, batches may overtake
            each other.
        max_requests_per_second: a fixed bound on sends; 0 is none.
        start_at: where a destination that is new begins to read: ``now`` or ``earliest``.
        consent: categories of consent, as `context.consent` of events names them; it gets an event
            only with consent to each. Archives and warehouses are exempt.
    """

    type: str
    enabled: bool = True
    name: str = ""
    batch: dict[str, Any] = msgspec.field(default_factory=dict)
    retry: RetryPolicy = RetryPolicy()
    timeout_seconds: PositiveSeconds = 30.0
    max_concurrency: Annotated[int, Meta(ge=1, le=1000)] | None = None
    max_requests_per_second: Seconds = 0.0
    start_at: Literal["now", "earliest"] = "now"
    consent: tuple[Annotated[str, Meta(pattern=r"\S")], ...] = ()


HOST_KEYS: dict[str, frozenset[str]] = {
    "source": frozenset(SourceSettings.__struct_fields__),
    "transform": frozenset(TransformSettings.__struct_fields__),
    "destination": frozenset(DestinationSettings.__struct_fields__),
    "queue": frozenset(QueueSettings.__struct_fields__),
}
"""For each kind of component, the keys of its table that the gateway itself uses."""


class _File(_Settings, frozen=True):
    data_dir: str = "data"
    server: ServerConfig = ServerConfig()
    dedup: DedupConfig = DedupConfig()
    log: LogConfig = LogConfig()
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
    """A whole config file, checked as far as that is possible without plugins."""

    path: Path
    data_dir: Path
    server: ServerConfig
    dedup: DedupConfig
    log: LogConfig
    queue: tuple[QueueSettings, Table]
    sources: dict[str, tuple[SourceSettings, Table]]
    transforms: dict[str, tuple[TransformSettings, Table]]
    destinations: dict[str, tuple[DestinationSettings, Table]]

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths are relative to."""
        return self.path.parent


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a config file.

    Raises:
        ConfigError: with the file and the path of the key in front.
    """
    path = path.resolve()
    try:
        return _load(path, os.environ if environ is None else environ)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error.__cause__


def _load(path: Path, environ: Mapping[str, str]) -> Config:
    try:
        text = path.read_text(encoding="utf-8")
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
    file = decode_table(_expand(tree, environ, ""), _File, "")
    config = Config(
        path=path,
        data_dir=(path.parent / Path(file.data_dir).expanduser()).resolve(),
        server=file.server,
        dedup=file.dedup,
        log=file.log,
        queue=_split("queue", file.queue, QueueSettings, "queue"),
        sources=_components("source", file.sources, SourceSettings),
        transforms=_components("transform", file.transforms, TransformSettings),
        destinations=_components("destination", file.destinations, DestinationSettings),
    )
    _check_references(config)
    return config


_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def _components(
    kind: str, tables: Mapping[str, Any], settings: type[S]
) -> dict[str, tuple[S, Table]]:
    result = {}
    for id_, table in tables.items():
        path = f"{kind}s.{id_}"
        if not _ID.fullmatch(id_):
            raise ConfigError(
                f"{path}: an id starts with a letter and has letters, digits, - and _, at most 64"
            )
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
        for key in source.write_keys:
            if not key.strip():
                raise ConfigError(f"{table.path}.write_key: is empty")
            if owners.setdefault(key, id_) != id_:
                raise ConfigError(
                    f"{table.path}.write_key: is also the key of sources.{owners[key]}"
                )
    for network in config.server.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(f"server.trusted_proxies: {error}") from error
    for settings, table in config.destinations.values():
        decode_table(settings.batch, BatchPolicy, f"{table.path}.batch")


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


def _fields_at(struct: Any, inner: str) -> list[str]:
    for name in filter(None, inner.split(".")):
        hints = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
        struct = hints.get(name)
        if not (isinstance(struct, type) and issubclass(struct, Struct)):
            return []
    return [f.encode_name for f in msgspec.structs.fields(struct)]


def _decode_secret(expected: type, value: Any) -> Any:
    if expected is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"expected a string, got {type(value).__name__}")
