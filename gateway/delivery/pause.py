"""Pauses a worker, so that nothing it has in memory outlives what is done meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Pause", "Paused", "is_pause"]


class Paused(Exception):
    """Ends the session of a worker that is to pause."""


class Pause:
    """Coordinates a worker with the code that needs it paused."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._standing = asyncio.Event()
        self._standing.set()  # a worker that does not run stands still
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Keeps the worker without a session while the context is open."""
        async with self._one:
            self._wanted.set()
            try:
                await self._standing.wait()
                yield
            finally:
                self._wanted.clear()

    async def interrupt(self) -> None:
        """Runs within each session, and raises `Paused` when the worker is to pause."""
        await self._wanted.wait()
        raise Paused

    def running(self) -> None:
        """Notes that the worker begins a session."""
        self._standing.clear()

    async def until_over(self) -> None:
        """Notes that the session has ended, and waits until the worker may continue."""
        self._standing.set()
        async with self._one:  # the code that paused the worker holds this
            pass

    def ended(self) -> None:
        """Notes that the worker does not run any more."""
        self._standing.set()


def is_pause(error: Exception) -> bool:
    """Returns True if a session ended with this error because of a pause."""
    return isinstance(error, ExceptionGroup) and error.subgroup(Paused) is not None
