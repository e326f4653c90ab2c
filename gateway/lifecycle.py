"""Starts and stops components, which are other people's code."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from gateway.component import Component
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["LifeCycle"]


class LifeCycle:
    """Starts components, and has them stopped when a stack is left.

    Args:
        stop_seconds: that one may take to stop.
    """

    def __init__(self, stop_seconds: float, log: FilteringBoundLogger) -> None:
        self._stop_seconds = stop_seconds
        self._log = log

    async def start(
        self, stack: AsyncExitStack, path: str, component: Component, id_: str = ""
    ) -> None:
        """Start a component.

        Args:
            path: for the error where it cannot.
            id_: for the log where it cannot be stopped; as the path unless given.

        Raises:
            GatewayError: it cannot be started.
        """
        try:
            await component.start()
        except Exception as error:
            raise GatewayError(f"{path}: cannot be started: {error}") from error
        stack.push_async_callback(self._stop, id_ or path, component)

    async def _stop(self, id_: str, component: Component) -> None:
        try:
            async with asyncio.timeout(self._stop_seconds):
                await component.stop()
        except Exception as error:  # noqa: BLE001 - one that cannot stop must not keep the others
            self._log.warning("could not be stopped cleanly", component=id_, error=repr(error))
