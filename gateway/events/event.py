"""The event: the client's fields, plus those that the gateway stamps.

Only the envelope is decoded when an event arrives. `properties`, `traits`, `context` and
`integrations` stay bytes, as the client sent them (`msgspec.Raw`). The first access decodes a body
and remembers the result. Most events pass through the gateway without any such access, which gives
the gateway most of its speed.

Three rules follow for all code that handles an event:

* A decoded body is **read-only**. Assign a new one (``event.properties = {...}``) to change it.
* Several destinations may share an event. A transform that declares ``mutates = True`` gets copies
  of its own.
* Decoded bodies are kept outside the encoded fields, so encoding always writes the raw bytes.

Fields: section 2 of the tracking API that Segment documents at
https://segment.com/docs/connections/spec/common/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self, cast

import msgspec
from msgspec import Raw, Struct, field

__all__ = ["EMPTY", "EVENT_TYPES", "Event", "Notes", "decode_events", "encode_events"]

EVENT_TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})

EMPTY = Raw(b"")
"""An absent body. Encoding compares by identity to leave it out, so there must be only one."""


class Notes(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The gateway's own remarks about an event, kept apart from the client's fields.

    Attributes:
        request_ip: address that the request came from, if the source may record it.
        user_agent: User-Agent header, if the client's library is unknown.
        raw_timestamp: the client's timestamp as it was sent, if it could not be read.
        notes: short codes such as ``context_not_object``.
        visitor: the visitor that the event's userId was linked to when the event was stored; see
            `gateway.identity.visitors`.
        weight: number of people that the event's one stands for, as transforms sample.
        weight_doubt: id of the first transform that samples in a way that gives no such number.
    """

    request_ip: str | None = None
    user_agent: str | None = None
    raw_timestamp: str | None = None
    notes: tuple[str, ...] = ()
    visitor: str | None = None
    weight: float = 1.0
    weight_doubt: str | None = None


class Event(Struct, kw_only=True, omit_defaults=True, dict=True, rename="camel"):
    """One event.

    Attributes:
        type: one of `EVENT_TYPES`.
        message_id: the client's id or one of ours, at most 100 characters; unique in its source.
        user_id, anonymous_id, group_id, previous_id: identities; None rather than empty.
        event: name of a track event.
        name, category: of a page or screen.
        timestamp: time of the event, corrected for the client's clock; ISO 8601, UTC, ms, ``Z``.
        original_timestamp, sent_at: the client's times, in the same form.
        received_at: time when the gateway read the request.
        source_id: id of the source in config.toml.
        raw_properties, raw_traits, raw_context, raw_integrations, raw_metadata: JSON objects as
            bytes, or `EMPTY`.
        raw_notes: a `Notes` as JSON, or `EMPTY`; never sent to a destination.
        raw_extra: JSON object with the top-level keys that the specification does not name, or
            `EMPTY`. `to_json` and `to_dict` put them back at the top level.
    """

    type: str = ""
    message_id: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    channel: str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    received_at: str | None = None
    source_id: str = ""
    version: Any = None
    raw_properties: Raw = field(default=EMPTY, name="properties")
    raw_traits: Raw = field(default=EMPTY, name="traits")
    raw_context: Raw = field(default=EMPTY, name="context")
    raw_integrations: Raw = field(default=EMPTY, name="integrations")
    raw_metadata: Raw = field(default=EMPTY, name="_metadata")
    raw_notes: Raw = field(default=EMPTY, name="_notes")
    raw_extra: Raw = field(default=EMPTY, name="_extra")

    @property
    def properties(self) -> Mapping[str, Any]:
        """Body of track, page and screen events; empty if absent."""
        return self._body("raw_properties")

    @properties.setter
    def properties(self, value: Mapping[str, Any]) -> None:
        self._replace("raw_properties", value)

    @property
    def traits(self) -> Mapping[str, Any]:
        """Body of identify and group events; empty if absent."""
        return self._body("raw_traits")

    @traits.setter
    def traits(self, value: Mapping[str, Any]) -> None:
        self._replace("raw_traits", value)

    @property
    def context(self) -> Mapping[str, Any]:
        """Circumstances of the event: library, page, device, campaign, consent."""
        return self._body("raw_context")

    @context.setter
    def context(self, value: Mapping[str, Any]) -> None:
        self._replace("raw_context", value)

    @property
    def integrations(self) -> Mapping[str, Any]:
        """The client's choice of destinations for this event, with options for each."""
        return self._body("raw_integrations")

    @integrations.setter
    def integrations(self, value: Mapping[str, Any]) -> None:
        self._replace("raw_integrations", value)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The SDK's data about itself (`_metadata`): bundled destinations, retry count."""
        return self._body("raw_metadata")

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        self._replace("raw_metadata", value)

    @property
    def extra(self) -> Mapping[str, Any]:
        """Top-level keys that the specification does not name."""
        return self._body("raw_extra")

    @extra.setter
    def extra(self, value: Mapping[str, Any]) -> None:
        self._replace("raw_extra", value)

    @property
    def notes(self) -> Notes:
        """The gateway's own remarks about the event."""
        if self.raw_notes is EMPTY:
            return Notes()
        return msgspec.json.decode(self.raw_notes, type=Notes)

    @property
    def size(self) -> int:
        """Approximate size in bytes; short fields count as 300 bytes in all."""
        return (
            len(self.raw_properties)
            + len(self.raw_traits)
            + len(self.raw_context)
            + len(self.raw_integrations)
            + len(self.raw_extra)
            + 300
        )

    def own_body(self, name: str) -> dict[str, Any]:
        """Decodes a body anew for in-place changes. Assign it to the event when it is changed.

        Args:
            name: ``properties`` or another body that can be assigned.
        """
        slot = f"raw_{name}"
        raw: Raw = getattr(self, slot)
        body = _object(raw)
        if raw is EMPTY:
            setattr(self, slot, Raw(b"{}"))  # so that readers look for a decoded body
        self.__dict__[slot] = body
        return body

    def set_raw(self, slot: str, raw: Raw) -> None:
        """Sets the bytes of a body, and forgets what was decoded from the earlier ones.

        Args:
            slot: ``raw_properties`` or another field with bytes.
        """
        if self.__dict__:
            self.__dict__.pop(slot, None)
        setattr(self, slot, raw)

    def copy(self) -> Self:
        """Returns a copy that can be changed on its own. It shares the decoded bodies."""
        twin = copy(self)
        if self.__dict__:
            twin.__dict__.update(self.__dict__)
        return twin

    def restore(self, original: Event) -> None:
        """Undoes all changes since `copy` made `original`."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(original, name))
        self.__dict__.clear()
        self.__dict__.update(original.__dict__)

    def to_json(self) -> bytes:
        """Returns the event as a JSON object, in the form that destinations see."""
        if self.raw_notes is EMPTY and self.raw_extra is EMPTY:
            return _encoder.encode(self)
        # A copy, because other destinations may be encoding the same event in their own threads.
        bare = copy(self)
        bare.raw_notes = bare.raw_extra = EMPTY
        encoded = _encoder.encode(bare)
        inner = bytes(self.raw_extra).strip()[1:-1].strip()
        if not inner:
            return encoded
        return encoded[:-1] + (b"," if len(encoded) > len(b"{}") else b"") + inner + b"}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the event as a new dict, in the form that destinations see."""
        return cast("dict[str, Any]", _loads(self.to_json()))

    def _body(self, slot: str) -> Mapping[str, Any]:
        cached: Mapping[str, Any] | None = self.__dict__.get(slot)
        if cached is None:
            raw: Raw = getattr(self, slot)
            cached = self.__dict__[slot] = _object(raw)
        return cached

    def _replace(self, slot: str, value: Mapping[str, Any]) -> None:
        setattr(self, slot, Raw(_dumps(value)) if value else EMPTY)
        self.__dict__[slot] = value


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_list_decoder = msgspec.json.Decoder(list[Event])


def encode_events(events: Sequence[Event]) -> bytes:
    """Returns events as the JSON array that the queue stores."""
    return _encoder.encode(events)


def decode_events(data: bytes | memoryview) -> list[Event]:
    """Decodes a JSON array made by `encode_events`; the events' bodies are views of `data`."""
    return _list_decoder.decode(data)


def _object(raw: Raw) -> dict[str, Any]:
    """Decodes a body; one that is absent or no object is empty.

    Validation takes away what is no object, but plugins read events before that.
    """
    read = _loads(raw) if len(raw) else {}
    return read if isinstance(read, dict) else {}


def _loads(raw: Raw | bytes) -> Any:
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError:
        # A number too large for a double (1e999) is valid JSON. Read it as null, like NaN.
        return json.loads(bytes(raw), parse_float=_finite_float, parse_int=_bounded_int)


def _dumps(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_without_surrogates(value))


_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_surrogates(value: Any) -> Any:
    """Replaces lone surrogates by U+FFFD; a transform may have cut a character in half."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


_MAX_DIGITS = 4300  # Python's own limit for int(), whose cost is quadratic


def _bounded_int(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_DIGITS else None


def _finite_float(text: str) -> float | None:
    number = float(text)
    return number if abs(number) != float("inf") else None
