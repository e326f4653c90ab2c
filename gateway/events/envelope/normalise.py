"""Makes an `Event` of JSON that does not decode into one directly.

Clients send numeric ids, null in place of strings, times as numbers, and keys that the
specification does not name. Rules: section "Common fields" of
https://segment.com/docs/connections/spec/common/. Cases that it leaves open, such as numbers as
ids, are listed in docs/reference/tracking-api.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from gateway.events.event import EMPTY, Event
from gateway.events.timestamps import format_ms, parse_ms

__all__ = [
    "Discarded",
    "add_notes",
    "clean_text",
    "depth_exceeds",
    "merge_objects",
    "nests_within",
    "normalise",
]


class Discarded(Exception):
    """The event cannot be accepted; `code` is Segment's code for the reason."""

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
# The gateway stamps these keys itself. A client's values are dropped.
_OURS = frozenset({"receivedAt", "sourceId", "version", "writeKey", "_notes", "_extra"})

_NAMED_FOR = {"event": {"track"}, "name": {"page", "screen"}, "category": {"page", "screen"}}


def normalise(fields: Mapping[str, Raw], route_type: str | None = None) -> Event:
    """Makes an event of a JSON object whose values are still bytes.

    Args:
        fields: the object's top level.
        route_type: type that the request's path dictates. It wins over the object's own.

    Raises:
        Discarded: with the code for the first mistake.
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
    """Sets a short field; returns False if the event has no such field."""
    if key in _IDS:
        setattr(event, _IDS[key], _identifier(raw))
    elif key in _TIMES:
        _take_time(event, _TIMES[key], raw)
    elif key == "type":
        value = _scalar(raw)
        event.type = value if isinstance(value, str) else ""  # `validate` discards an empty type
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
    """Decodes a value; returns `_COMPOUND` for objects and arrays, which short fields are not."""
    data = bytes(raw)
    if not data or data == b"null":
        return None
    if data[:1] in b"{[":
        return _COMPOUND
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:
        return float(data)  # a number too large for a double


def _excerpt(raw: Raw, limit: int = 100) -> str:
    return bytes(raw)[:limit].decode(errors="replace")


def add_notes(event: Event, notes: Iterable[str], **fields: str | None) -> None:
    """Adds remarks of the gateway to an event, apart from the client's data."""
    known = event.notes
    given = {key: value for key, value in fields.items() if value is not None}
    updated = msgspec.structs.replace(
        known, notes=tuple(dict.fromkeys((*known.notes, *notes))), **given
    )
    event.raw_notes = Raw(msgspec.json.encode(updated))


def merge_objects(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merges JSON objects at all levels into a new one; values of `over` win."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_objects(below, value)
        else:
            merged[key] = value
    return merged


# An escape begins at a backslash that an even number of backslashes precedes. The pattern matches
# only text that has to change, so it takes a few nanoseconds a byte for any input.
_UNSTORABLE = re.compile(
    rb"(?<!\\)((?:\\\\)*+)\\u"
    rb"(?:(0000)"
    rb"|[dD][89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
    rb"|[dD][c-fC-F][0-9a-fA-F]{2})"
)


def clean_text(body: bytes) -> bytes:
    r"""Replaces lone surrogates by U+FFFD and removes NUL, where they are ``\u`` escapes in JSON.

    JSON permits both. UTF-8 and most databases do not.
    """
    return _UNSTORABLE.sub(_storable, body)


def _storable(match: re.Match[bytes]) -> bytes:
    before, null, low_half = match.groups()
    if low_half is not None:
        return match[0]  # a pair
    return before if null is not None else before + b"\\ufffd"


# Possessive, so that a long string does not fill the memory with positions to backtrack to.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_AS_BRACES = bytes.maketrans(b"[]", b"{}")
_NOT_OPENING = bytes(set(range(256)) - set(b"{["))


def depth_exceeds(data: bytes, limit: int) -> bool:
    """Tells whether JSON text nests deeper than `limit`; fast for text with few brackets."""
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


def nests_within(text: bytes, limit: int) -> bool:
    """Tells whether JSON text surely nests no deeper than `limit`.

    Empty pairs of brackets are removed, level by level. Brackets in strings leave a rest or make
    the text seem deeper, so the answer may be a wrong no, but never a wrong yes.
    """
    brackets = text.translate(_AS_BRACES, _NOT_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"")
    return not brackets
