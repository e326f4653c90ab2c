"""Newline-delimited JSON: one event per line.

The bodies of an event are the bytes that its client sent. They may be pretty-printed, with line
ends between the tokens. A line must not contain line ends, so such an event is written again
without whitespace between tokens. Numbers and strings keep every byte.

Format: https://github.com/ndjson/ndjson-spec (UTF-8, ``\\n`` after each line).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.events.event import Event

__all__ = ["NDJSON_MEDIA_TYPE", "encode_line", "encode_ndjson"]

NDJSON_MEDIA_TYPE = "application/x-ndjson"


def encode_line(event: Event) -> bytes:
    """Returns the event as JSON without any ``\\n`` or ``\\r``, also at the end."""
    line = event.to_json()
    if b"\n" in line or b"\r" in line:
        return msgspec.json.format(line, indent=-1)
    return line


def encode_ndjson(events: Iterable[Event]) -> bytes:
    """Returns one line for each event, each with its line end."""
    return b"".join([encode_line(event) + b"\n" for event in events])
