"""One of the destinations that a shadow compares, run dry one event at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from gateway.components.destination import Batch
from gateway.delivery.built import BuiltDestination
from gateway.delivery.dry_run import MaskedJson, run_dry
from gateway.delivery.selection import Outgoing, Selection
from gateway.events.event import Event

__all__ = ["SHADOW", "Side", "WouldSend"]

SHADOW = "shadow"
"""The rule that filters the events of a shadow."""


@dataclass(frozen=True, slots=True)
class WouldSend:
    """The requests that a destination would send for an event.

    Attributes:
        sends: requests or writes, as JSON.
        why: the reason if there are none.
    """

    sends: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""


class Side:
    """A destination that a shadow compares.

    Args:
        built: a destination built for a dry run and used by nobody else.
        selection: decides which events go to it.
    """

    def __init__(self, built: BuiltDestination, selection: Selection) -> None:
        assert built.rehearsal is not None
        self.built = built
        self._rehearsal = built.rehearsal
        self._selection = selection
        self._masked = MaskedJson(())
        self._secrets = 0

    async def would_send(self, event: Event, offset: int) -> WouldSend:
        """Returns what the destination would send of an event, which is not changed."""
        outgoing = Outgoing(0)
        await self._selection.sort([event], [offset], outgoing)
        for rule in outgoing.filtered:
            return WouldSend(why=f"filtered: {rule}")
        for letter in outgoing.dead:
            return WouldSend(why=letter.detail)
        batch = Batch(tuple(outgoing.events), (offset,), queue_id=SHADOW)
        masked = self._masked_json()
        try:
            async with asyncio.timeout(self.built.settings.timeout_seconds):
                result = await run_dry(self.built.destination, self._rehearsal, batch)
        except TimeoutError:
            return WouldSend(why="it takes longer than timeout_seconds")
        for error in result.failed.values():
            return WouldSend(why=masked.error(error))
        sends = [masked(planned) for planned in result.planned]
        return WouldSend(sends, "" if sends else "nothing to send")

    def _masked_json(self) -> MaskedJson:
        """Returns the mask for the secrets known by now; secrets are only ever added."""
        if len(self._rehearsal.secrets) > self._secrets:
            self._secrets = len(self._rehearsal.secrets)
            self._masked = MaskedJson(self._rehearsal.secrets)
        return self._masked
