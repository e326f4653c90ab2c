"""Standard output and error of a process that must not wait for, nor fail with, their reader.

A thread writes what the process says. A reader that stalls, a pipe that nobody reads any more or a
full disk costs lines, never the service: lost lines are counted, and their number is said once as
soon as a line can be written again.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import TextIO, cast

from gateway.config.settings import LogConfig

__all__ = ["LossyOutput", "guard_output", "guarded", "lost_by_supervisor", "lost_lines"]

_LAST_SECONDS = 1.0
"""Time that an ending process gives its reader."""

_WRITE_BYTES = 4096
"""Bytes of one write; Linux keeps so many together when several processes share a pipe."""

_GUARDED: list[LossyOutput] = []
_of_supervisor = 0

_PAUSE_SECONDS = 0.1
"""Pause before another attempt where a file descriptor does not block."""


class LossyOutput(io.TextIOBase):
    """A text stream over a file descriptor, whose writes neither block nor fail.

    Attributes:
        lost: lines that could not be written, or did not fit into `max_pending_bytes`.
        max_pending_bytes: bytes that may wait for a slow reader.
        notice: makes the line that tells how many lines were lost.

    Args:
        fd: where to write; None where the process was started without it.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(
        self, fd: int | None, max_pending_bytes: int = LogConfig().max_pending_bytes
    ) -> None:
        super().__init__()
        self._fd = fd
        self.lost = 0
        self.max_pending_bytes = max_pending_bytes
        self.notice: Callable[[int], str] = _notice
        self._said = 0
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._changed = Condition()
        self._writing = False
        self._thread: Thread | None = None
        self._torn = False

    def fileno(self) -> int:
        """Returns the file descriptor."""
        if self._fd is None:
            raise io.UnsupportedOperation("fileno")
        return self._fd

    def isatty(self) -> bool:
        """Tells whether a terminal shows the output."""
        return self._fd is not None and os.isatty(self._fd)

    def writable(self) -> bool:
        """Returns True."""
        return True

    def write(self, text: str, /) -> int:
        """Takes a text to be written soon; returns its length, whatever becomes of it."""
        data = text.encode(self.encoding, self.errors)
        if not data:
            return 0
        with self._changed:
            if self._fd is None or self._pending_bytes + len(data) > self.max_pending_bytes:
                self.lost += _lines(data)
                return len(text)
            self._pending.append(data)
            self._pending_bytes += len(data)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="output", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Does nothing: the thread writes as soon as it can."""

    def drain(self, seconds: float = _LAST_SECONDS) -> bool:
        """Waits until all is written; returns False if the reader takes longer than that."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending and not self._writing, seconds)

    # -- the thread ----------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
                data = self._take()
                lost = self.lost - self._said
                self._writing = True
            if lost and not self._put((("\n" if self._torn else "") + self.notice(lost)).encode()):
                self._said += lost
            unwritten = self._put(data)
            with self._changed:
                self._writing = False
                self.lost += _lines(unwritten)
                self._changed.notify_all()

    def _take(self) -> bytes:
        """Takes texts that fit into one write, at least one."""
        taken = [self._pending.popleft()]
        size = len(taken[0])
        while self._pending and size + len(self._pending[0]) <= _WRITE_BYTES:
            size += len(self._pending[0])
            taken.append(self._pending.popleft())
        self._pending_bytes -= size
        return b"".join(taken)

    def _put(self, data: bytes) -> bytes:
        """Writes it all, however long the reader takes; returns what fails to be written."""
        assert self._fd is not None
        rest = data
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody else has made the pipe non-blocking
                time.sleep(_PAUSE_SECONDS)
            except OSError:
                self._torn = self._torn or len(rest) < len(data)
                return rest
        self._torn = False
        return b""


def _notice(lost: int) -> str:
    return f"headgate: {lost} lines of output were lost\n"


def _lines(data: bytes) -> int:
    """Counts lines; the parts of a line that are written one by one count with its end."""
    return data.count(b"\n")


def guard_output() -> None:
    """Replaces `sys.stdout` and `sys.stderr` for the rest of the process; safe twice."""
    for fd in range(3):  # else the next file to be opened would get the number
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = guarded(sys.stdout)
    sys.stderr = guarded(sys.stderr)


def guarded(stream: TextIO | None) -> TextIO:
    """Returns a lossy stream in place of one with a file descriptor; another one as it is."""
    if isinstance(stream, LossyOutput):
        return cast("TextIO", stream)
    try:
        fd = None if stream is None else stream.fileno()
    except (OSError, ValueError):  # replaced by an object in memory
        return cast("TextIO", stream)
    output = LossyOutput(fd)
    _GUARDED.append(output)
    atexit.register(output.drain)
    return cast("TextIO", output)


def lost_lines() -> int:
    """Returns how many lines this process has lost, and the supervisor whose lines it counts."""
    return sum(output.lost for output in _GUARDED) + _of_supervisor


def lost_by_supervisor(lines: int) -> None:
    """Sets how many lines the supervisor has lost, which itself has no metrics."""
    global _of_supervisor
    _of_supervisor = lines
