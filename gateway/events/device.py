"""Device and app in the context of an event, for destinations that rename them for a vendor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gateway.events.values import as_mapping, as_text

__all__ = ["ContextFields", "context_values", "mobile_platform"]

ContextFields: TypeAlias = Mapping[str, tuple[tuple[str, str], ...]]
"""Tables of the context, such as ``os``, to pairs of a vendor's name and the key in the table."""

_APPLE = frozenset({"ios", "ipados", "watchos", "tvos"})


def context_values(
    context: Mapping[str, Any], fields: ContextFields, read: Callable[[Any], Any]
) -> dict[str, Any]:
    """Returns values of the context under a vendor's names.

    Of several keys for one name the last that has a value counts.

    Args:
        read: converts a value. None and empty texts are left out, before and after it.
    """
    found: dict[str, Any] = {}
    for table, pairs in fields.items():
        values = context.get(table)
        if isinstance(values, dict):
            for name, key in pairs:
                value = values.get(key)
                if value is not None and (value := read(value)) is not None and value != "":
                    found[name] = value
    return found


def mobile_platform(context: Mapping[str, Any]) -> str:
    """Returns ``ios`` for Apple's mobile systems, ``android``, or an empty text for all others.

    The name of the operating system decides, or else the type of the device.
    """
    system = as_text(as_mapping(context.get("os")).get("name"))
    kind = (system or as_text(as_mapping(context.get("device")).get("type"))).lower()
    if kind in _APPLE:
        return "ios"
    return kind if kind == "android" else ""
