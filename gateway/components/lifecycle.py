"""Starts and stops components, whatever they do instead."""

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

__all__ = ["Running", "start", "stop", "task_group"]


async def start(path: str, component: Component, seconds: float | None = None) -> None:
    """Start a component.

    Raises:
        GatewayError: it refuses, or takes longer than that.
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
    """Stop a component; one that cannot stop must not keep the others."""
    try:
        async with asyncio.timeout(seconds):
            await component.stop()
    except Exception as error:  # noqa: BLE001
        log.warning("could not be stopped cleanly", component=id_, error=repr(error))


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group that raises an error as it is, where there is one only.

    Or whoever knows what to say of it would not find it, such as of a port that is in use.
    """
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) > 1:
            raise
        raise errors.exceptions[0] from None


class Running:
    """The sources that have been started."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._started: list[Source] = []

    async def start(self, sources: Sequence[Source], seconds: float | None = None) -> None:
        """Start more.

        Raises:
            GatewayError: one refuses, or takes longer than that.
        """
        for source in sources:
            self._started.append(source)
            await start(f"source {type(source).__module__}", source, seconds)

    async def stop(self, seconds: float, without: Sequence[Source] = ()) -> None:
        """Stop those that run, but for some."""
        for source in [one for one in self._started if one not in without]:
            self._started.remove(source)
            await stop(f"source {type(source).__module__}", source, seconds, self._log)
