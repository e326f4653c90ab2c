"""What a plugin author implements: sources, transforms, destinations, and how they are registered.

A plugin registers a *spec*: the type's name, the frozen `msgspec.Struct` that its table in
config.toml is decoded into, and how to build an instance. The host owns everything around it:
batching, retries, back-off, time-outs, filtering by consent, commit and shutdown.

Life cycle, the same for every component:

* ``build(config, context)`` constructs and must not block, open connections or start tasks.
* ``start()`` opens what is needed. An exception here stops the gateway with a clear message.
* ``stop()`` releases it. It is safe without `start` and safe twice, and is given a deadline.
* At a reload of config a component that has changed is built and started while the one before it
  still runs under the same id; then that one is stopped, and only after it a destination is sent
  to. So `start` takes nothing for itself alone that the other one has until its `stop`.
* ``check()`` (destinations) proves that settings and credentials work without delivering anything.
"""

from __future__ import annotations

import builtins
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from msgspec import Struct

from gateway.batch import Batch, BatchPolicy
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import Ids
from gateway.events.event import Event
from gateway.events.subjects import Subjects
from gateway.groups import Groups
from gateway.rehearsal import Rehearsal

if TYPE_CHECKING:
    from aiohttp import web
    from structlog.typing import FilteringBoundLogger

    from gateway.intake import Intake
    from gateway.queue import Store
    from gateway.settings import ServerConfig

__all__ = [
    "API_VERSION",
    "MOST_COUNTS",
    "Batch",
    "BatchPolicy",
    "Component",
    "Context",
    "Destination",
    "DestinationSpec",
    "Erasure",
    "QueueSpec",
    "Route",
    "Source",
    "SourceSpec",
    "Transform",
    "TransformSpec",
]

API_VERSION = 1
"""Version of this contract. A spec made for another one is refused when it is registered."""

MOST_COUNTS = 100
"""Different things that a component may count."""

C = TypeVar("C", bound=Struct)


@dataclass(frozen=True, slots=True)
class Context:
    """What the host hands to every component that it builds.

    Attributes:
        id: the user's name for this instance in config.toml.
        base_dir: folder of the config file; relative paths in config are relative to it.
        data_dir: folder for the gateway's own data; no other process writes to it.
        log: logger already bound to the component's id.
        server: the `[server]` table: time-outs and trusted proxies.
        clock: wall clock in milliseconds.
        shard: number of the worker process whose queue this is for; 0 where there is only one.
            Components with the same id run in each at the same time.
        counted: what the component has counted with `count`.
        at_intake: of a transform: whether it runs before events are stored.
        groups: the groups of users that config names: `Groups.use` when the component is built,
            `Group.member` for each event.
        rehearsal: where given, what would be sent is noted down there; see `gateway.rehearsal`.
    """

    id: str
    base_dir: Path
    data_dir: Path
    server: ServerConfig
    log: FilteringBoundLogger
    clock: Callable[[], int]
    at_intake: bool = False
    shard: int = 0
    counted: Counter[str] = field(default_factory=Counter, compare=False)
    groups: Groups = field(default_factory=Groups, compare=False)
    rehearsal: Rehearsal | None = None

    def count(self, what: str, number: int = 1) -> None:
        """Count something that is neither an event's outcome nor an error, to be seen by operators.

        A destination's counts are in the metric ``headgate_destination_counted_total`` and in
        `gateway status`. They begin at 0 when the gateway starts.

        Args:
            what: a name from a fixed set, such as ``params_over_limit``. Beyond `MOST_COUNTS`
                different ones all are counted as ``other``.
        """
        if what not in self.counted and len(self.counted) >= MOST_COUNTS:
            what = "other"
        self.counted[what] += number

    def path(self, configured: str) -> Path:
        """A configured path, made absolute without looking at the disk."""
        return Path(os.path.abspath(self.base_dir / Path(configured).expanduser()))  # noqa: PTH100


@dataclass(frozen=True, slots=True)
class Erasure:
    """What `Destination.erase` has to say.

    Attributes:
        items: how many events, rows or users it deleted, as far as that is known.
        detail: in words, for the report; without ids of users.
        job: for ``RUNNING``, what the vendor knows the deletion by; handed back at the next call.
        ask_again_seconds: for ``RUNNING``, when that is to be.
    """

    status: Literal["FINISHED", "RUNNING", "NOT_SUPPORTED"]
    items: int = 0
    detail: str = ""
    job: str = ""
    ask_again_seconds: float = 3600.0


class Component:
    """Start and stop, both optional."""

    async def start(self) -> None:
        """Open what the component needs; raise to refuse."""

    async def stop(self) -> None:
        """Release it; safe without `start`, safe twice."""


class Destination(Component, ABC):
    """Something that events are delivered to."""

    stores_by_shard: bool = False
    """Whether what it stored lies apart for each worker process (`Context.shard`).

    Each of them then has it erase its own; of others one has them erase, once, for all.
    """

    @abstractmethod
    async def send(self, batch: Batch) -> None:
        """Deliver a batch; returning means that every event of it was delivered.

        Raises:
            Retryable: nothing was delivered, try all of it again.
            Throttled: the same, and slow down.
            Permanent: none of it will ever be accepted.
            Misconfigured: settings or credentials are wrong.
            BatchError: only the named items failed.
        """

    async def check(self) -> None:
        """Prove that settings work without delivering; raise `DeliveryError` where not."""

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Delete all that was ever delivered of these users, or ask the vendor to.

        Optional; who does not implement it is reported as not supported. By the time of the call
        nothing of theirs is under way any more, and the destination has been started. `send` may
        run beside it, with events of others, or newer ones of the same users, which stay.

        Bring copies along: compressed files, indexes, pages that a database has let go of. Be
        prepared to be called again with the same subjects, after a crash or a failure: what is gone
        already is no error. Progress that must outlive that goes into `Erasure.job`.

        Args:
            subjects: users by userId, and by anonymousId; at most 5,000 in all.
            job: empty at first; then the `Erasure.job` of an answer that was ``RUNNING``. Subjects
                are not kept for longer than needed: in a call with a job they are empty.

        Returns:
            ``FINISHED`` once they are gone; ``RUNNING`` where the vendor has accepted to delete
            them and will be asked again; ``NOT_SUPPORTED`` with what a person has to do.

        Raises:
            Retryable: try again later; the gateway does, for days.
            DeliveryError: any other is a failure that a person has to look into.
        """
        return Erasure(
            "NOT_SUPPORTED", detail="the destination cannot delete users; delete them there by hand"
        )


class Transform(ABC):
    """Changes or drops events, a batch at a time, without waiting for anything."""

    mutates: bool = True
    """Whether `apply` may change an event. If not, events are shared instead of copied."""

    adds_to: Sequence[str] = ()
    """Ids of the sources that the events of `produced` are attributed to. They must exist."""

    @abstractmethod
    def apply(self, events: list[Event]) -> list[Event]:
        """The events to go on with, in the same order; leave one out to drop it."""

    def keeps(self, ids: Sequence[Ids | Event]) -> Sequence[bool] | None:
        """For each event whether `apply` keeps it, told from its ids alone.

        Asked at delivery before `apply`: where all transforms can tell, and change nothing, none of
        the events is decoded for them. A transform that has to look at events says None.
        """
        return None

    def passes(self, text: bytes | memoryview) -> bool:
        """Whether `apply` surely keeps, and leaves alone, all events that stand in a JSON text.

        Asked at intake for the text of a whole request: where all transforms say yes, its events
        are stored as they were sent, and none of them is decoded. To be sure without decoding, look
        for what any of them would have to contain. What the gateway adds to events from a request's
        head (``{"ip":...,"userAgent":...}``, which becomes part of their context) is asked about in
        a text of its own. A transform that cannot tell says no, as this one does.
        """
        return False

    def suspects(self, text: bytes) -> Collection[int] | None:
        """Where in a JSON text something may be that `apply` or `receive` changes.

        Asked at intake for the text of a whole request whose events `passes`, or this, can vouch
        for: only the events that one of these places is in are decoded, received and applied to.
        A transform that drops events, or looks at several of them together, cannot tell.

        Returns:
            Offsets, each right behind something suspicious; empty where the text passes; None
            where that cannot be told, so that all events are looked at.
        """
        return () if self.passes(text) else None

    def receive(self, events: Sequence[Event]) -> None:  # noqa: B027 - most have nothing to do
        """See a request's events before anything of them is remembered; at intake only.

        `apply` comes after duplicates are left out and discarded events are noted down, both of
        which remember message ids. What must not be remembered is changed here. Not called for
        events that pass, or in which nothing is suspected.
        """

    def of_client(self, client: Client) -> Client:
        """Who sent a request, as it is to be written into its events; at intake only."""
        return client

    def for_destination(self, destination: str) -> Transform:
        """The transform as it runs for one destination, for whom it may be another."""
        return self

    def produced(self) -> list[Event]:
        """Events of its own that the last call of `apply` made; asked once after each.

        They are complete and valid: ids, times, version and one of `adds_to` as their source. They
        pass through no transform of the chain that made them, so that a report is never itself
        checked. At intake they are stored together with the events that they came from; an id that
        is made from the event's own stays the same when a client sends that again, and is then
        stored once. At delivery, where an event has been stored already, they are ignored.
        """
        return []


@dataclass(frozen=True, slots=True)
class Route:
    """A path that a source answers. Paths of all sources share one server, below its prefix.

    Attributes:
        direct: requests for this very path, without a query, do not pass aiohttp's router, which is
            faster. It has to be a path without ``{}``, for all methods (``*``), whose handler asks
            its request for neither ``match_info`` nor ``app`` and returns what is not sent yet.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    direct: bool = False


class Source(Component):
    """A protocol that events arrive by.

    One object serves all sources of its type, as they share their paths: a request's write key
    says which of them it is for.
    """

    def routes(self) -> Sequence[Route]:
        """Paths to mount; none for a source that fetches."""
        return ()

    def example(self, base_url: str) -> str | None:
        """A command that sends one event, shown when the gateway starts."""
        return None


@dataclass(frozen=True, slots=True)
class SourceSpec(Generic[C]):
    """Registers a type of source.

    Attributes:
        build: called once with the config of every source of the type, by id.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[Mapping[str, C], Intake, Context], Source]
    api: int = API_VERSION


@dataclass(frozen=True, slots=True)
class TransformSpec(Generic[C]):
    """Registers a type of transform."""

    type: str
    config: builtins.type[C]
    build: Callable[[C, Context], Transform]
    api: int = API_VERSION


@dataclass(frozen=True, slots=True)
class DestinationSpec(Generic[C]):
    """Registers a type of destination.

    Attributes:
        name: its name in an event's `integrations` object, such as ``Google Analytics 4``.
        storage: whether it is a warehouse or archive; ``{"All": false}`` does not block those.
        batch: the batching that suits it; a user's `batch` table overrides it key by key.
        max_concurrency: sends that may be under way at once, unless the user says otherwise.
        idempotent: whether an event that is sent twice counts once over there: by its message id,
            or by `Batch.queue_id` and its offset. Only such a destination is replayed into without
            being forced.
        atomic: whether a batch is delivered whole and in its order, or not at all: `send` never
            raises `BatchError` for some items and delivers the others.
        rehearses: whether it heeds `Context.rehearsal`, as one does that speaks to the outside by
            `gateway.outbound.HttpClient` alone; see `gateway.rehearsal`.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[C, Context], Destination]
    name: str = ""
    storage: bool = False
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    max_concurrency: int = 1
    idempotent: bool = False
    atomic: bool = False
    rehearses: bool = False
    api: int = API_VERSION


@dataclass(frozen=True, slots=True)
class QueueSpec(Generic[C]):
    """Registers a type of queue store.

    Attributes:
        sharded: whether several worker processes may each have a store of their own, told apart by
            `Context.data_dir`. Without it ``server.workers`` is 1.
    """

    type: str
    config: builtins.type[C]
    build: Callable[[C, Context], Store]
    sharded: bool = False
    api: int = API_VERSION
