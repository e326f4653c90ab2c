"""From JSON that clients really send to an `Event`, where it does not decode into one directly.

Numeric ids, nulls where strings belong, times as numbers, keys that the specification does not
name. Rules: section "Common fields" of https://segment.com/docs/connections/spec/common/; what that
leaves open (such as numbers as ids) is decided here and written down in
docs/reference/tracking-api.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from gateway.events.event import EMPTY, Event
from gateway.events.timestamps import format_ms, parse_ms

__all__ = ["Discarded", "add_notes", "clean_text", "depth_exceeds", "merge_objects", "normalise"]


class Discarded(Exception):
    """The event cannot be accepted; `code` says why, in Segment's vocabulary."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


_IDS = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
}
_NAMES = {
    "event": ("event", "event_not_string"),
    "name": ("name", "name_not_string"),
    "category": ("category", "category_not_string"),
}
_TIMES = {
    "timestamp": "timestamp",
    "originalTimestamp": "original_timestamp",
    "sentAt": "sent_at",
}
_BODIES = {
    "properties": "raw_properties",
    "traits": "raw_traits",
    "context": "raw_context",
    "integrations": "raw_integrations",
    "_metadata": "raw_metadata",
}
# Stamped by the gateway, so that whatever a client sends under these names is dropped.
_OURS = frozenset({"receivedAt", "sourceId", "version", "writeKey", "_notes", "_extra"})

_NAMED_FOR = {"event": {"track"}, "name": {"page", "screen"}, "category": {"page", "screen"}}


def normalise(fields: Mapping[str, Raw], route_type: str | None = None) -> Event:
    """Make an event of a JSON object whose values are still bytes.

    Args:
        fields: the object's top level.
        route_type: type that the request's path dictates, over what the object says.

    Raises:
        Discarded: with the code for the first thing that is wrong.
    """
    event = Event()
    extra: dict[str, Raw] = {}
    for key, raw in fields.items():
        if key in _BODIES:
            setattr(event, _BODIES[key], raw)
        elif key not in _OURS and not _take(event, key, raw):
            extra[key] = raw
    if route_type is not None:
        event.type = route_type
    for key, (slot, code) in _NAMES.items():
        value = _scalar(fields.get(key, EMPTY))
        if isinstance(value, str):
            setattr(event, slot, value)
        elif value is not None:
            if event.type in _NAMED_FOR[key]:
                raise Discarded(code)
            extra[key] = fields[key]
    if extra:
        event.raw_extra = Raw(msgspec.json.encode(extra))
    return event


def _take(event: Event, key: str, raw: Raw) -> bool:
    """Put a short field in its place; False if the event has no such field."""
    if key in _IDS:
        setattr(event, _IDS[key], _identifier(raw))
    elif key in _TIMES:
        _take_time(event, _TIMES[key], raw)
    elif key == "type":
        value = _scalar(raw)
        event.type = value if isinstance(value, str) else ""  # which is no type: see `validate`
    elif key == "messageId":
        value = _identifier(raw)
        event.message_id = value or ""
    elif key == "channel":
        value = _scalar(raw)
        event.channel = value if isinstance(value, str) else None
    else:
        return key in _NAMES
    return True


def _take_time(event: Event, slot: str, raw: Raw) -> None:
    value = _scalar(raw)
    if isinstance(value, str):
        setattr(event, slot, value)
    elif value is not None:
        milliseconds = parse_ms(value) if not isinstance(value, bool) else None
        if milliseconds is not None:
            setattr(event, slot, format_ms(milliseconds))
        else:
            add_notes(event, (f"{slot}_unreadable",), raw_timestamp=_excerpt(raw))


def _identifier(raw: Raw) -> str | None:
    value = _scalar(raw)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Discarded("id_not_string")
    return bytes(raw).decode()  # the number as the client wrote it, digit for digit


_COMPOUND = object()


def _scalar(raw: Raw) -> Any:
    """The value, or a marker for an object or array, which no short field may be."""
    data = bytes(raw)
    if not data or data == b"null":
        return None
    if data[:1] in b"{[":
        return _COMPOUND
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:
        return float(data)  # a number beyond a double


def _excerpt(raw: Raw, limit: int = 100) -> str:
    return bytes(raw)[:limit].decode(errors="replace")


def add_notes(event: Event, notes: Iterable[str], **fields: str | None) -> None:
    """Record something about the event that is not the client's data."""
    known = event.notes
    given = {key: value for key, value in fields.items() if value is not None}
    updated = msgspec.structs.replace(
        known, notes=tuple(dict.fromkeys((*known.notes, *notes))), **given
    )
    event.raw_notes = Raw(msgspec.json.encode(updated))


def merge_objects(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge of JSON objects; `over` wins. Neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_objects(below, value)
        else:
            merged[key] = value
    return merged


# An escape begins at a backslash that an even number of backslashes precedes. Only what has to
# change is matched: this takes some nanoseconds a byte, whatever a client sends.
_UNSTORABLE = re.compile(
    rb"(?<!\\)((?:\\\\)*+)\\u"
    rb"(?:(0000)"
    rb"|[dD][89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
    rb"|[dD][c-fC-F][0-9a-fA-F]{2})"
)


def clean_text(body: bytes) -> bytes:
    r"""Replace lone surrogates by U+FFFD and take out NUL, both as ``\u`` escapes of JSON text.

    JSON permits them; UTF-8 and most databases do not.
    """
    return _UNSTORABLE.sub(_storable, body)


def _storable(match: re.Match[bytes]) -> bytes:
    before, null, low_half = match.groups()
    if low_half is not None:
        return match[0]  # a pair
    return before if null is not None else before + b"\\ufffd"


# Possessive, so that a long string does not fill the memory with places to go back to.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_NOT_OPENING = bytes(set(range(256)) - set(b"{["))


def depth_exceeds(data: bytes, limit: int) -> bool:
    """Whether JSON text nests deeper than `limit`; cheap where it cannot."""
    if len(data.translate(None, _NOT_OPENING)) <= limit:
        return False
    depth = 0
    for byte in _STRINGS.sub(b"", data).translate(None, _NOT_BRACKETS):
        if byte in b"{[":
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False
