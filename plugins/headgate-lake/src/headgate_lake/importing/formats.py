"""Makes events in the form of the tracking API of other products' records.

Each function gets a record as its product exports it, and raises `Bad` for one that is no event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from gateway import EVENT_TYPES
from headgate_lake.importing.reading import Bad

__all__ = ["FORMATS", "LOCAL_NUMBERS", "Fields", "detected"]

Fields: TypeAlias = dict[str, Any]
_Record: TypeAlias = Mapping[str, Any]

_UTM = {"source": "source", "medium": "medium", "campaign": "name", "term": "term"} | {
    "content": "content"
}


def _tracking(record: _Record) -> Fields:
    """Segment's own form, as in its raw exports; columns with a dot are paths."""
    fields: Fields = {}
    for key, value in record.items():
        root, _, rest = key.partition(".")
        if rest and root in ("properties", "traits", "context"):
            if value not in ("", None):
                fields.setdefault(root, {})[rest] = value
        elif value != "":
            fields[key] = value
    for body in ("properties", "traits", "context"):
        if isinstance(fields.get(body), str):
            fields[body] = _object(fields[body])
    fields.setdefault("type", "track")
    fields["timestamp"] = fields.get("timestamp") or fields.get("originalTimestamp")
    fields.pop("originalTimestamp", None)
    return fields


def _mixpanel(record: _Record) -> Fields:
    """Mixpanel's raw export: `event`, and all else in `properties`."""
    given = _object(record.get("properties"))
    name = record.get("event")
    user, device = given.get("$user_id"), given.get("$device_id")
    distinct = _text(given.get("distinct_id"))
    if not user and not device and distinct:
        if distinct.startswith("$device:"):
            device = distinct.removeprefix("$device:")
        else:
            user = distinct
    fields: Fields = {
        "messageId": given.get("$insert_id"),
        "timestamp": given.get("time"),
        "receivedAt": given.get("mp_processing_time_ms"),
        "userId": user,
        "anonymousId": device,
        "context": _context(
            given, url="$current_url", referrer="$referrer", country="mp_country_code", os="$os"
        ),
    }
    kept = {
        key: value
        for key, value in given.items()
        if key not in ("time", "distinct_id") and key[:1] != "$" and key[:3] != "mp_"
    }
    if name == "$mp_web_page_view":
        return fields | {"type": "page", "properties": kept}
    if name == "$identify":
        return fields | {
            "type": "identify",
            "userId": given.get("$identified_id") or user,
            "anonymousId": given.get("$anon_id") or device,
        }
    return fields | {"type": "track", "event": name, "properties": kept}


def _amplitude(record: _Record) -> Fields:
    """Amplitude's export: `event_type`, `event_properties`, `user_properties`."""
    name = record.get("event_type")
    kept = dict(_object(record.get("event_properties")))
    if "$revenue" in kept:
        kept.setdefault("revenue", kept.pop("$revenue"))
    flat = {
        "$os": record.get("os_name"),
        "country": record.get("country"),
        "url": kept.get("[Amplitude] Page URL"),
        "referrer": kept.get("referrer"),
    } | {key: kept[key] for key in kept if key.startswith("utm_")}
    context = _context(flat, url="url", referrer="referrer", country="country", os="$os")
    if record.get("session_id") not in (None, -1):
        context["sessionId"] = _text(record["session_id"])
    if record.get("device_type"):
        context["device"] = {"type": record["device_type"]}
    fields: Fields = {
        "messageId": record.get("$insert_id") or record.get("insert_id") or record.get("uuid"),
        "timestamp": record.get("event_time"),
        "receivedAt": record.get("server_received_time") or record.get("server_upload_time"),
        "userId": record.get("user_id"),
        "anonymousId": record.get("device_id"),
        "context": context,
    }
    if name == "$identify":
        return fields | {"type": "identify", "traits": _object(record.get("user_properties"))}
    if name == "[Amplitude] Page Viewed":
        return fields | {"type": "page", "properties": kept}
    return fields | {"type": "track", "event": name, "properties": kept}


def _posthog(record: _Record) -> Fields:
    """PostHog's export of events, as JSON or CSV."""
    given = _object(record.get("properties"))
    name, distinct = record.get("event"), record.get("distinct_id")
    device = given.get("$device_id")
    known = given.get("$user_id") or (None if distinct == device else distinct)
    kept = {key: value for key, value in given.items() if key[:1] != "$"}
    fields: Fields = {
        "messageId": record.get("uuid") or given.get("$insert_id"),
        "timestamp": record.get("timestamp"),
        "receivedAt": record.get("created_at"),
        "userId": known,
        "anonymousId": device,
        "context": _context(
            given,
            url="$current_url",
            referrer="$referrer",
            country="$geoip_country_code",
            os="$os",
        ),
    }
    if given.get("$session_id"):
        fields["context"]["sessionId"] = given["$session_id"]
    if name == "$pageview":
        return fields | {"type": "page", "properties": kept}
    if name == "$screen":
        return fields | {"type": "screen", "name": given.get("$screen_name"), "properties": kept}
    if name == "$identify":
        anonymous = given.get("$anon_distinct_id") or device
        traits = _object(given.get("$set_once")) | _object(given.get("$set"))
        return fields | {
            "type": "identify",
            "userId": distinct,
            "anonymousId": anonymous,
            "traits": traits,
        }
    if name == "$groupidentify":
        return fields | {
            "type": "group",
            "groupId": given.get("$group_key"),
            "traits": _object(given.get("$group_set")),
        }
    if name == "$create_alias":
        return fields | {"type": "alias", "userId": distinct, "previousId": given.get("alias")}
    return fields | {"type": "track", "event": name, "properties": kept}


FORMATS: dict[str, Callable[[_Record], Fields]] = {
    "tracking": _tracking,
    "mixpanel": _mixpanel,
    "amplitude": _amplitude,
    "posthog": _posthog,
}
"""The formats by the name that users give them."""


LOCAL_NUMBERS = {"mixpanel"}
"""Formats whose times may count the seconds of the project's clocks: Mixpanel's older projects."""


def detected(record: _Record) -> str | None:
    """Returns the name of the format of a record; None if it is of none."""
    properties = record.get("properties")
    if "event_type" in record:
        return "amplitude"
    if "event" in record and "distinct_id" in record:
        return "posthog"
    if isinstance(properties, Mapping) and "time" in properties and "distinct_id" in properties:
        return "mixpanel"
    if record.get("type") in EVENT_TYPES or "messageId" in record or "userId" in record:
        return "tracking"
    return None


def _context(given: _Record, *, url: str, referrer: str, country: str, os: str) -> Fields:
    page = {"url": given.get(url), "referrer": given.get(referrer)}
    campaign = {ours: given.get(f"utm_{theirs}") for theirs, ours in _UTM.items()}
    parts = {
        "page": page,
        "campaign": campaign,
        "location": {"country": given.get(country)},
        "os": {"name": given.get(os)},
    }
    found = {name: {k: v for k, v in part.items() if v} for name, part in parts.items()}
    return {name: part for name, part in found.items() if part}


def _object(value: object) -> Fields:
    if isinstance(value, str) and value.strip():
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise Bad("properties that are no JSON") from None
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise Bad("properties that are no object")
    return value


def _text(value: object) -> str:
    return "" if value is None else str(value)
