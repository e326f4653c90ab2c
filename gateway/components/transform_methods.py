"""Methods that a transform may have besides `apply`, each with its protocol.

A transform has such a method by defining it. Inheriting from the protocol is not needed, but lets
type checkers compare the signatures.

`PassesText`, `SuspectsText`, `SuspectsRequest`, `ChangesContext` and `KeepsByIds` save work: events
that no transform has to look at are neither decoded nor encoded. `ReceivesEvents`, `ChangesClient`
and `ProducesEvents` give a transform more to do. `WorksApart` keeps long work off the event loop.
`Samples` tells figures what a sample stands for. `TransformMethods` binds the methods of one
transform, once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from msgspec import Raw

from gateway.components.transform import Transform
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import Ids
from gateway.events.event import Event

__all__ = [
    "ChangesClient",
    "ChangesContext",
    "ChangesIds",
    "KeepsByIds",
    "PassesText",
    "PerDestination",
    "ProducesEvents",
    "ReceivesEvents",
    "Samples",
    "SuspectsRequest",
    "SuspectsText",
    "TransformMethods",
    "WorksApart",
    "for_destination",
]


@runtime_checkable
class PassesText(Protocol):
    """Recognises JSON text whose events it need not see; used at intake."""

    @abstractmethod
    def passes(self, text: bytes | memoryview) -> bool:
        """Tells whether `apply` surely keeps all events in a JSON text, and changes none of them.

        It is asked for the text of a whole request, with the `context` and `integrations` that the
        client has sent beside its batch. Where all transforms say yes, the events are stored as
        they were sent, and none of them is decoded. To be sure without decoding, search
        for what an event that is changed or dropped would have to contain. What the gateway adds
        from a request's head (``{"ip":...,"userAgent":...}``, which becomes part of the context of
        its events) is asked about in a text of its own. A transform without this method sees all
        events.
        """


@runtime_checkable
class SuspectsText(PassesText, Protocol):
    """Finds the places in JSON text that it has to look at; used at intake."""

    @abstractmethod
    def suspects(self, text: bytes) -> Collection[int] | None:
        """Returns where in a JSON text there may be something that `apply` or `receive` changes.

        It is asked for the text of a whole request. Only the events that one of these places is in
        are decoded, received and applied to. A transform that drops events, or that looks at
        several of them together, returns None, or has no such method.

        Returns:
            Offsets, each right behind something suspicious; empty where the text passes; None
            where that cannot be told, so that all events are looked at.
        """


@runtime_checkable
class SuspectsRequest(PassesText, Protocol):
    """Finds the places that it has to look at in the events of a known client; used at intake."""

    @abstractmethod
    def suspects_of(self, text: bytes, client: Client) -> Collection[int] | None:
        """Returns what `SuspectsText.suspects` does, with what the client makes known.

        A transform that takes from the client, by `of_client`, what most events need has to look
        only at those that say something else than their client.

        Args:
            client: the sender of the request, before any `of_client`.
        """


@runtime_checkable
class ChangesContext(Protocol):
    """Changes the context that a client sends once for all events of its batch; used at intake."""

    @abstractmethod
    def of_context(self, context: Raw) -> Raw | None:
        """Returns the context as `apply` would leave it in an event that has no other.

        Otherwise all events of the batch would have to be decoded, as the context is part of each.

        Returns:
            The same object if nothing changes; None if `apply` has to see the whole events, or if
            it would take long.
        """


@runtime_checkable
class KeepsByIds(Protocol):
    """Drops events by their ids alone; used at delivery."""

    @abstractmethod
    def keeps(self, ids: Sequence[Ids | Event]) -> Sequence[bool] | None:
        """Tells for each event whether `apply` keeps it, or returns None where ids do not tell.

        It is asked before `apply`. Where all transforms can tell, and change nothing, none of the
        events is decoded for them.
        """


@runtime_checkable
class ReceivesEvents(Protocol):
    """Changes events before anything of them is remembered; used at intake."""

    @abstractmethod
    def receive(self, events: Sequence[Event]) -> None:
        """Changes what must not be remembered of a request's events, such as a message id.

        `apply` comes after duplicates are left out and discards are noted down, and both remember
        message ids. It is not called for events that pass, or in which nothing is suspected.
        """


@runtime_checkable
class WorksApart(Protocol):
    """Hands long work to another thread, so that the event loop goes on meanwhile."""

    @abstractmethod
    def apply_briefly(self, events: list[Event]) -> list[Event] | None:
        """Does what `apply` does, or returns None and changes nothing if that would take long.

        More than some 20 ms is long. What a request costs here must be bounded whatever a client
        sends: a few kilobytes, compressed, may be thousands of findings.
        """

    @abstractmethod
    def apply_apart(self, events: list[Event]) -> list[Event]:
        """Does what `apply` does, in another thread.

        Other methods are called for other batches at the same time.
        """


@runtime_checkable
class ChangesClient(Protocol):
    """Changes what events say of the client that sent them; used at intake."""

    @abstractmethod
    def of_client(self, client: Client) -> Client:
        """Returns the sender of a request as it is to be written into its events."""


@runtime_checkable
class ProducesEvents(Protocol):
    """Makes events of its own; used at intake.

    Its attribute `adds_to` has the ids of the sources that these events belong to; by default there
    are none. The sources must exist.
    """

    @abstractmethod
    def produced(self) -> list[Event]:
        """Returns the events that the last call of `apply` made; called once after each.

        They are complete and valid: they have ids, times, a version, and one of `adds_to` as their
        source. They pass through no transform of the same chain, so that a report is never itself
        checked. At intake they are stored together with the events that they were made from. Derive
        their ids from those events: when a client sends the same again, they are stored once. At
        delivery, where an event has been stored already, they are ignored.
        """


@runtime_checkable
class ChangesIds(Protocol):
    """Changes ids, and knows into what; used to erase a user."""

    @abstractmethod
    def forms(self, attribute: str, id_: str) -> Collection[str]:
        """Returns all forms in which an id may leave `apply`: one, mostly.

        An erasure looks for these, and asks vendors for these alone. A hash has a form for each
        secret. Without this method, `apply` is called with an event of that id.

        Args:
            attribute: ``user_id`` or ``anonymous_id``.
        """


@runtime_checkable
class Samples(Protocol):
    """Keeps a random share, and tells how many each one that is kept stands for.

    Figures count with these weights. A transform that drops events by a rule, such as ``filter``,
    is no sample. One that drops at random and does not say so makes all figures too low.
    """

    @abstractmethod
    def weight(self, event: Event) -> float | None:
        """Returns how many people the one of a kept event stands for; 1 if nobody is left out.

        It is one over the chance that this person was kept. Returns None if the transform keeps
        single events rather than all events of a person: then figures that would count the event
        refuse, and name the transform.
        """


@runtime_checkable
class PerDestination(Protocol):
    """Works differently for each destination."""

    @abstractmethod
    def for_destination(self, destination: str) -> Transform:
        """Returns the transform to run for the destination with this id."""


def for_destination(transform: Transform, destination: str) -> Transform:
    """Returns the transform to run for one destination; mostly the transform itself."""
    if isinstance(transform, PerDestination):
        return transform.for_destination(destination)
    return transform


@dataclass(frozen=True, slots=True)
class TransformMethods:
    """The bound methods of one transform; None stands for each that it does not have.

    Attributes:
        suspects: for a transform that has `passes` only, derived from that.
    """

    mutates: bool
    adds_to: tuple[str, ...]
    apply: Callable[[list[Event]], list[Event]]
    passes: Callable[[bytes | memoryview], bool] | None
    suspects: Callable[[bytes], Collection[int] | None] | None
    suspects_of: Callable[[bytes, Client], Collection[int] | None] | None
    keeps: Callable[[Sequence[Ids | Event]], Sequence[bool] | None] | None
    receive: Callable[[Sequence[Event]], None] | None
    of_client: Callable[[Client], Client] | None
    of_context: Callable[[Raw], Raw | None] | None
    produced: Callable[[], list[Event]] | None
    apply_briefly: Callable[[list[Event]], list[Event] | None] | None
    apply_apart: Callable[[list[Event]], list[Event]] | None
    forms: Callable[[str, str], Collection[str]] | None
    weight: Callable[[Event], float | None] | None

    @classmethod
    def of(cls, transform: Transform) -> TransformMethods:
        """Binds the methods of a transform."""
        passes = transform.passes if isinstance(transform, PassesText) else None
        suspects: Callable[[bytes], Collection[int] | None] | None = None
        if isinstance(transform, SuspectsText):
            suspects = transform.suspects
        elif passes is not None:
            suspects = _suspects_by(passes)
        return cls(
            mutates=transform.mutates,
            adds_to=tuple(getattr(transform, "adds_to", ())),
            apply=transform.apply,
            passes=passes,
            suspects=suspects,
            suspects_of=(transform.suspects_of if isinstance(transform, SuspectsRequest) else None),
            keeps=transform.keeps if isinstance(transform, KeepsByIds) else None,
            receive=transform.receive if isinstance(transform, ReceivesEvents) else None,
            of_client=transform.of_client if isinstance(transform, ChangesClient) else None,
            of_context=transform.of_context if isinstance(transform, ChangesContext) else None,
            produced=transform.produced if isinstance(transform, ProducesEvents) else None,
            apply_briefly=transform.apply_briefly if isinstance(transform, WorksApart) else None,
            apply_apart=transform.apply_apart if isinstance(transform, WorksApart) else None,
            forms=transform.forms if isinstance(transform, ChangesIds) else None,
            weight=transform.weight if isinstance(transform, Samples) else None,
        )


def _suspects_by(passes: Callable[[bytes], bool]) -> Callable[[bytes], Collection[int] | None]:
    def suspects(text: bytes) -> Collection[int] | None:
        return () if passes(text) else None

    return suspects
