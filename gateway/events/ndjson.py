"""Newline-delimited JSON: one event a line.

The bodies of an event are the bytes that its client sent, and a client may send them
pretty-printed, with line ends between the tokens. A line must hold none, so those events are
written anew without insignificant whitespace; numbers and strings keep every byte.

Format: https://github.com/ndjson/ndjson-spec (UTF-8, ``\\n`` after each line).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.events.event import Event

__all__ = ["NDJSON_MEDIA_TYPE", "encode_line", "encode_ndjson"]

NDJSON_MEDIA_TYPE = "application/x-ndjson"


def encode_line(event: Event) -> bytes:
    """The event as JSON in which neither ``\\n`` nor ``\\r`` occurs; without a line end."""
    line = event.to_json()
    if b"\n" in line or b"\r" in line:
        return msgspec.json.format(line, indent=-1)
    return line


def encode_ndjson(events: Iterable[Event]) -> bytes:
    """One line for each event, each with its line end; no bytes for no events."""
    return b"".join([encode_line(event) + b"\n" for event in events])
