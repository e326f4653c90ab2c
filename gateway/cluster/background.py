"""Background tasks that end with a context."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

from gateway.components.verdict import trace_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["beside", "start_ends_with"]


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Runs work in a task until the context is left; a failure is logged and stops nothing else."""
    task = asyncio.create_task(_logged(work, name), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        work.close()  # avoids a warning if the task was cancelled before it began


@asynccontextmanager
async def start_ends_with(stop: asyncio.Event) -> AsyncIterator[Callable[[], None]]:
    """Cancels the body if `stop` is set while it still starts; leaving it then raises nothing.

    Yields a function for the body to call once it has started.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled = False

    async def cancel_start() -> None:
        nonlocal cancelled
        await stop.wait()
        cancelled = True
        task.cancel()

    def started() -> None:
        waiting.cancel()

    waiting = asyncio.create_task(cancel_start(), name="stop while starting")
    try:
        yield started
    except asyncio.CancelledError:
        if not cancelled or task.uncancel():
            raise
    finally:
        waiting.cancel()


async def _logged(work: Coroutine[Any, Any, None], name: str) -> None:
    log: FilteringBoundLogger = structlog.get_logger()
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the task is awaited only at the end
        log.error("a background task has failed", task=name, trace=trace_of(error))
