"""Small protocols through which components see the gateway.

A component sees the gateway through these alone. So the contract imports nothing of the gateway's
rooms, and a test may pass a few lines of its own.
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
"""A part of a group: ``test`` gets what is new, ``control`` does not."""


class ServerLimits(Protocol):
    """The keys of `[server]` that components use."""

    @property
    def prefix(self) -> str:
        """Text put before all paths of sources, such as ``/ingest``."""

    @property
    def body_timeout_seconds(self) -> float:
        """Seconds within which a connection must send a request's body."""

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """Networks whose X-Forwarded-For is believed."""

    @property
    def real_ip_header(self) -> str:
        """Header in which a trusted proxy names the client; empty for none."""


class Member(Protocol):
    """A user's place in a group."""

    @property
    def arm(self) -> Arm:
        """The arm that the user is in."""

    @property
    def weight(self) -> float:
        """Number of members of the slot that this one stands for."""


class Group(Protocol):
    """A group of users that config names."""

    @property
    def by(self) -> str:
        """The id that decides a user's arm, as in config."""

    def member(self, event: Event) -> Member | None:
        """Returns the place of an event's user; None for a user in neither arm."""


class Groups(Protocol):
    """All groups that config names."""

    def use(self, id_: str) -> Group:
        """Returns a group, for a component that depends on it.

        Raises:
            ConfigError: there is no group with this id.
        """


class NoGroups:
    """The groups of a config that names none."""

    def use(self, id_: str) -> Group:
        """Raises ConfigError: there are no groups."""
        raise ConfigError(f"there is no group {id_!r}; there are: none")


class WriteKey(Protocol):
    """A known write key, and the events that it may send."""

    source_id: str
    types: Collection[str] | None

    def allows_origin(self, headers: Mapping[str, str]) -> bool:
        """Tells whether a request with these headers comes from an allowed page."""

    def take(self, events: int, now_ms: int) -> int:
        """Counts events against the key's rate; returns seconds to wait, 0 if they may come now."""


class Intake(Protocol):
    """Takes a source's events; a source hands the events of a request to it.

    Attributes:
        clock: wall clock in milliseconds.
        decodes_all: a transform has to see all events, so that `accept_as_sent` gains nothing.
    """

    clock: Callable[[], int]

    @property
    def decodes_all(self) -> bool:
        """A transform has to see all events."""

    async def accept(self, arrival: Arrival) -> Receipt:
        """Accepts a request's events; returns once they are as safe as `queue.ack` promises.

        Raises:
            QueueFull: not all events were stored; the client must send the request again.
            QueueClosed: the same, because the gateway is stopping or its store failed.
        """

    async def accept_as_sent(self, origin: Origin, plain: Plain) -> bool:
        """Accepts a request's events as they are; returns False if they have to be decoded.

        Raises:
            QueueFull: nothing was stored; the client must send the request again.
            QueueClosed: the same, because the gateway is stopping or its store failed.
        """

    def key_of(self, write_key: str) -> WriteKey | None:
        """Returns a write key; None if it is unknown or has expired."""

    def source_of(self, write_key: str) -> str | None:
        """Returns the id of the source that a write key belongs to; None if it is unknown."""

    def write_keys(self, source_id: str) -> tuple[str, ...]:
        """Returns the keys of a source, in the order of config.toml."""

    def enabled(self, source_id: str) -> bool:
        """Tells whether the source takes events."""

    def reject(self, code: str) -> None:
        """Counts a request without events to count, by the code of its answer."""

    def refuse(self, source_id: str, events: int) -> None:
        """Counts events that were answered 429 or 503; the client sends them again."""
