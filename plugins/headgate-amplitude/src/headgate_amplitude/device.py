"""What the context of an event says of device and app, in Amplitude's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import as_mapping, as_text

__all__ = ["add_device"]

_IOS = frozenset({"ios", "ipados", "watchos", "tvos"})
_CONTEXT: Mapping[str, tuple[tuple[str, str], ...]] = {
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
"""Tables of the context to Amplitude's fields, and the key that each is taken from."""

_WEB = frozenset({"analytics.js", "analytics-next"})


def add_device(
    payload: dict[str, Any],
    context: Mapping[str, Any],
    device: Mapping[str, Any],
    *,
    user_agent: bool,
) -> None:
    """Add what is known of the device to an event.

    Args:
        device: of the context.
        user_agent: whether Amplitude gets the User-Agent.
    """
    for table, fields in _CONTEXT.items():
        values = context.get(table)
        if isinstance(values, dict):
            for key, name in fields:
                if text := as_text(values.get(name)):
                    payload[key] = text
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
        _add_device_ids(payload, device)


def _add_device_ids(payload: dict[str, Any], device: Mapping[str, Any]) -> None:
    advertising = as_text(device.get("advertisingId"))
    kind = (payload.get("os_name") or as_text(device.get("type"))).lower()
    if kind in _IOS:
        if advertising:
            payload["idfa"] = advertising
        if as_text(device.get("id")):
            payload["idfv"] = as_text(device.get("id"))
    elif advertising and kind == "android":
        payload["adid"] = advertising
