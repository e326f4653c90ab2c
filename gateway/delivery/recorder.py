"""Writes outcomes to the state store, as often as it takes, and counts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from msgspec import structs

from gateway.delivery.context import WorkerContext
from gateway.errors import StateError
from gateway.state import ALREADY_WAITING, Attempt, Commit, Written

__all__ = ["Recorder"]


class Recorder:
    """Writes the outcomes of one destination."""

    def __init__(self, context: WorkerContext) -> None:
        self._destination = context.id
        self._state = context.state
        self._sender = context.sender
        self._counts = context.counts
        self._clock = context.clock
        self._log = context.log
        self._queue_id_at = context.queue_id_at
        self._writing = 0

    @property
    def busy(self) -> bool:
        """True while a commit is being written."""
        return self._writing > 0

    async def record(self, commit: Commit) -> Written | None:
        """Writes a commit and counts its outcomes.

        A write that fails is tried again until it succeeds.

        Returns:
            None if the worker drains and gives up.
        """
        self._writing += 1
        commit = self._named(commit)
        try:
            written = await self._write(commit)
        finally:
            self._writing -= 1
            self._sender.notify()
        if written is not None:
            self._count(commit, written)
            self._log_problems(commit, written)
        return written

    def _named(self, commit: Commit) -> Commit:
        """Gives waiting entries and dead letters the id of the queue that their offsets are of."""
        if not commit.waiting and not commit.dead:
            return commit
        id_at = self._queue_id_at
        return replace(
            commit,
            waiting=[
                one if one.queue_id else replace(one, queue_id=id_at(one.position)[0])
                for one in commit.waiting
            ],
            dead=[
                one if one.queue_id else structs.replace(one, queue_id=id_at(one.offset)[0])
                for one in commit.dead
            ],
        )

    async def _write(self, commit: Commit) -> Written | None:
        attempt = 0
        while True:
            try:
                written = await self._state.commit(commit, self._clock())
            except StateError as error:
                attempt += 1
                self._sender.fails("retrying", f"outcomes cannot be recorded: {error}", ours=True)
                if await self._sender.wait(self._sender.delay_seconds(attempt, None)):
                    return None
            else:
                if attempt:
                    self._sender.succeeds()
                return written

    def _count(self, commit: Commit, written: Written) -> None:
        counts = self._counts
        counts.delivered += commit.delivered
        counts.filtered += Counter(commit.filtered)
        counts.dead += commit.dead_counts()
        counts.replayed += commit.replayed
        if written.overlapping:
            counts.filtered[ALREADY_WAITING] += written.overlapping
        if written.missing:
            counts.leaked += abs(written.missing)

    def _log_problems(self, commit: Commit, written: Written) -> None:
        if written.missing:
            self._log.error(
                "the ledger does not balance: events were not counted, or counted twice; see "
                "`gateway ledger`",
                destination=self._destination,
                events=written.missing,
            )
        if commit.dead or commit.lost:
            self._log.warning(
                "events became dead letters",
                destination=self._destination,
                reasons=dict(commit.dead_counts()),
                detail=commit.dead[0].detail if commit.dead else "damaged in the queue",
            )

    async def record_attempts(self, attempts: list[Attempt]) -> None:
        """Records attempts that settled nothing. Where that fails, delivery goes on without."""
        try:
            await self._state.commit(Commit(self._destination, attempts=attempts), self._clock())
        except StateError as error:
            self._log.warning(
                "an attempt could not be recorded",
                destination=self._destination,
                error=str(error),
            )
