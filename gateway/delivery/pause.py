"""Stops a worker for a while, so that nothing it has in memory outlives what is done meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Pause", "Paused", "is_pause"]


class Paused(Exception):
    """Ends a session of a worker that is to be paused."""


class Pause:
    """Between a worker and who wants it to stand still."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._standing = asyncio.Event()
        self._standing.set()  # a worker that does not run stands still
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Meanwhile the worker has no session."""
        async with self._one:
            self._wanted.set()
            try:
                await self._standing.wait()
                yield
            finally:
                self._wanted.clear()

    async def interrupt(self) -> None:
        """Part of each session: raises `Paused` when the worker is wanted to stand still."""
        await self._wanted.wait()
        raise Paused

    def running(self) -> None:
        """The worker begins a session."""
        self._standing.clear()

    async def stand(self) -> None:
        """The worker has ended its session, and stands until it may go on."""
        self._standing.set()
        async with self._one:  # whoever holds the worker has this
            pass

    def ended(self) -> None:
        """The worker runs no more."""
        self._standing.set()


def is_pause(error: Exception) -> bool:
    """Whether this is what ended a session that was to be paused."""
    return isinstance(error, ExceptionGroup) and error.subgroup(Paused) is not None
