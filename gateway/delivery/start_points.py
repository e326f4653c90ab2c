"""Decides where each destination starts to read the queue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.components.store import Store
from gateway.delivery.built import BuiltDestination
from gateway.state import State, lane
from gateway.state.ledger.counts import DestinationCounts, Ledger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["StartPoint", "find_start_points"]


@dataclass(frozen=True, slots=True)
class StartPoint:
    """The point where a worker starts.

    Attributes:
        cursor: offset of the first event to read.
        waiting: number of events in the retry lane.
        resumed: as in `gateway.delivery.context.WorkerContext`.
    """

    cursor: int
    waiting: int
    resumed: bool = False


async def find_start_points(
    built: Iterable[BuiltDestination],
    store: Store,
    state: State,
    ledger: Ledger,
    log: FilteringBoundLogger,
    *,
    first_start: bool,
) -> dict[str, StartPoint]:
    """Returns the start point of each destination, and loads its counts into the ledger.

    A destination without a cursor, or with one past the end of the queue, gets a new cursor, which
    is stored.

    Args:
        first_start: as for `gateway.delivery.manager.DeliveryManager.open`.

    Raises:
        StateError: the state store cannot be used.
    """
    cursors = await state.cursors()
    stored = store.status()
    # The queue has events and no cursor exists: the state was lost, and with it the record of what
    # was delivered.
    lost = first_start and not cursors and stored.end > stored.first
    if lost:
        log.warning(
            "there are events in the queue and no state: delivering all of them again",
            events=stored.end - stored.first,
        )
    for one in built:
        apart = await state.call(
            lane.set_apart, one.id, stored.first, stored.end, store.identity_at
        )
        if apart:
            log.warning(
                "the queue has lost events that wait in the retry lane; they are delivered all the "
                "same",
                destination=one.id,
                events=apart,
            )
        cursor = cursors.get(one.id)
        if cursor is None or cursor > stored.end:
            if cursor is not None:
                log.warning(
                    "the queue ends before the destination's cursor: was it removed? "
                    "reading from its beginning",
                    destination=one.id,
                    cursor=cursor,
                    end=stored.end,
                )
            fresh = cursor is None and not lost and one.settings.start_at == "now"
            cursors[one.id] = stored.end if fresh else stored.first
            # Stored before the first event comes, or a crash would skip the events before it.
            await state.begin(one.id, cursors[one.id])
    found: dict[str, StartPoint] = {}
    counts, bases = await state.counts(), await state.bases()
    for one in built:
        own, known = ledger.destination(one.id), counts.get(one.id, DestinationCounts())
        own.delivered, own.replayed = known.delivered, known.replayed
        own.filtered, own.dead = known.filtered, known.dead
        own.base = bases[one.id]
        found[one.id] = StartPoint(cursors[one.id], (await state.standing(one.id))[0])
    return found
