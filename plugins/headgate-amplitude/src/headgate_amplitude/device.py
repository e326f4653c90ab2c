"""Device and app of an event, in Amplitude's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway import ContextFields, as_mapping, as_text, context_values, mobile_platform

__all__ = ["add_device"]

_FIELDS: ContextFields = {
    "app": (("app_name", "name"), ("app_version", "version")),
    "os": (("os_name", "name"), ("os_version", "version")),
    "device": (
        ("device_model", "model"),
        ("device_manufacturer", "manufacturer"),
        ("device_brand", "manufacturer"),
        ("device_brand", "brand"),
    ),
    "network": (("carrier", "carrier"),),
}
_WEB = frozenset({"analytics.js", "analytics-next", "rudderlabs javascript sdk"})
_SERVER = re.compile(
    r"\b(?:go|golang|http|java|net|node|nodejs|php|python|ruby|rust|server)\b", re.IGNORECASE
)
"""Words in the names of libraries for servers."""

_PLATFORMS = {
    "android": "Android",
    "ios": "iOS",
    "ipados": "iOS",
    "macos": "macOS",
    "mac os x": "macOS",
    "tvos": "tvOS",
    "watchos": "watchOS",
}
"""Amplitude's names for systems that tell the platform; others, such as Windows, do not."""


def add_device(
    payload: dict[str, Any],
    context: Mapping[str, Any],
    device: Mapping[str, Any],
    *,
    user_agent: bool,
) -> None:
    """Adds the device and app of the context to an event.

    Args:
        device: of the context.
        user_agent: whether to send the User-Agent to Amplitude.
    """
    payload |= context_values(context, _FIELDS, as_text)
    agent = as_text(context.get("userAgent"))
    if platform := _platform(context, device, agent):
        payload["platform"] = platform
    if language := as_text(context.get("locale")):
        payload["language"] = language
    if agent and user_agent:
        payload["user_agent"] = agent
    if device:
        _add_device_ids(payload, mobile_platform(context), device)


def _platform(context: Mapping[str, Any], device: Mapping[str, Any], agent: str) -> str:
    """Returns the platform of an event; an empty text if nothing tells it.

    A User-Agent is a browser's, an app's or an HTTP library's, so it tells least of all.
    """
    library = as_text(as_mapping(context.get("library")).get("name"))
    if library.lower() in _WEB:
        return "Web"
    if kind := as_text(device.get("type")):
        return kind
    browser = not device and agent.startswith(("Mozilla/", "Opera/"))
    system = as_text(as_mapping(context.get("os")).get("name")).lower()
    # A device of which neither id nor model is known tells nothing, as in other tools.
    known = not device or device.get("id") or device.get("model")
    if known and not browser and system in _PLATFORMS:
        return _PLATFORMS[system]
    if device or _SERVER.search(library):
        return ""
    if browser:
        return "Web"
    if agent.startswith("Dalvik/"):
        return "Android"
    return "iOS" if "CFNetwork/" in agent and not system else ""


def _add_device_ids(payload: dict[str, Any], platform: str, device: Mapping[str, Any]) -> None:
    advertising = as_text(device.get("advertisingId"))
    if platform == "ios":
        if advertising:
            payload["idfa"] = advertising
        if id_ := as_text(device.get("id")):
            payload["idfv"] = id_
    elif advertising and platform == "android":
        payload["adid"] = advertising
