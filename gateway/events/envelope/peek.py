"""Reads the keys of an event's context that intake needs, without decoding the rest.

Validation and `enrich` both need some keys. Reading them all at once takes less than half the time
of decoding the whole context (0.65 µs instead of 1.4 µs for a shop's events).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.events.event import EMPTY, Event

__all__ = ["NOTHING", "NO_OBJECT", "Peek", "peek"]


class Peek(Struct):
    """Some keys of a context, with values of any type; UNSET or `EMPTY` if absent."""

    ip: Any = UNSET
    user_agent: Any = msgspec.field(default=UNSET, name="userAgent")
    direct: Any = UNSET
    library: Any = UNSET
    device: Raw = EMPTY


NOTHING = Peek()
"""The result for an event without a context."""

NO_OBJECT = Peek()
"""The result for a context that is JSON, but not an object."""

_decode = msgspec.json.Decoder(Peek).decode
_OPEN_BRACE = b"{"


def peek(context: bytes) -> Peek:
    """Reads a context. Compare the result with `NOTHING` and `NO_OBJECT` by identity."""
    if not context:
        return NOTHING
    try:
        return _decode(context)
    except msgspec.ValidationError:
        if context[:1] != _OPEN_BRACE:
            return NO_OBJECT
    # A number is too large for a double. Only `Event` can read that.
    decoded = dict(Event(raw_context=Raw(context)).context)
    if "device" in decoded:
        decoded["device"] = Raw(msgspec.json.encode(decoded["device"]))
    return msgspec.convert(decoded, Peek)
