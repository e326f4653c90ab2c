"""What plugin code may raise that is no `Exception`."""

from __future__ import annotations

import asyncio

__all__ = ["CRASHES", "Panic"]


class Panic(BaseException):
    """Stands for the panic of a native extension."""


CRASHES: tuple[type[BaseException], ...] = (
    Panic,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
)
