"""Google's rules for names and values. It answers success and drops what breaks them.

https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference, sections
Limitations and Reserved names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from gateway import Permanent

__all__ = ["MAX_PARAMS", "event_name", "flattened", "is_param_name", "user_properties"]

MAX_PARAMS = 25
_MAX_USER_PROPERTIES = 25
_MAX_USER_PROPERTY = 36  # characters of a value
_MAX_NAME = 40

_RESERVED_EVENTS = frozenset(
    {
        *("ad_activeview", "ad_click", "ad_exposure", "ad_query", "adunit_exposure", "error"),
        *("app_clear_data", "app_install", "app_remove", "app_update", "first_open", "first_visit"),
        *("notification_dismiss", "notification_foreground", "notification_open"),
        *("notification_receive", "os_update", "session_start", "user_engagement"),
        *("app_store_refund", "app_store_subscription_cancel", "app_store_subscription_convert"),
        "app_store_subscription_renew",
    }
)
_OF_APPS_ONLY = frozenset({"ad_impression", "in_app_purchase", "screen_view"})
_RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag.")
_RESERVED_USER_PROPERTIES = frozenset(
    {
        *("first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id"),
        "first_open_after_install",
    }
)
_PARAM = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_USER_PROPERTY = re.compile(r"[A-Za-z]\w{0,23}", re.ASCII)
_NOT_WORD = re.compile(r"\W+", re.ASCII)
_MAX_DEPTH = 10


def event_name(name: str, *, app: bool) -> str:
    """Returns a name for Google: words joined by ``_``, a letter first, at most 40 characters.

    Raises:
        Permanent: Google reserves the name.
    """
    cleaned = _NOT_WORD.sub("_", name.strip())
    if cleaned in _RESERVED_EVENTS or (cleaned in _OF_APPS_ONLY and not app):
        raise Permanent(f"the event name {cleaned} is reserved by Google")
    if cleaned.startswith(_RESERVED_PREFIXES):
        raise Permanent("event names that begin with _, firebase_, ga_ or google_ are Google's own")
    if not cleaned or not cleaned[0].isalpha():
        cleaned = f"e_{cleaned}"
    return cleaned[:_MAX_NAME]


def is_param_name(name: str) -> bool:
    """Tells whether a parameter may have this name."""
    return (
        _PARAM.fullmatch(name) is not None
        and not name.startswith(_RESERVED_PREFIXES)
        and name != "firebase_conversion"
    )


def flattened(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the values in a body under names joined with ``_``; list elements by index."""
    stack: list[tuple[str, Any, int]] = [(key, value, 0) for key, value in body.items()][::-1]
    while stack:
        name, value, depth = stack.pop()
        if isinstance(value, dict | list):
            if depth < _MAX_DEPTH:
                pairs = value.items() if isinstance(value, dict) else enumerate(value)
                stack += [(f"{name}_{key}", inner, depth + 1) for key, inner in pairs][::-1]
        elif value is not None and value != "":
            yield name, value


def user_properties(traits: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], int]:
    """Returns the traits that Google takes, at most 25, and the number of the others."""
    found = {
        key: {"value": value}
        for key, value in traits.items()
        if _USER_PROPERTY.fullmatch(key)
        and key not in _RESERVED_USER_PROPERTIES
        and not key.startswith(_RESERVED_PREFIXES)
        and isinstance(value, str | int | float)
        and 0 < len(str(value)) <= _MAX_USER_PROPERTY
    }
    kept = dict(islice(found.items(), _MAX_USER_PROPERTIES))
    return kept, len(traits) - len(kept)
