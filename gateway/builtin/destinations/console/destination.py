"""Writes events to stdout, without blocking the event loop.

Once stdout is closed (``gateway run | head``, a terminal that was shut), its reader does not come
back. That is logged once, and from then on events are accepted and shown to nobody. If they were
kept instead, a closed window would fill the disk. A reader that is only slow is waited for.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import select
import sys
from threading import Event as Flag
from typing import Annotated, Literal, TextIO

from msgspec import Meta, Struct
from rich.console import Console as RichConsole

from gateway.builtin.destinations.console.lines import json_line, pretty_line, render
from gateway.components.context import Context
from gateway.components.destination import Batch, Destination
from gateway.errors import Retryable

__all__ = ["WIDTH_WITHOUT_TERMINAL", "Console", "ConsoleConfig", "plain_text"]

WIDTH_WITHOUT_TERMINAL = 200
"""Columns of a pretty line where stdout is no terminal and config sets no width."""

_GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO}  # EIO: the terminal was hung up
_PIPE_BYTES = 512  # the least PIPE_BUF of POSIX: select promises that this much can be written
_POLL_SECONDS = 0.1


class ConsoleConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a destination with ``type = "console"``.

    Attributes:
        format: ``pretty`` is for people; ``json`` prints whole events, one to a line.
        max_width: columns at which a pretty line is cut off; 0 is the width of the terminal, or
            `WIDTH_WITHOUT_TERMINAL` where there is none.
    """

    format: Literal["pretty", "json"] = "pretty"
    max_width: Annotated[int, Meta(ge=0, le=10_000)] = 0


class Console(Destination):
    """Prints events.

    Args:
        stream: replaces stdout.
    """

    def __init__(
        self, config: ConsoleConfig, context: Context, stream: TextIO | None = None
    ) -> None:
        self._config = config
        self._log = context.log
        self._stream = stream
        self._terminal: RichConsole | None = None
        self._closed = False

    async def start(self) -> None:
        """Finds out whether stdout is a terminal, and which kind."""
        self._open()

    async def send(self, batch: Batch) -> None:
        """Prints the events, unless stdout is closed.

        Raises:
            Retryable: stdout is a file and its disk is full.
        """
        stream, terminal = self._open()
        if self._closed:
            return
        if self._config.format == "json":
            text = "".join([json_line(event) for event in batch])
        else:
            width = terminal.width if terminal.is_terminal else WIDTH_WITHOUT_TERMINAL
            text = render(batch, self._config.max_width or width, terminal)
        data = text.encode(stream.encoding or "utf-8", "backslashreplace")
        given_up = Flag()
        try:
            await asyncio.to_thread(_write, stream, data, given_up)
        except ValueError:  # the stream object was closed
            self._reader_gone("closed")
        except OSError as error:
            if error.errno not in _GONE:
                raise Retryable(f"stdout: {error}") from error
            self._reader_gone(str(error))
        finally:
            given_up.set()

    def _open(self) -> tuple[TextIO, RichConsole]:
        if self._terminal is None:
            stream = self._stream if self._stream is not None else sys.stdout
            if stream is None:  # a process may be started without one
                stream = io.StringIO()
                self._reader_gone("not open")
            self._stream = stream
            self._terminal = RichConsole(file=stream)
        assert self._stream is not None
        return self._stream, self._terminal

    def _reader_gone(self, why: str) -> None:
        self._closed = True
        self._log.warning("console: stdout is closed; events are no longer shown", reason=why)


def plain_text(batch: Batch, config: ConsoleConfig) -> str:
    """Returns the lines of a batch as they are printed where stdout is no terminal."""
    if config.format == "json":
        return "".join(map(json_line, batch))
    width = config.max_width or WIDTH_WITHOUT_TERMINAL
    return "".join(pretty_line(event, width).plain + "\n" for event in batch)


def _write(stream: TextIO, data: bytes, given_up: Flag) -> None:
    """Writes all data, and waits for a slow reader until `given_up` is set."""
    try:
        fd = stream.fileno()
    except io.UnsupportedOperation:  # replaced by an object in memory
        stream.write(data.decode(stream.encoding or "utf-8"))
        stream.flush()
        return
    view = memoryview(data)
    while view and not given_up.is_set():
        # A blocking write to a full pipe could not be interrupted, not even at exit.
        if select.select([], [fd], [], _POLL_SECONDS)[1]:
            try:
                view = view[os.write(fd, view[:_PIPE_BYTES]) :]
            except BlockingIOError:
                continue
