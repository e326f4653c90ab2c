"""Runs the event loop of a test, and ends it even where a destination refuses to be ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["run"]

_T = TypeVar("_T")
_FAREWELL_SECONDS = 1.0


def run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run `main` to its end. What it leaves behind is cancelled, and waited for only so long.

    `asyncio.run` would wait for ever for a task that swallows its cancellation.

    Raises:
        RuntimeError: an event loop is running already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError(
            "this runs an event loop of its own: call it from a test that is not async, or in "
            "another thread by asyncio.to_thread"
        )
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_FAREWELL_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
