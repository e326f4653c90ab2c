"""What the host hands to components, as small protocols.

A component sees the host through these alone. So the contract imports nothing of the host, and a
test may hand over a few lines of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, Protocol, TypeAlias

from gateway.errors import ConfigError
from gateway.events.envelope.arrival import Arrival, Plain, Receipt
from gateway.events.envelope.sealed import Origin
from gateway.events.event import Event

__all__ = ["Arm", "Group", "Groups", "Intake", "Member", "NoGroups", "ServerLimits", "WriteKey"]

Arm: TypeAlias = Literal["test", "control"]
"""A part of a group: who gets what is new, and who does not."""


class ServerLimits(Protocol):
    """The part of `[server]` that components go by."""

    @property
    def prefix(self) -> str:
        """Put before all paths of sources, such as ``/ingest``."""

    @property
    def body_timeout_seconds(self) -> float:
        """A connection must send a request's body within this."""

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """Networks whose X-Forwarded-For is believed."""

    @property
    def real_ip_header(self) -> str:
        """Header in which a trusted proxy names the client; empty for none."""


class Member(Protocol):
    """The arm that an event's user is in."""

    @property
    def arm(self) -> Arm:
        """Which arm."""

    @property
    def weight(self) -> float:
        """How many members of the slot this one stands for."""


class Group(Protocol):
    """A group of users that config names."""

    def member(self, event: Event) -> Member | None:
        """The arm of an event's user; None if the user is in neither."""


class Groups(Protocol):
    """All groups that config names."""

    def use(self, id_: str) -> Group:
        """A group, for a component that depends on it.

        Raises:
            ConfigError: there is no group with this id.
        """


class NoGroups:
    """Stands for the groups of a config that names none."""

    def use(self, id_: str) -> Group:
        """Refuse: there are no groups."""
        raise ConfigError(f"there is no group {id_!r}; there are: none")


class WriteKey(Protocol):
    """A write key that is known, and what it may send."""

    source_id: str
    types: Collection[str] | None

    def allows_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers comes from an allowed page."""

    def take(self, events: int, now_ms: int) -> int:
        """Count events against the key's rate; seconds until they may come, 0 for now."""


class Intake(Protocol):
    """Where a source hands over the events of a request.

    Attributes:
        clock: wall clock in milliseconds.
    """

    clock: Callable[[], int]

    async def accept(self, arrival: Arrival) -> Receipt:
        """Take up a request's events; returns once they are as safe as `queue.ack` promises.

        Raises:
            QueueFull: not all was stored; the client is to send all of it again.
            QueueClosed: the same; the gateway is stopping, or its store failed.
        """

    async def accept_as_sent(self, origin: Origin, plain: Plain) -> bool:
        """Take up a request's events as they are; False where each has to be decoded.

        Raises:
            QueueFull: not stored; the client is to send all of it again.
            QueueClosed: the same; the gateway is stopping, or its store failed.
        """

    def key_of(self, write_key: str) -> WriteKey | None:
        """What a write key may send; None if it is unknown or has ended."""

    def source_of(self, write_key: str) -> str | None:
        """Id of the source that a write key belongs to."""

    def write_keys(self, source_id: str) -> tuple[str, ...]:
        """The keys of a source, in the order of config.toml."""

    def enabled(self, source_id: str) -> bool:
        """Whether the source takes events."""

    def reject(self, code: str) -> None:
        """Count a request that has no events to count, by the code of its answer."""

    def refuse(self, source_id: str, events: int) -> None:
        """Count events that were answered 429 or 503; the client sends them again."""
