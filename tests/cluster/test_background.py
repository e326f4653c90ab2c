"""Background tasks."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from gateway.cluster.background import beside


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
