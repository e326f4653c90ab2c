"""An intake with all that it needs, and a queue in memory behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import structlog

from gateway.components.chain import Chain
from gateway.components.transform import Transform
from gateway.config.settings import SourceSettings
from gateway.events.envelope.arrival import Arrival, Receipt
from gateway.events.event import Event
from gateway.identity.visitors import Identity
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.intake import Intake
from gateway.queue.batching import BatchingQueue
from gateway.state.ledger.counts import Ledger
from gateway.testing import ManualClock
from tests.support.fake_queue import FakeQueue

__all__ = ["IntakeHarness", "make_source"]


def make_source(*keys: str, enabled: bool = True) -> SourceSettings:
    """Makes the settings of a source of type ``segment`` with these write keys."""
    return SourceSettings(type="segment", write_key=keys, enabled=enabled)


class IntakeHarness:
    """An intake, what it stores and what it counts.

    Attributes:
        context: the parts that the intake was built from.
        queue: stores the events, unless another queue is given.

    Args:
        sources: by id; by default one source, ``web``.
        transforms: transforms of intake, each with its id.
        dedup: whether intake finds repeated message ids.
        clock: the time of arrival; by default it stands still.
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, SourceSettings] | None = None,
        transforms: Sequence[tuple[str, Transform]] = (),
        dedup: bool = True,
        suppressed: Collection[str] = frozenset(),
        identity: Identity | None = None,
        queue: BatchingQueue | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.queue = FakeQueue()
        self.clock = clock or ManualClock()
        self.ids = RecentIds(3_600_000, 10_000)
        self.ledger = Ledger()
        self.context = IntakeContext(
            sources=sources or {"web": make_source("web")},
            queue=queue or cast("BatchingQueue", self.queue),
            recent_ids=self.ids if dedup else None,
            transforms=Chain(transforms),
            ledger=self.ledger,
            clock=self.clock,
            log=structlog.get_logger(),
            suppressed=suppressed,
            identity=identity,
        )
        self.intake = Intake(self.context)

    def accept(
        self, *events: Event, source_id: str = "web", **fields: Any
    ) -> asyncio.Task[Receipt]:
        """Sends a request with these events to the intake."""
        arrival = Arrival(source_id, self.clock(), list(events), **fields)
        return asyncio.ensure_future(self.intake.accept(arrival))

    def stored(self) -> list[Event]:
        """Returns all stored events, in order."""
        return self.queue.stored
