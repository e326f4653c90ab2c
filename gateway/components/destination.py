"""The contract of destinations, and the batches that they are sent."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, Literal, overload

from msgspec import Meta, Struct

from gateway.components.component import API_VERSION, C, Component
from gateway.components.context import Context
from gateway.events.event import Event
from gateway.events.subjects import Subjects

__all__ = ["Batch", "BatchPolicy", "Destination", "DestinationSpec", "Erasure"]


@dataclass(frozen=True, slots=True)
class Batch(Sequence[Event]):
    """Events for one call of `Destination.send`, in the order in which they were accepted.

    Attributes:
        events: the events. Other destinations share them, so they must not be changed.
        offsets: position of each event in the queue, the same on every retry.
        attempt: 1 for the first attempt at these events.
        queue_id: id of the queue that the offsets belong to. A pair of it and an offset never names
            two events. A destination that stores the pair with the event, in one transaction and
            under a unique key, gets each event exactly once (`DestinationSpec.idempotent`).
    """

    events: Sequence[Event]
    offsets: Sequence[int]
    attempt: int = 1
    queue_id: str = ""

    def __len__(self) -> int:
        return len(self.events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self.events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)


class BatchPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits at which waiting events are sent as a batch; the first one reached decides.

    Attributes:
        max_events: number of events.
        max_bytes: bytes of the events as stored.
        max_age_seconds: time that the oldest event has waited. 0 sends whatever is there.
    """

    max_events: Annotated[int, Meta(ge=1)] = 500
    max_bytes: Annotated[int, Meta(ge=1)] = 1_000_000
    max_age_seconds: Annotated[float, Meta(ge=0)] = 1.0


@dataclass(frozen=True, slots=True)
class Erasure:
    """The result of `Destination.erase`.

    Attributes:
        items: number of events, rows or users deleted, as far as that is known.
        detail: words for the report, without ids of users.
        job: for ``RUNNING``, the vendor's id of the deletion; passed back in the next call.
        ask_again_seconds: for ``RUNNING``, time until the next call.
    """

    status: Literal["FINISHED", "RUNNING", "NOT_SUPPORTED"]
    items: int = 0
    detail: str = ""
    job: str = ""
    ask_again_seconds: float = 3600.0


class Destination(Component, ABC):
    """A place that events are delivered to."""

    stores_by_shard: bool = False
    """Tells that each worker process (`Context.shard`) stores its events apart.

    Then each worker is asked to erase its own. Otherwise one worker is asked, once, for all.
    """

    @abstractmethod
    async def send(self, batch: Batch) -> None:
        """Delivers a batch; returning means that every event of it was delivered.

        Raises:
            Retryable: nothing was delivered; all of it is tried again.
            Throttled: the same, and the destination asks for fewer requests.
            Permanent: the batch will never be accepted. Parts of it are sent at once, down to
                single events.
            Misconfigured: settings or credentials are wrong.
            BatchError: only the named items failed.
        """

    async def check(self) -> None:
        """Proves that settings work without delivering anything; raises `DeliveryError` if not."""

    async def caught_up(self) -> None:
        """Takes note that every event accepted until now has an outcome at this destination.

        Optional. It is called every few seconds while no event waits: in the queue, in flight or
        for another attempt. A destination can so tell "nothing happened" from "not here yet".
        `send` may run at the same time, with events accepted since. Errors are logged.
        """

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Deletes all that was ever delivered of these users, or asks the vendor to.

        Optional: a destination without it is reported as not supported. When it is called, the
        destination has been started, and no event of these users is being delivered any more.
        `send` may run at the same time, with events of other users, or with newer events of the
        same users, which stay.

        Delete copies too: compressed files, indexes, pages that a database has freed. After a crash
        or a failure it is called again with the same subjects; missing data is no error then.
        Progress that must survive a crash belongs in `Erasure.job`.

        Args:
            subjects: users by userId and by anonymousId; at most 5,000 in all.
            job: empty at first; later the `Erasure.job` of the last answer that was ``RUNNING``. A
                call with a job has no subjects, since they are not kept longer than needed.

        Returns:
            ``FINISHED`` once the data is gone; ``RUNNING`` where the vendor has accepted the
            deletion and will be asked again; ``NOT_SUPPORTED`` with the steps for a person to do.

        Raises:
            Retryable: the gateway tries again later, for days.
            DeliveryError: any other error needs a person to look into it.
        """
        return Erasure(
            "NOT_SUPPORTED", detail="the destination cannot delete users; delete them there by hand"
        )


@dataclass(frozen=True, slots=True)
class DestinationSpec(Generic[C]):
    """Registers a type of destination.

    Attributes:
        name: its name in an event's `integrations` object, such as ``Google Analytics 4``.
        storage: it is a warehouse or an archive, which ``{"All": false}`` does not block.
        batch: the batching that suits it; a user's `batch` table overrides it key by key.
        max_concurrency: number of sends at the same time, unless the user sets another.
        idempotent: an event that is sent twice counts once at the destination, by its message id or
            by `Batch.queue_id` and its offset. Events are replayed into other destinations only
            when the user forces it.
        atomic: a batch is delivered whole and in order, or not at all: `send` never raises
            `BatchError` for some items and delivers the others.
        tables: tables of config.toml that it reads besides its own, such as those that its package
            registers. `Context.tables` has their values, and when one changes the destination is
            built anew.
        weighs: it reads `Notes.weight`, so delivery transforms that sample have to write it.
        rehearses: it supports dry runs by `Context.rehearsal`. A destination whose only way out is
            `gateway.HttpClient` does; see `gateway.components.dry_run`.
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
    weighs: bool = False
    tables: tuple[str, ...] = ()
    api: int = API_VERSION
