"""The tables of config.toml that the gateway itself reads, as frozen structures.

`HOST_KEYS` lists the keys of a component that the gateway uses; the others belong to its plugin.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.components.settings import Settings
from gateway.config.groups import Only
from gateway.events.consent import Default

__all__ = [
    "HOST_KEYS",
    "MOST_WORKERS",
    "DedupConfig",
    "DestinationSettings",
    "IdentityConfig",
    "KeySettings",
    "LogConfig",
    "QueueSettings",
    "ReloadConfig",
    "RetryPolicy",
    "ServerConfig",
    "ShadowSettings",
    "SourceSettings",
    "TraceConfig",
    "TransformSettings",
]

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]

_ORIGIN = r"^[a-z][a-z0-9+.-]*://(\*\.)?[A-Za-z0-9._\[\]:-]+$"

EventType = Literal["track", "identify", "page", "screen", "group", "alias"]

MOST_WORKERS = 64
"""Bound on `server.workers`; each knows every other."""


class ServerConfig(Settings, frozen=True):
    """`[server]`.

    Attributes:
        host, port: address to listen on; port 0 takes a free one.
        workers: processes that share the work, each with a queue of its own; see
            `gateway.cluster`.
        prefix: comes before all paths of sources, such as ``/ingest``.
        trusted_proxies: networks whose X-Forwarded-For the gateway trusts.
        real_ip_header: header in which a trusted proxy names the client, such as
            ``cf-connecting-ip``; empty for none.
        header_timeout_seconds: a connection must send a request's head within this.
        body_timeout_seconds: a connection must send a request's body within this.
        keepalive_timeout_seconds: the gateway closes an idle connection after this.
        max_connections: the gateway refuses connections over this at once.
        max_wrong_keys_per_second: answers 401 to one address; the gateway delays further ones, for
            up to 5 seconds each. 0 is no bound.
        reserved_descriptors: file descriptors that connections leave for files and destinations.
        start_timeout_seconds: time that one source or destination has to start.
        erase_timeout_seconds: an erasure goes on without a place that makes no progress in this
            time.
        drain_timeout_seconds: when stopping, the time to answer requests and deliver events.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    workers: Annotated[int, Meta(ge=1, le=MOST_WORKERS)] = 1
    prefix: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    trusted_proxies: tuple[str, ...] = ()
    real_ip_header: str = ""
    header_timeout_seconds: PositiveSeconds = 10.0
    body_timeout_seconds: PositiveSeconds = 8.0
    keepalive_timeout_seconds: PositiveSeconds = 75.0
    max_connections: Positive = 10_000
    reserved_descriptors: Positive = 256
    max_wrong_keys_per_second: Seconds = 10.0
    start_timeout_seconds: PositiveSeconds = 10.0
    erase_timeout_seconds: PositiveSeconds = 3600.0
    drain_timeout_seconds: PositiveSeconds = 10.0


class QueueSettings(Settings, frozen=True):
    """Keys of `[queue]` that hold for every type of store.

    Attributes:
        type: ``disk``, ``memory`` or what a plugin registers.
        ack: ``fsync`` answers once the events are on disk, ``memory`` once they are in the queue.
        max_pending_bytes: size of the events waiting to be written; over this the gateway sheds.
        max_write_bytes: bound on one write.
        memory_feed_bytes: size of the newest events in memory, for destinations without a backlog.
    """

    type: str = "disk"
    ack: Literal["fsync", "memory"] = "fsync"
    max_pending_bytes: Positive = 64_000_000
    max_write_bytes: Positive = 4_000_000
    memory_feed_bytes: Positive = 32_000_000


class DedupConfig(Settings, frozen=True):
    """`[dedup]`.

    Attributes:
        window_hours: an id seen within this is a duplicate.
        max_entries: number of ids in memory, about 150 bytes each; the oldest beyond it go.
    """

    enabled: bool = True
    window_hours: Annotated[float, Meta(gt=0)] = 24.0
    max_entries: Positive = 1_000_000

    @property
    def window_ms(self) -> int:
        """`window_hours` in milliseconds."""
        return int(self.window_hours * 3_600_000)


class TraceConfig(Settings, frozen=True):
    """`[trace]`: how long `gateway why` knows events.

    Attributes:
        retention_hours: how long events are known that were not stored (discarded, duplicate).
            Deliveries are known as long as the queue keeps the event.
        max_discards: number of known events that were not stored, about 150 bytes each; the oldest
            beyond it go. 0 keeps none.
    """

    retention_hours: Annotated[float, Meta(ge=0)] = 168.0
    max_discards: Annotated[int, Meta(ge=0)] = 1_000_000


class ReloadConfig(Settings, frozen=True):
    """`[reload]`.

    Attributes:
        watch_seconds: interval between looks at the config file; a change is used once two looks
            find the same file. 0 reloads on SIGHUP and `gateway reload` only.
    """

    watch_seconds: Seconds = 1.0


class LogConfig(Settings, frozen=True):
    """`[log]`; format ``auto`` is console on a terminal and JSON elsewhere.

    Attributes:
        max_pending_bytes: log lines that wait for a slow reader; further ones are lost and counted.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    max_pending_bytes: Positive = 1_000_000


class RetryPolicy(Settings, frozen=True):
    """`retry` of a destination: exponential back-off with full jitter.

    Attributes:
        initial_seconds: the first delay is drawn from 0 to this.
        max_seconds: bound on the doubling range of delays, and on a destination's Retry-After.
        max_attempts: an event that has failed on its own so often becomes a dead letter.
        max_age_seconds: an event becomes a dead letter after this time of attempts.
        max_waiting: single events that may wait for another attempt while others are delivered.
        max_dead_letters: number of dead letters; the oldest beyond it are deleted, and stay
            counted.
    """

    initial_seconds: PositiveSeconds = 1.0
    max_seconds: PositiveSeconds = 300.0
    max_attempts: Positive = 10
    max_age_seconds: PositiveSeconds = 604_800.0
    max_waiting: Positive = 10_000
    max_dead_letters: Positive = 1_000_000


class KeySettings(Settings, frozen=True):
    """An entry of `[[sources.ID.keys]]`: a write key with limits.

    Attributes:
        origins: pages that may use it, as ``https://shop.example.com`` or
            ``https://*.example.com``; empty for all pages and for other clients.
        types: types of events that it may send; empty for all. Others are discarded.
        max_events_per_second: 0 is no bound; requests over it are answered 429.
        burst: events that may come at once after a pause; 0 allows those of one second.
        not_after: a date and time with its offset, after which the key is unknown.
        enabled: false makes the key unknown.
    """

    key: Annotated[str, Meta(pattern=r"\S")]
    origins: tuple[Annotated[str, Meta(pattern=_ORIGIN)], ...] = ()
    types: tuple[EventType, ...] = ()
    max_events_per_second: Seconds = 0.0
    burst: Annotated[int, Meta(ge=0)] = 0
    not_after: Annotated[datetime, Meta(tz=True)] | None = None
    enabled: bool = True


class SourceSettings(Settings, frozen=True):
    """Keys that every source has.

    Attributes:
        write_key: the key, or a list of keys; a request names its source by one.
        keys: more keys, each with limits of its own.
        enabled: events of a disabled source are answered, counted and discarded.
        consent_default: destinations of events without consent data: ``allow`` all,
            ``only_unmapped`` those without `consent` categories, ``deny`` only archives and
            warehouses.
    """

    type: str
    write_key: str | tuple[str, ...] = ()
    keys: tuple[KeySettings, ...] = ()
    enabled: bool = True
    consent_default: Default = "allow"

    @property
    def write_keys(self) -> tuple[str, ...]:
        """The enabled keys of the source."""
        return tuple(key.key for key in self.all_keys if key.enabled)

    @property
    def all_keys(self) -> tuple[KeySettings, ...]:
        """All keys of the source with their limits, first those of `write_key`."""
        short = (self.write_key,) if isinstance(self.write_key, str) else self.write_key
        return (*(KeySettings(key=key) for key in short), *self.keys)


class TransformSettings(Settings, frozen=True):
    """Keys that every transform has; without `destinations` it runs at intake.

    Attributes:
        only: the arm whose events it runs over; all events by default.
    """

    type: str
    enabled: bool = True
    destinations: tuple[str, ...] | None = None
    only: Only | None = None


class DestinationSettings(Settings, frozen=True):
    """Keys that every destination has.

    Attributes:
        name: its name in the `integrations` object of events; the plugin has a default.
        batch: overrides of the plugin's `BatchPolicy`.
        timeout_seconds: bound on one attempt at a batch.
        max_concurrency: bound on sends at the same time; the plugin has a default. The number
            adapts to the destination's answers. Above 1, batches may overtake each other.
        max_requests_per_second: a fixed bound on sends; 0 is none.
        ordering: ``user`` delivers the events of one user in their order, also across retries;
            those of other users do not wait.
        idempotent: an event that is sent twice counts once at the destination, so that events may
            be replayed; by default the plugin decides.
        start_at: where a new destination begins to read: ``now`` or ``earliest``.
        consent: categories of `context.consent` in events; it gets an event only with consent to
            each. Archives and warehouses are exempt.
        only: the arm whose events it gets, others are filtered as ``group:ID``; all by default.
        shadow: nothing is sent to it, and what would be sent is compared; true, or
            `ShadowSettings`.
        mapping: rules that change its events, one table or a list of them; see
            `gateway.delivery.mapping`.
    """

    type: str
    enabled: bool = True
    name: str = ""
    batch: dict[str, Any] = msgspec.field(default_factory=dict)
    retry: RetryPolicy = RetryPolicy()
    timeout_seconds: PositiveSeconds = 30.0
    max_concurrency: Annotated[int, Meta(ge=1, le=1000)] | None = None
    max_requests_per_second: Seconds = 0.0
    ordering: Literal["none", "user"] = "none"
    idempotent: bool | None = None
    start_at: Literal["now", "earliest"] = "now"
    consent: tuple[Annotated[str, Meta(pattern=r"\S")], ...] = ()
    only: Only | None = None
    shadow: bool | ShadowSettings = False
    mapping: dict[str, Any] | tuple[dict[str, Any], ...] = ()

    @property
    def shadowing(self) -> ShadowSettings | None:
        """The settings of its shadow; None if it is none."""
        if isinstance(self.shadow, bool):
            return ShadowSettings() if self.shadow else None
        return self.shadow

    @property
    def mapping_rules(self) -> tuple[dict[str, Any], ...]:
        """The rules of `mapping`, in order."""
        return (self.mapping,) if isinstance(self.mapping, dict) else self.mapping


HOST_KEYS: dict[str, frozenset[str]] = {
    "source": frozenset(SourceSettings.__struct_fields__),
    "transform": frozenset(TransformSettings.__struct_fields__),
    "destination": frozenset(DestinationSettings.__struct_fields__),
    "queue": frozenset(QueueSettings.__struct_fields__),
    "figure": frozenset({"type"}),
}
"""The keys of each kind that is named by a type and that the gateway itself uses."""


class IdentityConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[identity]`: links userIds to visitors, for groups by user; see `gateway.identity.visitors`.

    Attributes:
        max_links: number of linked users, about 250 bytes each in each worker; no user is linked
            beyond it.
        max_id_chars: longer ids are not linked.
    """

    max_links: Positive = 1_000_000
    max_id_chars: Positive = 256


class ShadowSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`shadow` of a destination, to which nothing is sent; see `gateway.delivery.shadow`.

    Attributes:
        of: the destination to compare it with.
        ignore: paths at and below which differences do not count, in a request as `gateway shadow`
            shows it, without list indexes.
        max_events_per_second: bound on compared events over all workers; others are skipped.
        max_examples: number of examples of each kind.
    """

    of: str | None = None
    ignore: tuple[str, ...] = ("url", "headers", "to")
    max_events_per_second: Positive = 200
    max_examples: Annotated[int, Meta(ge=1, le=1000)] = 20
