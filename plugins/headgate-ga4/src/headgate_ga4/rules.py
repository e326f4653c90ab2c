"""Google's rules for names and values. It answers success and drops what breaks them.

https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference, sections
Limitations and Reserved names.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from itertools import islice
from typing import Any
from unicodedata import normalize

from gateway import Permanent

__all__ = ["MAX_PARAMS", "event_name", "flattened", "param_name", "user_properties"]

MAX_PARAMS = 25
_MAX_USER_PROPERTIES = 25
_MAX_USER_PROPERTY = 36  # characters of a value
_MAX_NAME = 40
_MAX_USER_PROPERTY_NAME = 24

_RESERVED_EVENTS = frozenset(
    {
        *("ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure"),
        *("app_background", "app_clear_data", "app_exception", "app_install", "app_remove"),
        *("app_store_refund", "app_store_subscription_cancel", "app_store_subscription_convert"),
        *("app_store_subscription_renew", "app_update", "app_upgrade", "dynamic_link_app_open"),
        *("dynamic_link_app_update", "dynamic_link_first_open", "error", "first_open"),
        *("first_visit", "notification_dismiss", "notification_foreground", "notification_open"),
        *("notification_receive", "notification_send", "os_update", "session_start"),
        *("session_start_with_rollout", "user_engagement"),
    }
)
_OF_APPS_ONLY = frozenset({"ad_impression", "in_app_purchase", "screen_view"})
_RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag.")
_MADE_HERE = frozenset({"engagement_time_msec", "items", "session_id", "session_number"})
"""Parameters with a meaning for Google; no property takes one of these names by accident."""

_RESERVED_USER_PROPERTIES = frozenset(
    {
        *("first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id"),
        "first_open_after_install",
    }
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SPACES = re.compile(r"\s+")
_NOT_WORD = re.compile(r"\W+")
_MAX_DEPTH = 10


def event_name(name: str, *, app: bool) -> str:
    """Returns a name for Google: words joined by ``_``, a letter first, at most 40 characters.

    Raises:
        Permanent: Google reserves the name.
    """
    name = name.strip()
    joined = _SPACES.sub("_", name)
    reserved = _RESERVED_EVENTS if app else _RESERVED_EVENTS | _OF_APPS_ONLY
    if joined in reserved:
        raise Permanent(f"the event name {joined} is reserved by Google")
    if name.startswith(_RESERVED_PREFIXES):
        raise Permanent("event names that begin with _, firebase_, ga_ or google_ are Google's own")
    return _allowed(name, "e_", _MAX_NAME, reserved)


def param_name(name: str) -> str | None:
    """Returns a name for a parameter by the same rules; None for a name that Google reserves."""
    name = name.strip()
    if not name or name.startswith(_RESERVED_PREFIXES):
        return None
    return _allowed(name, "p_", _MAX_NAME, _MADE_HERE)


def _allowed(name: str, prefix: str, most: int, reserved: Container[str]) -> str:
    """Returns a name of letters, digits and ``_``; letters of all scripts are allowed.

    Args:
        name: a name that Google does not reserve.
        prefix: for a name that would begin with a digit or become reserved.
        most: characters of the name.
    """
    if _PLAIN.fullmatch(name):
        cleaned = name
    else:
        # Marks are no letters: where a letter has its mark in one character, it is kept.
        cleaned = _NOT_WORD.sub("_", normalize("NFC", name)).lstrip("_")
        # A name of signs alone, such as an emoji, is told apart by its code points.
        cleaned = cleaned or "_".join(f"{ord(sign):x}" for sign in name)
    wrong = not cleaned[:1].isalpha() or cleaned.startswith(_RESERVED_PREFIXES)
    if wrong or cleaned[:most] in reserved:
        cleaned = prefix + cleaned
    return cleaned[:most]


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
    found: dict[str, dict[str, Any]] = {}
    for key, value in traits.items():
        name = _user_property_name(key, traits)
        fits = isinstance(value, str | int | float) and 0 < len(str(value)) <= _MAX_USER_PROPERTY
        if name is not None and fits:
            found.setdefault(name, {"value": value})
    kept = dict(islice(found.items(), _MAX_USER_PROPERTIES))
    return kept, len(traits) - len(kept)


def _user_property_name(name: str, traits: Mapping[str, Any]) -> str | None:
    """Returns a name for a user property; None if Google reserves it or another trait has it."""
    own = name.strip()
    if not own or own in _RESERVED_USER_PROPERTIES or own.startswith(_RESERVED_PREFIXES):
        return None
    made = _allowed(own, "p_", _MAX_USER_PROPERTY_NAME, _RESERVED_USER_PROPERTIES)
    return None if made != name and made in traits else made
