"""Takes the events of a shadow, and compares what would be sent of them.

`gateway.delivery.shadow` says what shadows are for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from gateway.delivery.selection import Outgoing
from gateway.delivery.shadow.findings import Findings
from gateway.delivery.shadow.report import ShadowReport
from gateway.delivery.shadow.side import SHADOW, Side
from gateway.events.envelope.sealed import Run
from gateway.events.event import Event

__all__ = ["Shadow"]


class Shadow:
    """Compares the events of one shadow. It is the `Interceptor` of the shadow's selection.

    Args:
        live: the destination it is compared with; None if the shadow is not of another.
        max_per_second: most events that are compared.
        monotonic: clock in seconds.
    """

    def __init__(
        self,
        id_: str,
        findings: Findings,
        shadow: Side,
        live: Side | None,
        *,
        max_per_second: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = id_
        self._findings = findings
        self._shadow = shadow
        self._live = live
        self._budget = _Budget(max_per_second, monotonic)

    @property
    def sides(self) -> list[Side]:
        """The shadow's own side, and the live one if there is one."""
        return [self._shadow] if self._live is None else [self._shadow, self._live]

    async def take(self, outgoing: Outgoing) -> None:
        """Compares the events that would be sent, and filters them."""
        if outgoing.offsets:
            await self.look(outgoing.events, outgoing.offsets)
            outgoing.filtered.setdefault(SHADOW, []).extend(outgoing.offsets)
            outgoing.events, outgoing.offsets = Run(), []

    async def look(self, events: Sequence[Event], offsets: Sequence[int]) -> None:
        """Compares events as they were stored, as many as the rate allows."""
        number = self._budget.take(len(events))
        if number < len(events):
            self._findings.count("not_compared", len(events) - number)
        for event, offset in zip(events[:number], offsets[:number], strict=True):
            shadow = await self._shadow.would_send(event, offset)
            live = None if self._live is None else await self._live.would_send(event, offset)
            self._findings.add(event, shadow, live)
            await asyncio.sleep(0)  # lets other tasks run between two events

    def forget(self) -> None:
        """Forgets the contents of events; the counts stay."""
        self._findings.forget()

    def report(self) -> ShadowReport:
        """Returns the findings."""
        return self._findings.report()


class _Budget:
    """Allows a number of events each second, in a burst or spread out."""

    def __init__(self, per_second: float, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._monotonic = monotonic
        self._left = per_second
        self._at = monotonic()

    def take(self, wanted: int) -> int:
        now = self._monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        number = min(wanted, int(self._left))
        self._left -= number
        return number
