"""Something that goes on beside something else, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

from gateway.components.verdict import trace_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["beside"]


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run it in a task, until left. If it fails that is logged, and all else goes on."""
    task = asyncio.create_task(_logged(work, name), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        work.close()  # which may not have begun


async def _logged(work: Coroutine[Any, Any, None], name: str) -> None:
    log: FilteringBoundLogger = structlog.get_logger()
    try:
        await work
    except Exception as error:  # noqa: BLE001 - nobody else looks at it before the end
        log.error("a task has failed and is not there any more", task=name, trace=trace_of(error))
