"""The parts that the worker of one destination is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.delivery.batcher import Batcher
from gateway.delivery.ordering import UserOrder
from gateway.delivery.sender import Sender
from gateway.state import State
from gateway.state.ledger.counts import DestinationCounts
from gateway.state.live_tail import LiveTail

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["WorkerContext"]


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The parts of a worker, shared by the modules that the worker consists of.

    Attributes:
        id: id of the destination.
        batcher: makes the batches; it starts at the destination's cursor.
        sender: sends them to the destination.
        state: stores the outcomes.
        counts: of this destination, over all runs; the worker keeps them up to date.
        clock: the clock for durations, in milliseconds.
        max_events: most events in one send from the retry lane.
        order: keeps the events of each user in order; None where config does not ask for that.
        queue_id_at: returns the id of the queue for an event, as `Store.identity_at` does.
        live_tail: publishes outcomes to watchers.
        resumed: another worker ran before this one, and `counts` may lack its last commit.
        waiting: events in the retry lane at the start.
    """

    id: str
    batcher: Batcher
    sender: Sender
    state: State
    counts: DestinationCounts
    clock: Callable[[], int]
    log: FilteringBoundLogger
    max_events: int
    order: UserOrder | None = None
    queue_id_at: Callable[[int], tuple[str, int | None]] = lambda _: ("", None)
    live_tail: LiveTail = field(default_factory=LiveTail)
    resumed: bool = False
    waiting: int = 0
