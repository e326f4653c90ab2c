"""Transforms: they change or drop events, a batch at a time."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic

from gateway.components.component import API_VERSION, C
from gateway.components.context import Context
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import Ids
from gateway.events.event import Event

__all__ = ["Transform", "TransformSpec"]


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
class TransformSpec(Generic[C]):
    """Registers a type of transform."""

    type: str
    config: builtins.type[C]
    build: Callable[[C, Context], Transform]
    api: int = API_VERSION
