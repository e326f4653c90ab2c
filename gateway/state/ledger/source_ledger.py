"""The ledger of the sources: counts every event that comes in, also across crashes.

Accepted events are counted when the queue has stored them. Now and then the counts are written to
the state store, together with the offset that they reach. After a crash the events beyond that
offset are counted again from the queue. So the counts are exact at no cost for an event.

Events that are not stored (discarded, duplicate) leave no other trace. They are written to the
state store before the request is answered: all that arrive during one write go into the next. If
the store takes longer than `_MOST_WAIT_SECONDS`, the request is answered first, and the counts
follow as soon as the store works again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.components.store import Store
from gateway.errors import StateError
from gateway.events.envelope.stored_ids import briefs
from gateway.events.timestamps import now_ms
from gateway.state import Discard, State, Tally, writing
from gateway.state.ledger.counts import Ledger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["SourceLedger"]

_MOST_WAIT_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
_MOST_PENDING_DISCARDS = 100_000


class SourceLedger:
    """Keeps the counts of all sources.

    Args:
        ledger: holds the counts; this object updates them.
        state: stores the counts; without it they end with the process.
    """

    def __init__(
        self, ledger: Ledger, state: State | None = None, log: FilteringBoundLogger | None = None
    ) -> None:
        self.ledger = ledger
        self.base = 0
        """Offset at which counting began: all accepted events are in [base, end of the queue)."""
        self.uncounted = 0
        """Events of earlier runs that are damaged, so that their sources are unknown."""
        self._state = state
        self._log = log
        self._pending = Tally()
        self._accepted: Counter[str] = Counter()
        self._end = 0
        self._written_to = 0
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None

    async def start(self, store: Store) -> None:
        """Reads the counts, adds the events stored since then, and starts the writer.

        Raises:
            StateError: the state store cannot be used.
        """
        assert self._state is not None
        end = store.status().end
        self.ledger.sources.update(await self._state.sources())
        counted = await self._state.counted()
        if counted is None or counted.queue_id != store.identity() or counted.next_offset > end:
            # A new queue, or a first start: events that are there already count too.
            begin = store.status().first
            if counted is not None and counted.queue_id == store.identity():
                await self._note_lost_tail(end, counted.next_offset)
            await self._state.rebase_sources(store.identity(), begin)
        else:
            begin = counted.next_offset
        found = await asyncio.to_thread(_count_stored, store, begin)
        self.uncounted = end - begin - found.total()
        if self.uncounted:
            found[""] += self.uncounted
        self._end = self._written_to = begin
        self.stored(found, end)
        await self._write()
        written = await self._state.counted()
        self.base = 0 if written is None else written.base
        self._writer = asyncio.create_task(self._write_forever(), name="source_ledger")

    async def _note_lost_tail(self, end: int, expected: int) -> None:
        """Says that events are gone that the queue had stored."""
        assert self._state is not None
        await self._state.call(writing.note_lost_tail, end, expected, now_ms())
        if self._log is not None:
            self._log.error(
                "queue: its end is gone, with events that were stored; see `gateway ledger`",
                first_offset=end,
                events=expected - end,
            )

    async def stop(self) -> None:
        """Writes pending counts. Safe twice and without `start`."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})
            self._writer = None
            try:
                await self._write()
            except StateError as error:
                self._complain(error)

    def stored(self, events: Mapping[str, int], end: int) -> None:
        """Counts events that the queue has stored.

        Args:
            events: number by source.
            end: the queue's end after them.
        """
        for source_id, number in events.items():
            self.ledger.source(source_id).accepted += number
            self._accepted[source_id] += number
        self._end = end

    async def not_stored(
        self,
        source_id: str,
        duplicate: int,
        discarded: Mapping[str, int],
        discards: Sequence[Discard],
    ) -> None:
        """Counts events that were not stored; returns once that is written, or after a second.

        Args:
            discards: those of them that have an id.
        """
        counts = self.ledger.source(source_id)
        counts.duplicate += duplicate
        counts.discarded.update(discarded)
        if self._state is None:
            return
        pending = self._pending
        pending.counts[source_id, "duplicate", ""] += duplicate
        for code, number in discarded.items():
            pending.counts[source_id, "discarded", code] += number
        pending.discards += discards
        if len(pending.discards) > _MOST_PENDING_DISCARDS:
            del pending.discards[:-_MOST_PENDING_DISCARDS]
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wanted.set()
        await asyncio.wait({done}, timeout=_MOST_WAIT_SECONDS)

    def checkpoint(self) -> None:
        """Has the counts of accepted events written soon; called once a second."""
        if self._written_to != self._end:
            self._wanted.set()

    async def flush(self) -> None:
        """Writes all pending counts.

        Raises:
            StateError: the state store cannot be used.
        """
        await self._write()

    @property
    def missing(self) -> int:
        """Number of events in the queue that no source accounts for; 0 unless there is a defect."""
        accepted = sum(counts.accepted for counts in self.ledger.sources.values())
        return self._end - self.base - accepted

    async def _write_forever(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._write()
            except StateError as error:
                self._complain(error)
                self._wanted.set()
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _write(self) -> None:
        assert self._state is not None
        tally, self._pending = self._pending, Tally()
        waiting, self._waiting = self._waiting, []
        accepted, self._accepted = self._accepted, Counter()
        for source_id, number in accepted.items():
            tally.counts[source_id, "accepted", ""] += number
        tally.counted_to = end = self._end
        try:
            await self._state.add_tally(tally)
        except BaseException:
            # Cancelled or failed: all of it is pending again.
            self._accepted.update(accepted)
            for source_id in accepted:
                del tally.counts[source_id, "accepted", ""]
            self._pending.counts.update(tally.counts)
            self._pending.discards[:0] = tally.discards
            self._waiting += waiting
            raise
        self._written_to = end
        for done in waiting:
            if not done.done():
                done.set_result(None)

    def _complain(self, error: StateError) -> None:
        if self._log is not None:
            self._log.warning(
                "counts of sources cannot be written; they are kept and tried again",
                error=str(error),
            )


def _count_stored(store: Store, begin: int) -> Counter[str]:
    """Counts events by source, from an offset to the end of the queue."""
    found: Counter[str] = Counter()
    reader = store.reader(begin)
    try:
        while (frame := reader.next()) is not None:
            new = briefs(frame.payload)[max(0, begin - frame.offset) :]
            found.update([brief.source_id for brief in new])
    finally:
        reader.close()
    return found
