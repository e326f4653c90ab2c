"""Waits for something that happens in another thread or process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["until", "wait_until"]

_POLL_SECONDS = 0.02


def wait_until(
    done: Callable[[], bool], seconds: float = 90, *, what: str = "the condition holds"
) -> None:
    """Polls a condition until it holds, and fails after the given time.

    Args:
        what: the condition in words, for the error.
    """
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_POLL_SECONDS)


async def until(done: Callable[[], bool], seconds: float = 10) -> None:
    """Lets other tasks run until a condition holds, and fails after the given time."""
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.001)
