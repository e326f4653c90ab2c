"""Validates events by Segment's rules, with Segment's discard codes.

https://segment.com/docs/connections/spec/ lists the fields that each type needs. Discarded events
are counted by code for their source. The client still gets a 200, as from Segment, because sending
the event again would not help.
"""

from __future__ import annotations

import hashlib
import uuid

from msgspec import Raw

from gateway.events.consent import CONSENT_EVENT
from gateway.events.envelope.normalise import add_notes
from gateway.events.envelope.peek import NO_OBJECT, Peek, peek
from gateway.events.event import EMPTY, EVENT_TYPES, Event

__all__ = ["MAX_MESSAGE_ID", "MAX_PROPERTIES", "validate"]

MAX_MESSAGE_ID = 100
"""Limit in characters. A longer id is shortened, and the same id always gives the same result."""

MAX_PROPERTIES = 10_000
"""Limit for keys of `properties`. The rest is dropped with a note."""

_KEPT_OF_LONG_ID = 64
_SHORTEST_PROPERTY = 5  # bytes: "":1,
_OPEN_BRACE = 0x7B
_NULL = Raw(b"null")


def validate(event: Event, seen: Peek | None = None) -> str | None:
    """Validates an event by the rules of its type, and brings its fields into their final form.

    Args:
        seen: result of `peek` for the event's context, if the caller has it.

    Returns:
        None for a valid event, else its discard code.
    """
    kind = event.type
    if kind not in EVENT_TYPES:
        return "invalid_type"
    user_id = event.user_id
    if user_id is not None and (not user_id or user_id.isspace()):
        user_id = event.user_id = None
    anonymous_id = event.anonymous_id
    if anonymous_id is not None and (not anonymous_id or anonymous_id.isspace()):
        anonymous_id = event.anonymous_id = None
    code = _check_bodies(event, seen or peek(bytes(event.raw_context)))
    if code is not None:
        return code

    if kind == "alias":
        code = _check_alias(event)
    elif user_id is None and anonymous_id is None:
        code = "no_user_anon_id"
    elif kind == "track":
        code = _check_track(event)
    elif kind in ("page", "screen"):
        _drop_blank_names(event)
    else:
        code = _check_traits(event)
    if code is not None:
        return code

    sent_id = event.message_id
    message_id = sent_id.strip()
    if not message_id:
        message_id = str(uuid.uuid4())
    elif len(message_id) > MAX_MESSAGE_ID:
        digest = hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()
        message_id = f"{message_id[:_KEPT_OF_LONG_ID]}-{digest[: MAX_MESSAGE_ID - 65]}"
    if message_id is not sent_id:
        event.message_id = message_id
    if len(event.raw_properties) > MAX_PROPERTIES * _SHORTEST_PROPERTY:
        _limit_properties(event)
    return None


def _check_bodies(event: Event, seen: Peek) -> str | None:
    """Checks that each body is an object or absent; null counts as absent."""
    if seen is NO_OBJECT:
        _drop_body(event, "raw_context", "context_not_object")
    raw = event.raw_integrations
    if raw is not EMPTY and memoryview(raw)[0] != _OPEN_BRACE:
        _drop_body(event, "raw_integrations", "integrations_not_object")
    raw = event.raw_metadata
    if raw is not EMPTY and memoryview(raw)[0] != _OPEN_BRACE:
        _drop_body(event, "raw_metadata", "metadata_not_object")
    raw = event.raw_properties
    if raw is not EMPTY and memoryview(raw)[0] != _OPEN_BRACE:
        if event.type in ("track", "page", "screen") and event.raw_properties != _NULL:
            return "properties_not_object"
        event.set_raw("raw_properties", EMPTY)
    raw = event.raw_traits
    if raw is not EMPTY and memoryview(raw)[0] != _OPEN_BRACE:
        if event.type in ("identify", "group") and event.raw_traits != _NULL:
            return "traits_not_object"
        event.set_raw("raw_traits", EMPTY)
    # Search the bytes first, as decoding is slow. With a backslash the name may be escaped.
    if seen.device is not EMPTY:
        device = bytes(seen.device)
        if b"advertisingId" in device or b"\\" in device:
            return _check_advertising_id(event)
    return None


def _check_advertising_id(event: Event) -> str | None:
    device = event.context.get("device")
    value = device.get("advertisingId") if isinstance(device, dict) else None
    if value is None or isinstance(value, str):
        return None
    return "device_advertisingid_should_be_string"


def _drop_body(event: Event, slot: str, note: str) -> None:
    if getattr(event, slot) != _NULL:
        add_notes(event, (note,))
    event.set_raw(slot, EMPTY)


def _blank(text: str | None) -> bool:
    return not text or text.isspace()


def _check_track(event: Event) -> str | None:
    if _blank(event.event):
        return "event_not_defined"
    return _check_consent(event) if event.event == CONSENT_EVENT else None


def _drop_blank_names(event: Event) -> None:
    """Takes blank names as absent: SDKs for Kotlin and Ruby send "" for what an app leaves out."""
    if event.name is not None and _blank(event.name):
        event.name = None
    if event.category is not None and _blank(event.category):
        event.category = None


def _check_traits(event: Event) -> str | None:
    if event.type == "group" and _blank(event.group_id):
        return "id_required"
    if event.raw_traits is EMPTY and event.raw_context is not EMPTY:
        # RudderStack's server SDKs put traits into the context only.
        traits = event.context.get("traits")
        if isinstance(traits, dict) and traits:
            event.traits = traits
    return None


def _check_alias(event: Event) -> str | None:
    if event.user_id is None:
        return "id_required"
    if _blank(event.previous_id):
        event.previous_id = event.anonymous_id
    return None if event.previous_id is not None else "id_required"


def _check_consent(event: Event) -> str | None:
    consent = event.context.get("consent")
    if not isinstance(consent, dict) or consent.get("categoryPreferences") is None:
        return "consent_categorypreferences_should_exist"
    preferences = consent["categoryPreferences"]
    if not isinstance(preferences, dict):
        return "consent_categorypreferences_fields_should_be_object"
    if not all(isinstance(value, bool) for value in preferences.values()):
        return "consent_categorypreferences_fields_should_be_bool"
    version = consent.get("version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int | float)):
        return "consent_version_should_be_number"
    return None


def _limit_properties(event: Event) -> None:
    properties = event.properties
    if len(properties) > MAX_PROPERTIES:
        kept = list(properties.items())[:MAX_PROPERTIES]
        event.properties = dict(kept)
        add_notes(event, ("properties_truncated",))
