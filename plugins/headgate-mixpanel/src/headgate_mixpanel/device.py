"""Page, device and app of an event, under Mixpanel's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import ContextFields, as_mapping, as_text, context_values, mobile_platform

__all__ = ["context_properties", "device_profile"]


def _by_table(*fields: tuple[str, tuple[str, str]]) -> ContextFields:
    """Groups pairs of Mixpanel's name and (table, key) by the table."""
    return {
        table: tuple((name, key) for name, (other, key) in fields if other == table)
        for table in dict.fromkeys(table for _, (table, _) in fields)
    }


_CONTEXT = _by_table(
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
"""Properties of events that are properties of the user too."""

_COMPOUND = (dict, list)
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


def context_properties(context: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the properties of an event that its context holds."""
    return context_values(context, _CONTEXT, _scalar)


def device_profile(context: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the properties of a user that the context holds, and their tokens for push."""
    profile = {k: v for k, v in context_properties(context).items() if k in _OF_PROFILES}
    device = as_mapping(context.get("device"))
    platform = mobile_platform(context)
    token = as_text(device.get("token"))
    if platform == "ios":
        profile |= context_values(context, _IOS_PROFILE, _scalar)
        if token:
            profile["$ios_devices"] = [token]
    elif platform == "android":
        profile |= context_values(context, _ANDROID_PROFILE, _scalar)
        brand = as_text(device.get("brand")) or as_text(device.get("manufacturer"))
        if brand:
            profile["$android_brand"] = brand
        if token:
            profile["$android_devices"] = [token]
    return profile


def _scalar(value: Any) -> Any:
    return None if isinstance(value, _COMPOUND) else value
