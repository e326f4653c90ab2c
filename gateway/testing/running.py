"""The event loop of a test, which ends even if a destination refuses to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["run"]

_T = TypeVar("_T")
_FAREWELL_SECONDS = 1.0


def run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Runs `main`, then cancels the tasks that are left, and waits for them a bounded time.

    `asyncio.run` would wait forever for a task that ignores its cancellation.

    Raises:
        RuntimeError: an event loop is already running.
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
