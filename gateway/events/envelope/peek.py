"""Reads the keys of an event's context that intake needs, without decoding the rest.

Validation and `enrich` both need some keys. Reading them all at once takes less than half the time
of decoding the whole context (0.65 µs instead of 1.4 µs for a shop's events), and reading those of
a whole request together takes less again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.events.event import EMPTY, Event

__all__ = ["NOTHING", "NO_OBJECT", "Peek", "contexts_of", "peek", "peek_all"]


class Peek(Struct, gc=False):
    """Some keys of a context, with values of any type; UNSET or `EMPTY` if absent."""

    ip: Any = UNSET
    user_agent: Any = msgspec.field(default=UNSET, name="userAgent")
    direct: Any = UNSET
    headgate: Raw = EMPTY
    library: Any = UNSET
    device: Raw = EMPTY


NOTHING = Peek()
"""The result for an event without a context."""

NO_OBJECT = Peek()
"""The result for a context that is JSON, but not an object."""

_decode = msgspec.json.Decoder(Peek).decode
_decode_all = msgspec.json.Decoder(list[Peek]).decode
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
    for key in ("device", "headgate"):
        if key in decoded:
            decoded[key] = Raw(msgspec.json.encode(decoded[key]))
    return msgspec.convert(decoded, Peek)


def contexts_of(events: Iterable[Event]) -> list[bytes]:
    """Returns the context of each event as bytes."""
    return [b"" if event.raw_context is EMPTY else bytes(event.raw_context) for event in events]


def peek_all(contexts: Sequence[bytes]) -> list[Peek]:
    """Reads contexts as `peek` reads each of them."""
    if not all(contexts):
        return [peek(context) for context in contexts]
    try:
        return _decode_all(b"[%b]" % b",".join(contexts))
    except msgspec.ValidationError:  # one of them is no object
        return [peek(context) for context in contexts]
