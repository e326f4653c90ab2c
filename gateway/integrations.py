"""The client's say in where an event goes: the user's consent, and the `integrations` object.

Rules: https://segment.com/docs/guides/filtering-data/#filtering-with-the-integrations-object.
A name counts as on for any true value, an object of options included, even an empty one. ``All``
holds for the names that are not there, and is true if absent; it does not reach warehouses and
archives. Names are case-sensitive. ``null`` counts as absent, which
Segment's documentation leaves open. Consent comes first, and no name that is on overrides it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Raw

from gateway.consent import permits
from gateway.event import EMPTY, Event

__all__ = ["options", "refusal"]

_LONGEST_REMEMBERED = 256


def refusal(event: Event, name: str, *, storage: bool, consent: Collection[str] = ()) -> str | None:
    """Why an event does not go to the destination called `name`, or None if it does.

    Args:
        storage: whether it is a warehouse or archive. As in Segment, those are exempt from consent,
            from device mode and from ``All``.
        consent: categories of consent that it is mapped to.

    Returns:
        ``consent``: the user has not consented to all of these; see `gateway.consent`.
        ``integrations``: the client switched it off. ``device_mode``: the client's SDK has served
        the destination itself (`_metadata.bundled`), and sending again would count twice.
    """
    if consent and not storage and not permits(event, consent):
        return "consent"
    if event.raw_metadata is not EMPTY and not storage:
        bundled = event.metadata.get("bundled")
        if isinstance(bundled, list) and name in bundled:
            return "device_mode"
    if event.raw_integrations is EMPTY:
        return None
    integrations = _choices(event)
    value = integrations.get(name)
    if value is None:
        if storage:
            return None
        value = integrations.get("All")
    return None if value is None or isinstance(value, dict) or value else "integrations"


def _choices(event: Event) -> Mapping[str, Any]:
    """The decoded object; remembered by its bytes, as nearly all events of an SDK have the same."""
    if len(event.raw_integrations) > _LONGEST_REMEMBERED:
        return event.integrations
    return _decoded(bytes(event.raw_integrations))


@lru_cache(maxsize=256)
def _decoded(raw: bytes) -> Mapping[str, Any]:
    return Event(raw_integrations=Raw(raw)).integrations


def options(event: Event, name: str) -> Mapping[str, Any]:
    """What the client passed for this destination with this event; empty if nothing."""
    value = event.integrations.get(name)
    return value if isinstance(value, dict) else {}
