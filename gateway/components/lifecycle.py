"""Starts and stops components within time limits, whatever errors they raise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from gateway.components.component import Component
from gateway.components.source import Source
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["StartedSources", "start", "stop", "task_group"]


async def start(path: str, component: Component, seconds: float | None = None) -> None:
    """Starts a component.

    Args:
        path: names the component in errors.
        seconds: the time limit; None for none.

    Raises:
        GatewayError: the component refuses, or takes too long.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await component.start()
    except Exception as error:
        if limit.expired():
            raise GatewayError(f"{path}: has not started within {seconds:g} s") from error
        raise GatewayError(f"{path}: cannot be started: {error}") from error


async def stop(id_: str, component: Component, seconds: float, log: FilteringBoundLogger) -> None:
    """Stops a component. An error or a time-out is logged, so that others can still be stopped."""
    try:
        async with asyncio.timeout(seconds):
            await component.stop()
    except Exception as error:  # noqa: BLE001
        log.warning("could not be stopped cleanly", component=id_, error=repr(error))


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """Yields a task group that raises a single error as it is, without a group around it.

    Callers that handle an error such as a port in use would not find it inside a group.
    """
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) > 1:
            raise
        raise errors.exceptions[0] from None


class StartedSources:
    """The sources that have been started, to stop them later."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._started: list[Source] = []

    async def start(self, sources: Sequence[Source], seconds: float | None = None) -> None:
        """Starts more sources.

        Raises:
            GatewayError: a source refuses, or takes longer than `seconds`.
        """
        for source in sources:
            self._started.append(source)
            await start(f"source {type(source).__module__}", source, seconds)

    async def stop(self, seconds: float, without: Sequence[Source] = ()) -> None:
        """Stops all started sources but those in `without`, each within `seconds`."""
        for source in [one for one in self._started if one not in without]:
            self._started.remove(source)
            await stop(f"source {type(source).__module__}", source, seconds, self._log)
