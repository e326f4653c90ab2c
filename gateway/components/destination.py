"""Destinations: what an author implements, and the batches that it is sent."""

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
        events: the events; shared with other destinations, so not to be changed.
        offsets: position of each in the queue, stable over every retry.
        attempt: 1 for the first attempt at these events.
        queue_id: names the queue that the offsets belong to: a pair of it and an offset is never
            given to another event. A destination that stores the pair with the event, in one
            transaction and under a unique key, gets each event exactly once (`DestinationSpec`).
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
    """When the events waiting for a destination are sent as a batch: at whichever comes first.

    Attributes:
        max_events: so many events.
        max_bytes: so many bytes of events as stored.
        max_age_seconds: the oldest has waited so long. 0 sends whatever is there.
    """

    max_events: Annotated[int, Meta(ge=1)] = 500
    max_bytes: Annotated[int, Meta(ge=1)] = 1_000_000
    max_age_seconds: Annotated[float, Meta(ge=0)] = 1.0


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
            `gateway.http.client.HttpClient` alone; see `gateway.components.dry_run`.
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
