"""Starts and stops components within time limits, whatever errors they raise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import structlog
from anyio.abc import TaskGroup

from gateway.components.component import Component
from gateway.components.isolation import call
from gateway.components.source import Source
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["StartTimeout", "StartedSources", "start", "stop", "task_group"]

_SLOW_START_SECONDS = 1.0


class StartTimeout(GatewayError):
    """A component has not started within its time limit."""


async def start(path: str, component: Component, seconds: float | None = None) -> None:
    """Starts a component, and logs its name while that takes long.

    Args:
        path: names the component in errors.
        seconds: the time limit; None for none.

    Raises:
        StartTimeout: the component takes longer than `seconds`.
        GatewayError: the component refuses.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    slow = loop.call_later(_SLOW_START_SECONDS, _log_slow_start, path, seconds)
    try:
        await call(component.start, seconds)
    except Exception as error:
        # A component may raise a `TimeoutError` of its own.
        late = seconds is not None and loop.time() - began >= seconds
        if isinstance(error, TimeoutError) and late:
            raise StartTimeout(f"{path}: has not started within {seconds:g} s") from error
        raise GatewayError(f"{path}: cannot be started: {error}") from error
    finally:
        slow.cancel()


def _log_slow_start(path: str, seconds: float | None) -> None:
    log = structlog.get_logger()
    log.info("still waiting for the start of a component", component=path, limit_seconds=seconds)


async def stop(id_: str, component: Component, seconds: float, log: FilteringBoundLogger) -> None:
    """Stops a component. An error or a time-out is logged, so that others can still be stopped."""
    try:
        await call(component.stop, seconds)
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
