"""A destination that maps events before it sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.components.destination import Batch, Destination, Erasure
from gateway.errors import BatchError, DeliveryError, Permanent
from gateway.events.event import Event
from gateway.events.subjects import Subjects

__all__ = ["MappedDestination"]

_AT_ONCE = 250
"""Number of events that are mapped before other tasks may run."""


class MappedDestination(Destination):
    """Maps the events of each batch and passes them to another destination.

    Args:
        destination: gets the mapped events, with the offsets of the originals.
        mapping: raises `Permanent` for an event that cannot be mapped.

    Attributes:
        destination, mapping: both arguments.
    """

    def __init__(self, destination: Destination, mapping: Callable[[Event], Event]) -> None:
        self.stores_by_shard = destination.stores_by_shard
        self.destination = destination
        self.mapping = mapping

    async def start(self) -> None:
        """Starts the destination."""
        await self.destination.start()

    async def stop(self) -> None:
        """Stops the destination."""
        await self.destination.stop()

    async def check(self) -> None:
        """Checks the destination."""
        await self.destination.check()

    async def caught_up(self) -> None:
        """Tells the destination that no event waits."""
        await self.destination.caught_up()

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        """Erases users in the destination by their own ids, not by ids that a rule has changed."""
        return await self.destination.erase(subjects, job)

    async def send(self, batch: Batch) -> None:
        """Maps the events and sends those that could be mapped.

        Raises:
            DeliveryError: the destination failed as a whole. Events that could not be mapped are
                found again when the batch comes again.
            BatchError: the events that could not be mapped, and those that the destination names.
        """
        mapped: list[Event] = []
        places: list[int] = []
        failed: dict[int, DeliveryError] = {}
        for place, event in enumerate(batch):
            if place and place % _AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                mapped.append(self.mapping(event))
            except Permanent as error:
                failed[place] = error
            else:
                places.append(place)
        if mapped:
            offsets = [batch.offsets[place] for place in places]
            try:
                await self.destination.send(Batch(mapped, offsets, batch.attempt, batch.queue_id))
            except BatchError as error:
                known = len(places)  # a destination may name an event that it was not given
                failed |= {places[i]: e for i, e in error.failed.items() if 0 <= i < known}
            except Permanent as error:
                if not failed:
                    raise
                failed |= dict.fromkeys(places, error)
        if failed:
            raise BatchError(dict(sorted(failed.items())))
