"""Decodes the bodies that `gateway.builtin.sources.segment.plain` does not accept.

A body close to the SDKs' form decodes in one step into `Event` objects, whose own bodies stay
bytes. Any other body (a number as an id, a key that the specification does not name, an element
that is no object) is decoded value by value with `gateway.events.envelope.normalise`, which
corrects values or discards an event with a code.

msgspec does not check the bytes of a `Raw`, so UTF-8 is checked here. Lone surrogates, which
clients send and msgspec refuses, are replaced. NUL, which msgspec accepts and databases refuse, is
removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

import msgspec
from msgspec import DecodeError, Raw, Struct, ValidationError, field

from gateway.builtin.sources.segment.answers import Rejected
from gateway.events.envelope.normalise import Discarded, clean_text, normalise
from gateway.events.envelope.sealed import SentEvent, strip_reserved
from gateway.events.event import EMPTY, Event

__all__ = [
    "LooseBatch",
    "Parsed",
    "as_utf8",
    "decode_element",
    "elements_of",
    "key_of",
    "parse_batch",
    "parse_event",
    "read_loosely",
    "text_of",
    "time_of",
]

_BOM = b"\xef\xbb\xbf"
_QUOTE = 0x22


class _Wire(SentEvent, kw_only=True, forbid_unknown_fields=True):
    """An event that has only keys that the specification names."""


class _Element(_Wire, kw_only=True):
    """An event of a batch. It must have a type.

    An event without a type is decoded value by value. Otherwise, an array of a hundred thousand
    ``{}`` would become a hundred thousand events before the limit is applied.
    """

    type: str


class _Batch(Struct, rename="camel"):
    batch: list[_Element]
    sent_at: str | None = None
    write_key: str | None = None
    context: Raw = EMPTY
    integrations: Raw = EMPTY


class LooseBatch(Struct, rename="camel"):
    """A batch whose values may have any type."""

    batch: Raw = EMPTY
    sent_at: Raw = EMPTY
    write_key: Raw = EMPTY
    context: Raw = EMPTY
    integrations: Raw = EMPTY


class _KeyOnly(Struct, rename="camel"):
    write_key: Raw = EMPTY


_event_decoder = msgspec.json.Decoder(_Wire)
_element_decoder = msgspec.json.Decoder(_Element)
_batch_decoder = msgspec.json.Decoder(_Batch)
_loose_decoder = msgspec.json.Decoder(LooseBatch)
_list_decoder = msgspec.json.Decoder(list[Raw])
_fields_decoder = msgspec.json.Decoder(dict[str, Raw])
_key_decoder = msgspec.json.Decoder(_KeyOnly)
_string_decoder = msgspec.json.Decoder(str)


class Parsed(Struct):
    """A decoded body, before the limits of a source are applied.

    Attributes:
        body: the decoded bytes, in UTF-8.
        events: the decoded events.
        elements: elements of a batch that have to be decoded value by value; then `events` is
            empty.
        discarded: number of discarded events by code.
        sent_at: of a batch.
        context, integrations: of a batch, for all its events; `EMPTY` if absent.
    """

    body: bytes
    events: list[Event] = field(default_factory=list)
    elements: list[Raw] | None = None
    discarded: Counter[str] = field(default_factory=Counter)
    write_key: str | None = None
    sent_at: str | None = None
    context: Raw = EMPTY
    integrations: Raw = EMPTY

    def discard(self, code: str, events: int = 1) -> None:
        """Counts events that are left out."""
        if events:
            self.discarded[code] += events


def parse_event(body: bytes, kind: str) -> Parsed:
    """Decodes the body of a route for single events.

    Args:
        kind: the event's type, given by the path.

    Raises:
        Rejected: ``invalid_json``.
    """
    return _parse(_parse_event, body, kind)


def parse_batch(body: bytes) -> Parsed:
    """Decodes the body of a batch route.

    Raises:
        Rejected: ``invalid_json`` or ``empty_batch``.
    """
    return _parse(_parse_batch, body)


def _parse(parse: Callable[..., Parsed], body: bytes, *args: str) -> Parsed:
    """Parses a body; if that fails, replaces lone surrogates and parses again."""
    body = as_utf8(body)
    try:
        return parse(body, *args)
    except (DecodeError, RecursionError):
        pass
    if b"\\u" in body:  # may be a lone surrogate
        try:
            return parse(clean_text(body), *args)
        except (DecodeError, RecursionError):
            pass
    raise Rejected("invalid_json")


def as_utf8(body: bytes) -> bytes:
    """Returns the body as valid UTF-8 without NUL, so that one bad byte does not cost a batch."""
    body = body.removeprefix(_BOM)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            body = body.decode(errors="replace").encode()
    if b"\\" in body and b"\\u0000" in body:
        body = clean_text(body)
    return body


def _parse_event(body: bytes, kind: str) -> Parsed:
    try:
        event = _event_decoder.decode(body)
    except ValidationError:
        return _parse_loose_event(body, kind)
    event.type = kind
    parsed = Parsed(body, [event], write_key=event.write_key)
    event.strip_reserved()
    return parsed


def _parse_loose_event(body: bytes, kind: str) -> Parsed:
    fields = _fields_decoder.decode(body)
    parsed = Parsed(body, write_key=text_of(fields.pop("writeKey", EMPTY)))
    try:
        parsed.events.append(normalise(fields, kind))
    except Discarded as discarded:
        parsed.discard(discarded.code)
    return parsed


def _parse_batch(body: bytes) -> Parsed:
    try:
        batch = _batch_decoder.decode(body)
    except ValidationError:
        return _parse_loose_batch(body)
    events = batch.batch
    write_key = batch.write_key
    if not write_key and events:
        write_key = events[0].write_key
    strip_reserved(events)
    return Parsed(
        body,
        cast("list[Event]", events),
        write_key=write_key,
        sent_at=batch.sent_at,
        context=batch.context,
        integrations=batch.integrations,
    )


def _parse_loose_batch(body: bytes) -> Parsed:
    batch = read_loosely(body)
    elements = _elements(batch)
    write_key = text_of(batch.write_key)
    if not write_key and elements:
        write_key = key_of(elements[0])
    return Parsed(
        body,
        elements=elements,
        write_key=write_key,
        sent_at=time_of(batch.sent_at),
        context=batch.context,
        integrations=batch.integrations,
    )


def read_loosely(body: bytes) -> LooseBatch:
    """Decodes the object around a batch.

    Raises:
        DecodeError: the body is not a JSON object.
    """
    return _loose_decoder.decode(body)


def _elements(batch: LooseBatch) -> list[Raw]:
    try:
        return _list_decoder.decode(batch.batch)
    except DecodeError:
        raise Rejected("empty_batch") from None


def elements_of(body: bytes) -> list[Raw]:
    """Returns the elements of a batch that was parsed before, each as it was sent."""
    return _elements(read_loosely(body))


def decode_element(element: Raw) -> Event:
    """Decodes an element of a batch.

    Raises:
        Discarded: the element cannot become an event.
    """
    try:
        event = _element_decoder.decode(element)
    except ValidationError:
        pass
    else:
        event.strip_reserved()
        return event
    try:
        fields = _fields_decoder.decode(element)
    except ValidationError:
        raise Discarded("bad_request") from None
    return normalise(fields)


def key_of(element: Raw) -> str | None:
    """Returns the write key of an element."""
    try:
        return text_of(_key_decoder.decode(element).write_key)
    except ValidationError:
        return None


def text_of(raw: Raw) -> str | None:
    """Returns the value if it is a string, else None."""
    if not len(raw) or memoryview(raw)[0] != _QUOTE:
        return None
    return _string_decoder.decode(raw)


def time_of(raw: Raw) -> str | None:
    """Returns a time as text. A number becomes its digits, which intake reads as a number."""
    text = bytes(raw).decode()
    return text if text[:1].isdigit() else text_of(raw)
