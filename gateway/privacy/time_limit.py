"""Ends the waiting for a place of an erasure that hangs, so that the others get their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.components.isolation import call
from gateway.state.regulations import Place

__all__ = ["TimeLimit"]


class TimeLimit:
    """Bounds the time without progress at each place of an erasure.

    A thread or a destination that hangs may ignore that it is cancelled. It is left behind then,
    and a place is not begun again before it has ended.

    Args:
        seconds: returns the limit.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._moved = 0.0
        self._at_work: set[str] = set()

    def moves(self) -> None:
        """Notes progress: the limit begins anew."""
        self._moved = asyncio.get_running_loop().time()

    async def of(self, place: str, work: Callable[[], Awaitable[Place]]) -> Place:
        """Returns the result of a place; ``FAILED`` if its work hangs."""
        if place in self._at_work:
            text = "an earlier try still hangs: restart the gateway, then use --retry"
            return Place(place, "FAILED", detail=text)

        async def at_work() -> Place:
            self._at_work.add(place)
            try:
                return await work()
            finally:
                self._at_work.discard(place)

        self.moves()
        task = asyncio.create_task(call(at_work), name=f"erase {place}")
        try:
            while not task.done():
                seconds = self._seconds()
                left = self._moved + seconds - asyncio.get_running_loop().time()
                if left <= 0:
                    return Place(
                        place,
                        "FAILED",
                        detail=f"it hangs: no progress in {seconds:g} s "
                        "(server.erase_timeout_seconds); see what holds it up, then use --retry",
                    )
                await asyncio.wait({task}, timeout=left)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})  # ends soon: see `call`
        return task.result()
