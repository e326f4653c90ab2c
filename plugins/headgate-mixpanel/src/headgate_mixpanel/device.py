"""What the context of an event says of page, device and app, under Mixpanel's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import as_mapping, as_text

__all__ = ["CONTEXT", "device_profile", "taken"]

_Tables = Mapping[str, tuple[tuple[str, str], ...]]
"""Tables of the context to what is taken from them: the key there, and Mixpanel's name."""


def _by_table(*fields: tuple[str, tuple[str, str]]) -> _Tables:
    return {
        table: tuple((key, name) for name, (other, key) in fields if other == table)
        for table in dict.fromkeys(table for _, (table, _) in fields)
    }


CONTEXT = _by_table(
    ("$current_url", ("page", "url")),
    ("$referrer", ("page", "referrer")),
    ("$initial_referrer", ("page", "initial_referrer")),
    ("$initial_referring_domain", ("page", "initial_referring_domain")),
    ("$os", ("os", "name")),
    ("$os_version", ("os", "version")),
    ("$screen_height", ("screen", "height")),
    ("$screen_width", ("screen", "width")),
    ("$screen_dpi", ("screen", "density")),
    ("$carrier", ("network", "carrier")),
    ("$wifi", ("network", "wifi")),
    ("$bluetooth_enabled", ("network", "bluetooth")),
    ("$device", ("device", "name")),
    ("$manufacturer", ("device", "manufacturer")),
    ("$model", ("device", "model")),
    ("mp_device_model", ("device", "model")),
    ("$app_build_number", ("app", "build")),
    ("$app_version_string", ("app", "version")),
    ("$app_name", ("app", "name")),
    ("$app_namespace", ("app", "namespace")),
    ("mp_lib", ("library", "name")),
)
_OF_PROFILES = frozenset(
    {
        *("$initial_referrer", "$initial_referring_domain", "$os", "$carrier", "$wifi"),
        *("$manufacturer", "$model", "$screen_height", "$screen_width"),
    }
)
"""What of the context is a property of the user too."""

_COMPOUND = (dict, list)
_IOS = frozenset({"ios", "ipados", "watchos", "tvos"})
_IOS_PROFILE = _by_table(
    ("$ios_app_release", ("app", "version")),
    ("$ios_app_version", ("app", "build")),
    ("$ios_device_model", ("device", "model")),
    ("$ios_version", ("os", "version")),
)
_ANDROID_PROFILE = _by_table(
    ("$android_app_version", ("app", "version")),
    ("$android_app_version_code", ("app", "build")),
    ("$android_model", ("device", "model")),
    ("$android_manufacturer", ("device", "manufacturer")),
    ("$android_os_version", ("os", "version")),
)


def taken(context: Mapping[str, Any], tables: _Tables) -> dict[str, Any]:
    """What has a value in these tables of the context, under Mixpanel's names."""
    found: dict[str, Any] = {}
    for table, fields in tables.items():
        values = context.get(table)
        if isinstance(values, dict):
            for key, name in fields:
                value = values.get(key)
                if value is not None and value != "" and not isinstance(value, _COMPOUND):
                    found[name] = value
    return found


def device_profile(context: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the user's device, and where push messages reach it."""
    profile = {k: v for k, v in taken(context, CONTEXT).items() if k in _OF_PROFILES}
    device = as_mapping(context.get("device"))
    kind = (as_text(profile.get("$os")) or as_text(device.get("type"))).lower()
    token = as_text(device.get("token"))
    if kind in _IOS:
        profile |= taken(context, _IOS_PROFILE)
        if token:
            profile["$ios_devices"] = [token]
    elif kind == "android":
        profile |= taken(context, _ANDROID_PROFILE)
        brand = as_text(device.get("brand")) or as_text(device.get("manufacturer"))
        if brand:
            profile["$android_brand"] = brand
        if token:
            profile["$android_devices"] = [token]
    return profile
