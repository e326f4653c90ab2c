"""Device and app of an event, in Amplitude's fields."""

from __future__ import annotations

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
_WEB = frozenset({"analytics.js", "analytics-next"})


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
    library = as_text(as_mapping(context.get("library")).get("name"))
    if library in _WEB or (agent and not device):
        payload["platform"] = "Web"
    elif kind := as_text(device.get("type")):
        payload["platform"] = kind
    if language := as_text(context.get("locale")):
        payload["language"] = language
    if agent and user_agent:
        payload["user_agent"] = agent
    if device:
        _add_device_ids(payload, mobile_platform(context), device)


def _add_device_ids(payload: dict[str, Any], platform: str, device: Mapping[str, Any]) -> None:
    advertising = as_text(device.get("advertisingId"))
    if platform == "ios":
        if advertising:
            payload["idfa"] = advertising
        if id_ := as_text(device.get("id")):
            payload["idfv"] = id_
    elif advertising and platform == "android":
        payload["adid"] = advertising
