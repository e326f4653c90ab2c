"""What one config makes of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from gateway.components.chain import Chain
from gateway.components.destination import Batch
from gateway.components.dry_run import Planned
from gateway.delivery.built import BuiltDestination
from gateway.delivery.dry_run import MaskedJson, run_dry
from gateway.delivery.mapping import MappedDestination
from gateway.delivery.selection import Outgoing, Selection
from gateway.errors import GatewayError, Permanent
from gateway.events.event import Event
from gateway.intake.dry_run import IntakeDryRun
from gateway.runtime.gateway import Gateway

__all__ = ["Road", "Sent", "Side", "Stopped", "run_over"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """An event does not get there; why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent of an event; or the event itself, of a destination that cannot rehearse."""

    planned: Sequence[Planned] | bytes


_SILENT = Sent(())


class Road:
    """The road of events to one destination."""

    def __init__(self, built: BuiltDestination, selection: Selection) -> None:
        self._selection = selection
        self._id = built.id
        self._is_shadow = built.is_shadow
        self._rehearsal = built.rehearsal
        self._destination = built.destination
        self._mapping: Callable[[Event], Event] | None = None
        if isinstance(built.destination, MappedDestination):
            self._destination = built.destination.destination
            self._mapping = built.destination.mapping
        self.rehearses = built.rehearses
        self.shown = MaskedJson(built.rehearsal.secrets if built.rehearsal is not None else ())

    def sort(self, events: Sequence[Event], offsets: Sequence[int]) -> dict[int, Event | Stopped]:
        """By offset the event as the destination gets it, mapped; or why it does not."""
        if self._is_shadow:
            return dict.fromkeys(offsets, Stopped("shadow"))
        outgoing = Outgoing(0)
        self._selection.sort(events, offsets, outgoing)
        found: dict[int, Event | Stopped] = {}
        for offset, event in zip(outgoing.offsets, outgoing.events, strict=True):
            found[offset] = event if self._mapping is None else self._mapped(event, self._mapping)
        for rule, places in outgoing.filtered.items():
            found |= dict.fromkeys(places, Stopped(rule))
        for letter in outgoing.dead:
            found[letter.offset] = Stopped(letter.detail)
        return found

    def _mapped(self, event: Event, mapping: Callable[[Event], Event]) -> Event | Stopped:
        try:
            return mapping(event)
        except Permanent as error:
            return Stopped(self.shown.error(error))

    async def sends(self, events: Sequence[Event], offsets: Sequence[int]) -> list[Sent | Stopped]:
        """What is sent of all of them together, said of each of which anything is."""
        if not self.rehearses:
            return [Sent(event.to_json()) for event in events]
        assert self._rehearsal is not None
        batch = Batch(tuple(events), tuple(offsets), 1, "diff")
        found = await run_dry(self._destination, self._rehearsal, batch)
        whole = Sent(found.planned)
        sent = [_SILENT if n in found.silent else whole for n in range(len(events))]
        stopped = {n: Stopped(self.shown.error(error)) for n, error in found.failed.items()}
        return [stopped.get(n, one) for n, one in enumerate(sent)]

    def show(self, sent: Sent) -> list[Any]:
        """What is sent, without secrets."""
        if isinstance(sent.planned, bytes):
            return [msgspec.json.decode(sent.planned)]
        return [self.shown(planned) for planned in sent.planned]

    async def start(self) -> None:
        """Get the destination ready.

        Raises:
            GatewayError: it cannot be.
        """
        if not self.rehearses:
            return
        try:
            await self._destination.start()
        except Exception as error:
            raise GatewayError(f"destinations.{self._id}: cannot be started: {error}") from error

    async def stop(self) -> None:
        """Let go of it."""
        await self._destination.stop()


class Side:
    """One of the two configs.

    Args:
        gateway: one that is `rehearsing`.
        destinations: those to be looked at.
    """

    def __init__(self, gateway: Gateway, destinations: Sequence[str]) -> None:
        self._intake = cast("IntakeDryRun", gateway.intake)
        self.roads = {
            built.id: Road(built, gateway.topology.selections[built.id])
            for built in gateway.destinations
            if built.id in destinations
        }

    def chain_of(self, ids: frozenset[str]) -> Chain:
        """The intake transforms of these ids."""
        return self._intake.chain_of(ids)

    def take_in(
        self, source_id: str, events: Sequence[Event], received_ms: int
    ) -> list[Event | Stopped]:
        """What intake makes of events as they are sent: the event as stored, or why it is not."""
        return [
            event if isinstance(event, Event) else Stopped(event)
            for event in self._intake.take_in(source_id, list(events), received_ms)
        ]

    async def start(self) -> None:
        """Get the destinations ready."""
        for road in self.roads.values():
            await road.start()

    async def stop(self) -> None:
        """Let go of them."""
        for road in self.roads.values():
            await road.stop()


def run_over(chain: Chain, events: Sequence[Event]) -> list[Event | Stopped]:
    """What a chain makes of events, which stay as they are."""
    copies = [event.copy() for event in events] if chain.mutates else list(events)
    found: dict[int, Any] = {}
    outcome = chain.run(copies)
    for rule, dropped in outcome.filtered.items():
        found |= dict.fromkeys(map(id, dropped), Stopped(f"filtered:{rule}"))
    for event, id_, _ in outcome.failed:
        found[id(event)] = Stopped(f"transform_failed:{id_}")
    return [found.get(id(copy), copy) for copy in copies]
