"""Measures how long the event loop is kept from its other tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["LONGEST_STALL_SECONDS", "LoopStall", "watched_loop"]

LONGEST_STALL_SECONDS = 0.1
"""The bound that the gateway keeps under every hostile event."""


class LoopStall:
    """The longest time that others had to wait, in seconds.

    Counted is the time of the processor in the loop's own thread, so that a busy machine is no
    failure.
    """

    longest = 0.0


@asynccontextmanager
async def watched_loop() -> AsyncIterator[LoopStall]:
    """Watches the running loop while the context is open."""
    found = LoopStall()

    async def watch() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            last, before = time.thread_time(), last
            found.longest = max(found.longest, last - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        yield found
        await asyncio.sleep(0.005)
    finally:
        watching.cancel()
