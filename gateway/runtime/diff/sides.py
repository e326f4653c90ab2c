"""Runs events through one config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from gateway.components.chain import Chain
from gateway.components.destination import Batch
from gateway.components.dry_run import Planned
from gateway.components.isolation import call
from gateway.delivery.built import BuiltDestination
from gateway.delivery.dry_run import MaskedJson, run_dry
from gateway.delivery.mapping import MappedDestination
from gateway.delivery.selection import Outgoing, Selection
from gateway.errors import GatewayError, Permanent
from gateway.events.event import Event
from gateway.intake.dry_run import IntakeDryRun
from gateway.runtime.gateway import Gateway

__all__ = ["DeliveryPath", "Sent", "Side", "Stopped", "run_over"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """The reason why an event does not arrive."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The requests for an event; the event itself, if the destination has no dry run."""

    planned: Sequence[Planned] | bytes


_SILENT = Sent(())


class DeliveryPath:
    """The way of events to one destination."""

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

    async def sort(
        self, events: Sequence[Event], offsets: Sequence[int]
    ) -> dict[int, Event | Stopped]:
        """Returns for each offset the event as the destination gets it, or why it does not."""
        if self._is_shadow:
            return dict.fromkeys(offsets, Stopped("shadow"))
        outgoing = Outgoing(0)
        await self._selection.sort(events, offsets, outgoing)
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
        """Returns what is sent for each event; events of one batch share the whole of it."""
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
        """Returns what is sent, without secrets."""
        if isinstance(sent.planned, bytes):
            return [msgspec.json.decode(sent.planned)]
        return [self.shown(planned) for planned in sent.planned]

    async def start(self) -> None:
        """Starts the destination.

        Raises:
            GatewayError: it cannot be started.
        """
        if not self.rehearses:
            return
        try:
            await call(self._destination.start)
        except Exception as error:
            raise GatewayError(f"destinations.{self._id}: cannot be started: {error}") from error

    async def stop(self) -> None:
        """Stops the destination."""
        await call(self._destination.stop)


class Side:
    """One of the two configs.

    Args:
        gateway: built with `dry_run`.
        destinations: ids of those to compare.
    """

    def __init__(self, gateway: Gateway, destinations: Sequence[str]) -> None:
        self._intake = cast("IntakeDryRun", gateway.intake)
        self.paths = {
            built.id: DeliveryPath(built, gateway.topology.selections[built.id])
            for built in gateway.destinations
            if built.id in destinations
        }

    def chain_of(self, ids: frozenset[str]) -> Chain:
        """Returns the intake transforms with these ids."""
        return self._intake.chain_of(ids)

    def take_in(
        self, source_id: str, events: Sequence[Event], received_ms: int
    ) -> list[Event | Stopped]:
        """Returns each event as intake stores it, or why it does not."""
        return [
            event if isinstance(event, Event) else Stopped(event)
            for event in self._intake.take_in(source_id, list(events), received_ms)
        ]

    async def start(self) -> None:
        """Starts the destinations."""
        for path in self.paths.values():
            await path.start()

    async def stop(self) -> None:
        """Stops the destinations."""
        for path in self.paths.values():
            await path.stop()


def run_over(chain: Chain, events: Sequence[Event]) -> list[Event | Stopped]:
    """Runs copies of events through a chain; returns each result, or why there is none."""
    copies = [event.copy() for event in events] if chain.mutates else list(events)
    found: dict[int, Any] = {}
    outcome = chain.run(copies)
    for rule, dropped in outcome.filtered.items():
        found |= dict.fromkeys(map(id, dropped), Stopped(f"filtered:{rule}"))
    for event, id_, _ in outcome.failed:
        found[id(event)] = Stopped(f"transform_failed:{id_}")
    return [found.get(id(copy), copy) for copy in copies]
