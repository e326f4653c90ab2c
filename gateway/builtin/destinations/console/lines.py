"""Renders events as lines of text that cannot control a terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from rich.console import Console as RichConsole
from rich.text import Text

from gateway.events.event import Event
from gateway.events.ndjson import encode_line
from gateway.events.printing import printable, printable_json

__all__ = ["json_line", "pretty_line", "render"]

_COLOURS = {
    "track": "green",
    "identify": "cyan",
    "page": "blue",
    "screen": "blue",
    "group": "magenta",
    "alias": "yellow",
}


def json_line(event: Event) -> str:
    """Returns the whole event as a line of JSON, with its end."""
    return printable_json(encode_line(event).decode()) + "\n"


def render(events: Iterable[Event], width: int, terminal: RichConsole) -> str:
    """Returns pretty lines, with the colours that a terminal supports."""
    # A console in memory, because even to capture text rich would touch the terminal's stream.
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
    """Returns time, type, name, user, source and as many properties as fit in `width` columns."""
    timestamp = event.timestamp or event.received_at or ""
    line = Text(no_wrap=True, end="")
    line.append(printable(timestamp[11:23]).ljust(13), "dim")
    line.append(printable(event.type).ljust(9), _COLOURS.get(event.type, "red"))
    line.append(printable(_title(event)[: width + 1]), "bold")
    if event.user_id is not None and event.type != "alias":
        line.append(f"  user={printable(event.user_id)}")
    elif event.anonymous_id is not None:
        line.append(f"  anonymous={printable(event.anonymous_id)}")
    line.append(f"  [{printable(event.source_id)}] ", "dim")
    body = event.traits if event.type in ("identify", "group") else event.properties
    for key, value in body.items():
        if line.cell_len > width:
            break
        line.append(f" {printable(key[:width])}=", "dim")
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
        return printable(text if text and " " not in text else f'"{text}"')
    if isinstance(value, Mapping):
        return f"{{{len(value)}}}"
    if isinstance(value, list):
        return f"[{len(value)}]"
    return json.dumps(value)
