"""The configuration of a source of type ``segment``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["Category", "SegmentConfig", "widest"]

Category = Literal["auto", "client", "server"]
Positive = Annotated[int, Meta(ge=1)]


class SegmentConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of one source. The default limits are Segment's, or the most that its SDKs send.

    Attributes:
        max_event_bytes: limit for one event. A larger single event is refused; in a batch it is
            discarded.
        max_batch_bytes: limit for the body of a batch, after decompression.
        max_compressed_bytes: limit for any body before decompression; None is `max_batch_bytes`.
        max_batch_events: limit for events of a batch. Further events are discarded.
        max_depth: limit for levels of objects and arrays in `properties`, `traits` or `context`.
        max_merged_bytes: limit for the bytes that the `context` and `integrations` of a batch add
            to its events in all.
        max_copied_bytes: limit for the part of `max_merged_bytes` that goes into events with a
            `context` or `integrations` of their own. Each of these has to be merged by itself.
        max_user_agent_chars: characters of the User-Agent header that are kept with an event.
        category: sender of events: ``client`` (people's devices), ``server``, or ``auto`` to decide
            for each event. Only events of clients get the request's address and user agent.
        capture_ip: write the address of a client into `context.ip`.
        capture_ipv6: do the same for an IPv6 address.
        strict_segment: answer 200, as Segment does, if the write key is unknown or the source is
            disabled. If it is set for one source, it holds for all unknown keys.
        disabled_status: answer while the source is disabled: 404 like RudderStack, or 200 like
            Segment.
        public_host: host that SDKs are told to send to, such as ``events.example.com``. Empty is
            the host of the request. `server.prefix` and ``/v1`` are added.
        protocol: protocol that SDKs are told to use. ``auto`` is https if `public_host` is set or
            a trusted proxy reports https, else the protocol of the request.
    """

    max_event_bytes: Positive = 32_768
    max_batch_bytes: Positive = 512_000
    max_compressed_bytes: Positive | None = None
    max_batch_events: Positive = 2_500
    max_depth: Annotated[int, Meta(ge=1, le=500)] = 64
    max_merged_bytes: Positive = 4_000_000
    max_copied_bytes: Positive = 512_000
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
        """`max_compressed_bytes`, or its default."""
        return self.max_compressed_bytes or self.max_batch_bytes


def widest(configs: list[SegmentConfig]) -> SegmentConfig:
    """Returns the largest of each limit, for a request whose source is not known yet."""
    return SegmentConfig(
        max_event_bytes=max(config.max_event_bytes for config in configs),
        max_batch_bytes=max(config.max_batch_bytes for config in configs),
        max_compressed_bytes=max(config.compressed_limit for config in configs),
        max_batch_events=max(config.max_batch_events for config in configs),
    )
