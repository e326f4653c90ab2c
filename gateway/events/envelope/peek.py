"""What intake asks of every event's context, read without decoding the rest.

Whose device an event comes from and whether it says its own address stand in the context. Looking
for both, and for what validation asks, in one go costs less than half of decoding the whole context
(0.65 µs of 1.4 µs for a shop's).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.events.event import EMPTY, Event

__all__ = ["NOTHING", "NO_OBJECT", "Peek", "peek"]


class Peek(Struct):
    """Some keys of a context, whatever a client put there; UNSET or `EMPTY` where absent."""

    ip: Any = UNSET
    user_agent: Any = msgspec.field(default=UNSET, name="userAgent")
    direct: Any = UNSET
    library: Any = UNSET
    device: Raw = EMPTY


NOTHING = Peek()
"""Of an event without a context."""

NO_OBJECT = Peek()
"""Of one whose context is JSON, but not an object."""

_decode = msgspec.json.Decoder(Peek).decode
_OPEN_BRACE = b"{"


def peek(context: bytes) -> Peek:
    """Look into the JSON text of a context; compare with `NOTHING` and `NO_OBJECT` by identity."""
    if not context:
        return NOTHING
    try:
        return _decode(context)
    except msgspec.ValidationError:
        if context[:1] != _OPEN_BRACE:
            return NO_OBJECT
    # A number beyond a double, which only `Event` reads.
    decoded = dict(Event(raw_context=Raw(context)).context)
    if "device" in decoded:
        decoded["device"] = Raw(msgspec.json.encode(decoded["device"]))
    return msgspec.convert(decoded, Peek)
