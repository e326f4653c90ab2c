"""Everything that intake is built from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.components.chain import Chain
from gateway.config.settings import SourceSettings
from gateway.identity.visitors import Identity
from gateway.intake.dedup import RecentIds
from gateway.queue.batching import BatchingQueue
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import SourceLedger
from gateway.state.live_tail import LiveTail

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from gateway.rollouts.meter import IntakeMeter

__all__ = ["IntakeContext", "identity_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeContext:
    """Everything that intake is built from.

    Attributes:
        sources: settings of the configured sources by id.
        queue: receives the accepted events.
        recent_ids: message ids that were seen before; None switches de-duplication off.
        transforms: the intake transforms.
        ledger: counts events by source, and rejected requests.
        clock: wall clock in milliseconds.
        steady: the clock for durations; by default `clock`.
        suppressed: ids of users whose events are discarded. Intake looks it up for each event. It
            may change at any time, and a lookup must take constant time.
        source_ledger: keeps the counts of `ledger` across restarts; None keeps them in memory only.
        live_tail: shows events to those who watch the live tail.
        identity: links users to visitors once it is active.
        meters: measure for rollouts what the transforms drop and fail on.
        workers: number of processes that share the rate of each write key.
    """

    sources: Mapping[str, SourceSettings]
    queue: BatchingQueue
    recent_ids: RecentIds | None
    transforms: Chain
    ledger: Ledger
    clock: Callable[[], int]
    log: FilteringBoundLogger
    steady: Callable[[], int] | None = None
    suppressed: Collection[str] = frozenset()
    source_ledger: SourceLedger | None = None
    live_tail: LiveTail | None = None
    identity: Identity | None = None
    meters: Sequence[IntakeMeter] = ()
    workers: int = 1


def identity_of(context: IntakeContext) -> Identity:
    """Returns the context's identity, or one that is never active."""
    return Identity.idle(context.log) if context.identity is None else context.identity
