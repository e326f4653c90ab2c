"""A watch over the event loop, for the contract checker.

A blocked loop cannot report itself, so a thread does. The fake vendor runs in the same loop, so a
destination that waits for it in a blocking call would wait forever. In the main thread, the watch
therefore interrupts such a call by a signal.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

__all__ = ["STALL_SECONDS", "LoopWatch", "Stalled"]

STALL_SECONDS = 0.5
"""Time without a turn of the event loop that counts as blocked."""

_TICK_SECONDS = 0.02
_SIGNAL = signal.SIGURG  # ignored by default, so a late one does no harm
_LIBRARY = sysconfig.get_path("stdlib")


class Stalled(BaseException):
    """Raised in code that blocks the event loop."""


class LoopWatch:
    """Watches the running event loop; use it with ``with``.

    The thread counts its own ticks since the loop's last turn. It does not compare times: on a busy
    machine the whole process may stand still, and then the thread does not tick either. A loop that
    waits for a processor is not blocked. Code that keeps the thread from running shows in the
    processor time that the loop used between two turns. Time of the garbage collector does not
    count: it looks at everything that the process holds, of which little is the destination's.

    Attributes:
        stalls: the places at which the loop was blocked.
    """

    def __init__(self) -> None:
        self.stalls: list[str] = []
        self._ticks = 0
        self._reported = False
        self._pauses = 0
        self._used = 0.0
        self._collecting_since = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)
        self._beats: asyncio.TimerHandle | None = None
        self._before: Any = None
        self._interrupts = False

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._status = Path(f"/proc/self/task/{threading.get_native_id()}/stat")
        self._interrupts = threading.current_thread() is threading.main_thread()
        if self._interrupts:
            self._before = signal.signal(_SIGNAL, self._interrupt)
        self._used = time.thread_time()
        gc.callbacks.append(self._collecting)
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        gc.callbacks.remove(self._collecting)
        if self._beats is not None:
            self._beats.cancel()
        if self._interrupts:
            signal.signal(_SIGNAL, self._before or signal.SIG_DFL)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Runs blocking code that is not the destination's."""
        self._pauses += 1
        try:
            yield
        finally:
            self._ticks = 0
            self._used = time.thread_time()
            self._pauses -= 1

    def _beat(self) -> None:
        used = time.thread_time()
        if used - self._used >= STALL_SECONDS and not self._reported:
            self.stalls.append(f"by a computation of {used - self._used:.1f} s")
        self._used = used
        self._ticks = 0
        self._reported = False
        self._beats = self._loop.call_later(_TICK_SECONDS, self._beat)

    def _collecting(self, phase: str, _: dict[str, int]) -> None:
        if threading.get_ident() != self._watched:
            return
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._used += time.thread_time() - self._collecting_since

    def _watch(self) -> None:
        while not self._over.wait(_TICK_SECONDS):
            if self._pauses:
                continue
            self._ticks += 1
            if self._ticks * _TICK_SECONDS >= STALL_SECONDS and not self._is_starved():
                self._ticks = 0
                self._reported = True
                self.stalls.append(_place(sys._current_frames().get(self._watched)))
                if self._interrupts:
                    signal.pthread_kill(self._watched, _SIGNAL)

    def _is_starved(self) -> bool:
        """Returns True if the loop's thread could run, and has hardly been given a processor.

        Only Linux tells that; elsewhere it returns False.
        """
        try:
            fields = self._status.read_text().rpartition(")")[2].split()  # proc_pid_stat(5)
        except OSError:
            return False
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return fields[0] == "R" and used - self._used < STALL_SECONDS / 2

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        if self._reported and not self._pauses:  # else the loop has turned since
            raise Stalled(f"the event loop was blocked for {STALL_SECONDS:g} s")


def _place(frame: FrameType | None) -> str:
    """Returns the innermost place outside the standard library."""
    inner = frame
    while frame is not None:
        path = frame.f_code.co_filename
        if "site-packages" in path or not path.startswith((_LIBRARY, "<frozen")):
            return f"in {frame.f_code.co_qualname}, {path}:{frame.f_lineno}"
        frame = frame.f_back
    return f"in {inner.f_code.co_qualname}" if inner is not None else "at an unknown place"
