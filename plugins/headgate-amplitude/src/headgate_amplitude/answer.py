"""Answers of Amplitude: which events it refuses, and which it wants later.

A 400 refuses a whole request and names the events at fault. A 429 names the users and devices that
send too much (https://amplitude.com/docs/apis/analytics/http-v2, section Responses). The other
events of the request have to be sent again at once, without those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway import (
    DeliveryError,
    Item,
    Mask,
    Misconfigured,
    Permanent,
    Reply,
    Split,
    Throttled,
    as_mapping,
)

__all__ = ["split_by_name"]

THROTTLED_SECONDS = 30.0
"""Pause that Amplitude asks of a user or device that sends too fast."""

QUOTA_SECONDS = 3600.0
"""Pause for a user or device that is over its daily quota."""

_BY_FIELD = (
    "events_with_invalid_fields",
    "events_with_missing_fields",
    "events_with_invalid_id_lengths",
)


def split_by_name(reply: Reply, items: Sequence[Item], mask: Mask) -> None:
    """Raises if some of the events made Amplitude refuse the request; else returns.

    Raises:
        Split: with the events at fault; a 400 may name none.
        Misconfigured: the key is at fault, not the events.
    """
    found = reply.json()
    answer = found if isinstance(found, dict) else {}
    if reply.status == 429:
        throttled = _throttled(answer, items)
        if throttled:
            raise Split("HTTP 429: some users or devices send too many events", throttled)
    if reply.status != 400:
        return
    text = mask.excerpt(answer["error"] if isinstance(answer.get("error"), str) else "")
    if answer.get("missing_field") == "api_key" or "api key" in text.lower():
        raise Misconfigured(f"HTTP 400: {text or 'the api_key is missing'}")
    failed: dict[int, DeliveryError] = {}
    for key in _BY_FIELD:
        for field, places in as_mapping(answer.get(key)).items():
            for place in _places(places, len(items)):
                reason = f"HTTP 400: {text}: {mask.excerpt(field)}"
                failed.setdefault(place, Permanent(reason))
    for place in _places(answer.get("silenced_events"), len(items)):
        failed.setdefault(place, Permanent(f"HTTP 400: {text}: silenced by Amplitude"))
    shown = text or mask.excerpt(reply.body.decode(errors="replace"))
    raise Split(f"HTTP 400: {shown}", failed)


def _throttled(answer: Mapping[str, Any], items: Sequence[Item]) -> dict[int, DeliveryError]:
    fast = dict.fromkeys(_places(answer.get("throttled_events"), len(items)), THROTTLED_SECONDS)
    waits: dict[tuple[str, str], float] = {}
    for key, field, seconds in (
        ("throttled_users", "user_id", THROTTLED_SECONDS),
        ("throttled_devices", "device_id", THROTTLED_SECONDS),
        ("exceeded_daily_quota_users", "user_id", QUOTA_SECONDS),
        ("exceeded_daily_quota_devices", "device_id", QUOTA_SECONDS),
    ):
        for id_ in as_mapping(answer.get(key)):
            waits[field, id_] = seconds
    if waits:
        for place, item in enumerate(items):
            ids = msgspec.json.decode(item.body)
            found = [waits.get((field, ids.get(field))) for field in ("user_id", "device_id")]
            longest = max((wait for wait in found if wait is not None), default=None)
            if longest is not None:
                fast[place] = max(longest, fast.get(place, 0.0))
    return {
        place: Throttled("HTTP 429: this user or device sends too many events", seconds)
        for place, seconds in fast.items()
    }


def _places(value: object, count: int) -> list[int]:
    if not isinstance(value, list):
        return []
    return [v for v in value if type(v) is int and 0 <= v < count]
