"""The keys of a source of type ``segment``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["Category", "SegmentConfig", "widest"]

Category = Literal["auto", "client", "server"]
Positive = Annotated[int, Meta(ge=1)]


class SegmentConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits are Segment's, with room for what its SDKs send at most.

    Attributes:
        max_event_bytes: one event. On its own a larger one is refused, in a batch it is discarded.
        max_batch_bytes: body of a batch, after decompression.
        max_compressed_bytes: body of any request before decompression; None is `max_batch_bytes`.
        max_batch_events: events of a batch that are kept; the others are discarded.
        max_depth: levels of objects and arrays within `properties`, `traits` or `context`.
        max_merged_bytes: what may be added to the events of a batch, all taken together, by the
            `context` and `integrations` of the batch.
        max_user_agent_chars: of the User-Agent header, what is kept with each event.
        category: who sends: ``client`` (people's devices), ``server``, or ``auto`` to look at each
            event. Only events of clients get the request's address and user agent.
        capture_ip: whether the address of a client is written into `context.ip`.
        capture_ipv6: whether an IPv6 address is.
        strict_segment: answer 200, as Segment does, where the write key is unknown or the source is
            disabled. With it set for one source, all unknown keys are answered so.
        disabled_status: answer while the source is disabled; 404 is RudderStack's, 200 Segment's.
        public_host: what SDKs are told to send to, such as ``events.example.com``; empty is the
            host that they asked. `server.prefix` and ``/v1`` are added.
        protocol: how SDKs are told to reach it; ``auto`` is https where `public_host` is set or a
            trusted proxy says so, else what the request came by.
    """

    max_event_bytes: Positive = 32_768
    max_batch_bytes: Positive = 512_000
    max_compressed_bytes: Positive | None = None
    max_batch_events: Positive = 2_500
    max_depth: Annotated[int, Meta(ge=1, le=500)] = 64
    max_merged_bytes: Positive = 4_000_000
    max_user_agent_chars: Positive = 1_024
    category: Category = "auto"
    capture_ip: bool = True
    capture_ipv6: bool = True
    strict_segment: bool = False
    disabled_status: Literal[200, 404] = 200
    public_host: Annotated[str, Meta(pattern=r"^([A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~-]+)*)?$")] = ""
    protocol: Literal["auto", "http", "https"] = "auto"

    @property
    def compressed_limit(self) -> int:
        """`max_compressed_bytes` with its default worked out."""
        return self.max_compressed_bytes or self.max_batch_bytes


def widest(configs: list[SegmentConfig]) -> SegmentConfig:
    """The caps for a request whose source is not known yet: the largest of each."""
    return SegmentConfig(
        max_event_bytes=max(config.max_event_bytes for config in configs),
        max_batch_bytes=max(config.max_batch_bytes for config in configs),
        max_compressed_bytes=max(config.compressed_limit for config in configs),
    )
