"""The tables of config.toml that the gateway itself reads, as frozen structures.

The keys of a component that the gateway uses are listed in `HOST_KEYS`; the others belong to its
plugin.
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
        host, port: where to listen; port 0 takes a free one.
        workers: processes that share the work, each with a queue of its own; see
            `gateway.cluster`.
        prefix: put before all paths of sources, such as ``/ingest``.
        trusted_proxies: networks whose X-Forwarded-For is believed.
        real_ip_header: header in which a trusted proxy names the client, such as
            ``cf-connecting-ip``; empty for none.
        header_timeout_seconds: a connection must send a request's head within this.
        body_timeout_seconds: and its body within this.
        keepalive_timeout_seconds: an idle connection is closed after this.
        max_connections: connections over this are refused at once.
        max_wrong_keys_per_second: answers 401 to one address; over it they are delayed, for up to
            5 seconds each. 0 is no bound.
        reserved_descriptors: file descriptors that connections leave for files and destinations.
        drain_timeout_seconds: time to answer and deliver what is under way when stopping.
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
    drain_timeout_seconds: PositiveSeconds = 10.0


class QueueSettings(Settings, frozen=True):
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


class DedupConfig(Settings, frozen=True):
    """`[dedup]`.

    Attributes:
        window_hours: an id seen within this is a duplicate.
        max_entries: ids remembered, about 150 bytes each; beyond it the oldest are forgotten.
    """

    enabled: bool = True
    window_hours: Annotated[float, Meta(gt=0)] = 24.0
    max_entries: Positive = 1_000_000

    @property
    def window_ms(self) -> int:
        """`window_hours` in milliseconds."""
        return int(self.window_hours * 3_600_000)


class TraceConfig(Settings, frozen=True):
    """`[trace]`: what `gateway why` can tell of events that are no longer under way.

    Attributes:
        retention_hours: events that were not stored (discarded, duplicate) are remembered so long.
            Deliveries are remembered as long as the queue keeps the event.
        max_discards: events that were not stored, about 150 bytes each; beyond it the oldest are
            forgotten. 0 remembers none.
    """

    retention_hours: Annotated[float, Meta(ge=0)] = 168.0
    max_discards: Annotated[int, Meta(ge=0)] = 1_000_000


class ReloadConfig(Settings, frozen=True):
    """`[reload]`.

    Attributes:
        watch_seconds: the config file is looked at so often; a change is used once the file has
            been the same for two looks in a row. 0 is never: on SIGHUP and `gateway reload` only.
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
        max_seconds: the bound that the doubling range of delays reaches; also the most that a
            destination's Retry-After is honoured for.
        max_attempts: an event that failed on its own so often becomes a dead letter.
        max_age_seconds: an event that has been tried for so long becomes a dead letter.
        max_waiting: single events that may wait for another try while the rest goes on.
        max_dead_letters: given-up events that are kept; beyond it the oldest are thrown away, and
            stay counted.
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
            ``https://*.example.com``; empty for all, and for what is no page.
        types: of events that it may send; empty for all. Others are discarded.
        max_events_per_second: 0 is no bound; over it requests are answered 429.
        burst: events that may come at once after a pause; 0 is those of a second.
        not_after: a date and time with its offset, after which the key is unknown.
        enabled: whether it is known at all.
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
        write_key: the key, or a list of keys, that a request carries to name the source.
        keys: more keys, each with limits of its own.
        enabled: events of a disabled source are answered, counted and thrown away.
        consent_default: where events go that say nothing of consent: ``allow`` to all
            destinations, ``only_unmapped`` to those without `consent` categories, ``deny`` to none
            but archives and warehouses.
    """

    type: str
    write_key: str | tuple[str, ...] = ()
    keys: tuple[KeySettings, ...] = ()
    enabled: bool = True
    consent_default: Default = "allow"

    @property
    def write_keys(self) -> tuple[str, ...]:
        """All keys of the source that are enabled."""
        return tuple(key.key for key in self.all_keys if key.enabled)

    @property
    def all_keys(self) -> tuple[KeySettings, ...]:
        """All keys of the source with their limits, those of the short form first."""
        short = (self.write_key,) if isinstance(self.write_key, str) else self.write_key
        return (*(KeySettings(key=key) for key in short), *self.keys)


class TransformSettings(Settings, frozen=True):
    """Keys that every transform has; without `destinations` it runs at intake.

    Attributes:
        only: the arm whose events it is for; others pass it by. All events, unless set.
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
        timeout_seconds: one attempt at sending a batch takes at most this.
        max_concurrency: sends under way at once, at most; the plugin has a default. How many it
            really is adapts to how the destination answers. With more than 1, batches may overtake
            each other.
        max_requests_per_second: a fixed bound on sends; 0 is none.
        ordering: ``user`` delivers the events of one user in their order, also across retries,
            while those of other users flow past.
        idempotent: whether an event that is sent twice counts once over there, so that events may
            be replayed; the plugin says so itself where it depends on nothing.
        start_at: where a destination that is new begins to read: ``now`` or ``earliest``.
        consent: categories of consent, as `context.consent` of events names them; it gets an event
            only with consent to each. Archives and warehouses are exempt.
        only: the arm whose events it gets; others are filtered as ``group:ID``. All, unless set.
        shadow: nothing is sent to it, and what would be is looked at; true, or `ShadowSettings`.
        mapping: rules that change events before it sees them, one table or a list of them; see
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
        """How it is a shadow; None if it is none."""
        if isinstance(self.shadow, bool):
            return ShadowSettings() if self.shadow else None
        return self.shadow

    @property
    def mapping_rules(self) -> tuple[dict[str, Any], ...]:
        """The rules of `mapping`, in their order."""
        return (self.mapping,) if isinstance(self.mapping, dict) else self.mapping


HOST_KEYS: dict[str, frozenset[str]] = {
    "source": frozenset(SourceSettings.__struct_fields__),
    "transform": frozenset(TransformSettings.__struct_fields__),
    "destination": frozenset(DestinationSettings.__struct_fields__),
    "queue": frozenset(QueueSettings.__struct_fields__),
}
"""For each kind of component, the keys of its table that the gateway itself uses."""


class IdentityConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[identity]`: which visitor a userId belongs to, for groups by user; see
    `gateway.identity.visitors`.

    Attributes:
        max_links: users who are linked, about 250 bytes each in each worker; beyond it nobody new.
        max_id_chars: an id that is longer is not linked.
    """

    max_links: Positive = 1_000_000
    max_id_chars: Positive = 256


class ShadowSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`shadow` of a destination, to which nothing is sent; see `gateway.delivery.shadow.shadow`.

    Attributes:
        of: the destination that it is compared with.
        ignore: where differences do not count: paths into what `gateway shadow` shows of a request,
            without places in lists, and all below them.
        max_events_per_second: that are looked at, over all workers; the others are let go by.
        max_examples: events that are kept, of each kind.
    """

    of: str | None = None
    ignore: tuple[str, ...] = ("url", "headers", "to")
    max_events_per_second: Positive = 200
    max_examples: Annotated[int, Meta(ge=1, le=1000)] = 20
