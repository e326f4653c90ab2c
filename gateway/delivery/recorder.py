"""Writes what became of events to the state store, however often it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.delivery.sender import Sender
from gateway.errors import StateError
from gateway.state import Attempt, Commit, State, Written

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Recorder"]


class Recorder:
    """Of one destination.

    Args:
        sender: says how long to wait, and that draining has ended the waiting.
    """

    def __init__(
        self,
        destination: str,
        state: State,
        sender: Sender,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._destination = destination
        self._state = state
        self._sender = sender
        self._clock = clock
        self._log = log
        self._writing = 0

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writing > 0

    async def write(self, commit: Commit) -> Written | None:
        """Write a commit, however often it takes; None when draining gave up."""
        self._writing += 1
        try:
            return await self._write(commit)
        finally:
            self._writing -= 1
            self._sender.notify()

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

    def tell(self, commit: Commit, written: Written) -> None:
        """Log what somebody has to look into."""
        if written.missing:
            self._log.error(
                "the books do not balance: events were counted nowhere, or twice; see "
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

    async def note(self, happened: list[Attempt]) -> None:
        """Record attempts that settled nothing; where that cannot be done, go on without."""
        try:
            await self._state.commit(Commit(self._destination, attempts=happened), self._clock())
        except StateError as error:
            self._log.warning(
                "an attempt could not be recorded",
                destination=self._destination,
                error=str(error),
            )
