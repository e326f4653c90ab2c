"""Starts and stops components, whatever they do instead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.component import Component
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["start", "stop"]


async def start(path: str, component: Component, seconds: float | None = None) -> None:
    """Start a component.

    Raises:
        GatewayError: it refuses, or takes longer than that.
    """
    try:
        async with asyncio.timeout(seconds):
            await component.start()
    except TimeoutError as error:
        raise GatewayError(f"{path}: has not started within {seconds:g} s") from error
    except Exception as error:
        raise GatewayError(f"{path}: cannot be started: {error}") from error


async def stop(id_: str, component: Component, seconds: float, log: FilteringBoundLogger) -> None:
    """Stop a component; one that cannot stop must not keep the others."""
    try:
        async with asyncio.timeout(seconds):
            await component.stop()
    except Exception as error:  # noqa: BLE001
        log.warning("could not be stopped cleanly", component=id_, error=repr(error))
