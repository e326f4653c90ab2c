"""Background tasks."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.cluster.background import beside, start_ends_with


async def test_what_fails_is_told_at_once_and_ends_nothing_else() -> None:
    """A failing task is logged at once, and the work beside it continues."""

    async def work() -> None:
        raise OSError("no room")

    with capture_logs() as logs:
        async with beside(work(), "a task"):
            await asyncio.sleep(0.01)
            assert [log["task"] for log in logs] == ["a task"]
    assert logs[0]["trace"].endswith("OSError")


async def test_it_ends_when_it_is_left() -> None:
    """Leaving the context ends the task, which is not a failure."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with capture_logs() as logs:
        async with beside(work(), "a task"):
            await asyncio.sleep(0)
        async with beside(work(), "left before it begins"):
            pass
    assert ended.is_set()
    assert logs == []


async def test_a_stop_ends_a_start_that_hangs() -> None:
    """A stop cancels a start that is not complete, and what it opened is closed."""
    stop = asyncio.Event()
    closed = False

    async def run() -> None:
        nonlocal closed
        async with start_ends_with(stop):
            try:
                await asyncio.sleep(60)
            finally:
                closed = True

    running = asyncio.create_task(run())
    await asyncio.sleep(0)
    stop.set()
    await running
    assert closed


async def test_a_stop_after_the_start_cancels_nothing() -> None:
    """Once the start is complete, the stop is left to the body."""
    stop = asyncio.Event()
    async with start_ends_with(stop) as started:
        started()
        stop.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left = True
    assert left


async def test_a_cancellation_from_elsewhere_passes() -> None:
    """Only its own cancellation is kept back."""

    async def run() -> None:
        async with start_ends_with(asyncio.Event()):
            await asyncio.sleep(60)

    running = asyncio.create_task(run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
