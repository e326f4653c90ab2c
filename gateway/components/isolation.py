"""Calls plugin code so that nothing it raises reaches beyond the plugin.

Python has exceptions that pass `except Exception`: `SystemExit`, a panic of a native extension, a
`CancelledError` that nobody asked for. Raised by a plugin, each would end a task or the process
without a word. Here they become `PluginCrash`, an ordinary error, and callers handle it as such.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import ParamSpec, TypeVar

from gateway.errors import PluginCrash

__all__ = ["CANCEL_SECONDS", "call", "contained", "contained_call", "is_interrupt", "left_behind"]

CANCEL_SECONDS = 10.0
"""Time that a cancelled call into a plugin has to end."""

_left_behind: set[asyncio.Task[object]] = set()

_T = TypeVar("_T")
_P = ParamSpec("_P")


class _Contained:
    """Turns what is no `Exception` into `PluginCrash`; has no state, so one object serves all."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception) or is_interrupt(error):
            return
        if isinstance(error, asyncio.CancelledError | GeneratorExit) and _is_being_ended():
            return
        raise PluginCrash(error) from error


contained = _Contained()
"""Surrounds plugin code: synchronous code, or an await that the current task makes itself."""


def contained_call(work: Callable[_P, _T]) -> Callable[_P, _T]:
    """Returns a function that runs `work` inside `contained`, for threads."""

    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with contained:
            return work(*args, **kwargs)

    return inside


def is_interrupt(error: BaseException) -> bool:
    """Tells whether an error is the user's Ctrl-C.

    A process that handles SIGINT itself, such as ``gateway serve``, gets no `KeyboardInterrupt`;
    there a plugin has raised it.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    handler = signal.getsignal(signal.SIGINT)
    return handler is signal.default_int_handler or isinstance(handler, partial)


def _is_being_ended() -> bool:
    """Tells whether somebody has cancelled or closed the current task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return False
    return task is None or task.cancelling() > 0


async def call(
    work: Callable[[], Awaitable[_T]],
    seconds: float | None = None,
    *,
    stuck: Callable[[], None] | None = None,
) -> _T:
    """Awaits plugin code in a task of its own, and returns its result.

    In its own task the code cannot cancel its caller, nor keep it by ignoring a cancellation. When
    the caller is cancelled, the code is cancelled and gets `CANCEL_SECONDS` to end.

    Args:
        work: makes the awaitable.
        seconds: the time limit; None for none.
        stuck: called when the code does not end after its time limit. Then `call` goes on waiting
            for it and cancels it again and again. Without `stuck`, the code is left behind.

    Raises:
        TimeoutError: the time limit has passed.
        PluginCrash: the code raised what is no `Exception`.
        Exception: the code raised it.
    """
    task = asyncio.create_task(_settle(work), name="plugin call")
    try:
        await asyncio.wait((task,), timeout=seconds)
        in_time = task.done()
        if not in_time:
            await _end(task)
            if not task.done() and stuck is not None:
                stuck()
                while not task.done():
                    await _end(task)
    except asyncio.CancelledError:
        await _end(task)
        if not task.done():
            _leave_behind(task, work)
        raise
    if not task.done():
        _leave_behind(task, work)
        raise TimeoutError
    if task.cancelled():
        raise TimeoutError
    error, value = task.result()
    if error is None:
        return value[0]
    if isinstance(error, asyncio.CancelledError) and not in_time:
        raise TimeoutError from error
    if isinstance(error, Exception):
        raise error
    raise PluginCrash(error) from error


async def _settle(
    work: Callable[[], Awaitable[_T]],
) -> tuple[BaseException | None, tuple[_T, ...]]:
    """Returns what an awaitable raises, or else its result."""
    try:
        return None, (await work(),)
    except BaseException as error:  # noqa: BLE001 - `call` raises it, as an ordinary error
        return error, ()


async def _end(task: asyncio.Task[object]) -> None:
    """Cancels a task and waits for its end, for a bounded time."""
    task.cancel()
    await asyncio.wait((task,), timeout=CANCEL_SECONDS)


def left_behind() -> int:
    """Counts the calls that ignored their cancellation and still run.

    `asyncio.run` would wait for them for ever.
    """
    return len(_left_behind)


def _leave_behind(task: asyncio.Task[object], work: Callable[[], Awaitable[object]]) -> None:
    _left_behind.add(task)
    task.add_done_callback(_left_behind.discard)
    import structlog  # which takes 100 ms, and commands do without it

    structlog.get_logger().error(
        "plugin code ignores that it was cancelled, and is left behind",
        code=getattr(work, "__qualname__", type(work).__name__),
        module=getattr(work, "__module__", ""),
    )
