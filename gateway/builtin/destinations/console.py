"""Destination ``console``: shows events on stdout as they are delivered, for people to watch.

A reader that has gone away does not come back: once stdout is closed (``gateway run | head``, a
terminal that was shut) that is logged once, and events are taken and shown to nobody. Holding them
instead would let a window that somebody closed fill the disk. A reader that is only slow is waited
for, without holding up the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Mapping
from threading import Event as Flag
from typing import Annotated, Any, Literal, TextIO, cast

from msgspec import Meta, Struct
from rich.console import Console as RichConsole
from rich.text import Text

from gateway.components.context import Context
from gateway.components.destination import Batch, BatchPolicy, Destination, DestinationSpec
from gateway.components.hookspecs import hookimpl
from gateway.errors import Retryable
from gateway.events.event import Event
from gateway.events.ndjson import encode_line

__all__ = ["Console", "ConsoleConfig", "register_destinations"]

WIDTH_WITHOUT_TERMINAL = 200
"""Columns of a pretty line where stdout is no terminal and config does not say."""

_COLOURS = {
    "track": "green",
    "identify": "cyan",
    "page": "blue",
    "screen": "blue",
    "group": "magenta",
    "alias": "yellow",
}
_GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO}  # EIO: the terminal was hung up
_PIPE_BYTES = 512  # least PIPE_BUF of POSIX: so much can be written at once where select allows it
_LOOK_UP_SECONDS = 0.1


class ConsoleConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of a destination with ``type = "console"``.

    Attributes:
        format: ``pretty`` is for people; ``json`` is the whole event, one to a line.
        max_width: columns at which a pretty line is cut off; 0 is the width of the terminal, or
            `WIDTH_WITHOUT_TERMINAL` where there is none.
    """

    format: Literal["pretty", "json"] = "pretty"
    max_width: Annotated[int, Meta(ge=0, le=10_000)] = 0


class Console(Destination):
    """Prints events.

    Args:
        stream: in place of stdout.
    """

    def __init__(
        self, config: ConsoleConfig, context: Context, stream: TextIO | None = None
    ) -> None:
        self._config = config
        self._log = context.log
        self._rehearsal = context.rehearsal
        self._stream = stream
        self._terminal: RichConsole | None = None
        self._closed = False

    async def start(self) -> None:
        """Find out what stdout is."""
        if self._rehearsal is None:
            self._open()

    async def send(self, batch: Batch) -> None:
        """Print the events, unless stdout is closed.

        Raises:
            Retryable: stdout is a file and its disk is full.
        """
        if self._rehearsal is not None:
            self._rehearsal.write("stdout", "".join(map(self._plain, batch)))
            return
        stream, terminal = self._open()
        if self._closed:
            return
        if self._config.format == "json":
            text = "".join([_json_line(event) for event in batch])
        else:
            width = terminal.width if terminal.is_terminal else WIDTH_WITHOUT_TERMINAL
            text = _render(batch, self._config.max_width or width, terminal)
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

    def _plain(self, event: Event) -> str:
        if self._config.format == "json":
            return _json_line(event)
        return pretty_line(event, self._config.max_width or WIDTH_WITHOUT_TERMINAL).plain + "\n"

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


def _render(events: Iterable[Event], width: int, terminal: RichConsole) -> str:
    # Into memory: even what it captures, rich would touch the stream of `terminal` for.
    memory = RichConsole(
        file=io.StringIO(),
        force_terminal=terminal.is_terminal,
        color_system=cast("Any", terminal.color_system),
        no_color=terminal.no_color,
        highlight=False,
        legacy_windows=False,
    )
    with memory.capture() as capture:
        for event in events:
            memory.print(pretty_line(event, width), soft_wrap=True)
    return capture.get()


def pretty_line(event: Event, width: int) -> Text:
    """Time, type, name, user, source and as many properties as fit in `width` columns."""
    timestamp = event.timestamp or event.received_at or ""
    line = Text(no_wrap=True, end="")
    line.append(_printable(timestamp[11:23]).ljust(13), "dim")
    line.append(_printable(event.type).ljust(9), _COLOURS.get(event.type, "red"))
    line.append(_printable(_title(event)[: width + 1]), "bold")
    if event.user_id is not None and event.type != "alias":
        line.append(f"  user={_printable(event.user_id)}")
    elif event.anonymous_id is not None:
        line.append(f"  anonymous={_printable(event.anonymous_id)}")
    line.append(f"  [{_printable(event.source_id)}] ", "dim")
    body = event.traits if event.type in ("identify", "group") else event.properties
    for key, value in body.items():
        if line.cell_len > width:
            break
        line.append(f" {_printable(key[:width])}=", "dim")
        line.append(_short(value, width))
    line.truncate(width, overflow="ellipsis")
    return line


def _title(event: Event) -> str:
    if event.type == "track":
        return event.event or ""
    if event.type in ("page", "screen"):
        return " / ".join(filter(None, (event.category, event.name))) or "(unnamed)"
    if event.type == "group":
        return event.group_id or ""
    if event.type == "alias":
        return f"{event.previous_id} → {event.user_id or event.anonymous_id}"
    return ""


def _short(value: Any, width: int) -> str:
    if isinstance(value, str):
        text = value[: width + 1]
        return _printable(text if text and " " not in text else f'"{text}"')
    if isinstance(value, Mapping):
        return f"{{{len(value)}}}"
    if isinstance(value, list):
        return f"[{len(value)}]"
    return json.dumps(value)


def _printable(text: str) -> str:
    """The text with everything escaped that could move the cursor or turn the reading direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# What a terminal may act on and JSON lets stand unescaped in a string: DEL, the C1 controls, and
# the characters that end a line or turn the reading direction.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _json_line(event: Event) -> str:
    text = encode_line(event).decode()
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def _write(stream: TextIO, data: bytes, given_up: Flag) -> None:
    """Write everything, waiting for a slow reader until nobody waits for us any more."""
    try:
        fd = stream.fileno()
    except io.UnsupportedOperation:  # replaced by an object in memory
        stream.write(data.decode(stream.encoding or "utf-8"))
        stream.flush()
        return
    view = memoryview(data)
    while view and not given_up.is_set():
        # A blocking write to a full pipe could not be interrupted, not even at exit.
        if select.select([], [fd], [], _LOOK_UP_SECONDS)[1]:
            try:
                view = view[os.write(fd, view[:_PIPE_BYTES]) :]
            except BlockingIOError:
                continue


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Register it."""
    register(
        DestinationSpec(
            "console",
            ConsoleConfig,
            Console,
            name="Console",
            batch=BatchPolicy(max_events=50, max_bytes=1_000_000, max_age_seconds=0.0),
            atomic=True,
            rehearses=True,
        )
    )
