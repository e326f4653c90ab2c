"""Applies the end user's consent, which stands in ``context.consent.categoryPreferences``.

Rules: https://segment.com/docs/privacy/consent-management/consent-in-segment-connections/

A destination may be mapped to consent categories. It gets an event only if the user consented to
all of them. In doubt, the event is not sent: only ``true`` is consent, and a ``consent`` or
``categoryPreferences`` that is neither an object nor null consents to nothing.

For an event without consent data, the source's `consent_default` decides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from gateway.events.event import EMPTY, Event

__all__ = ["CONSENT_EVENT", "Default", "permits"]

CONSENT_EVENT = "Segment Consent Preference Updated"
"""Track event that reports changed preferences. It always passes, so that a refusal is heard of."""

Default = Literal["allow", "deny", "only_unmapped"]
"""Destinations of an event without consent data: all, none, or those mapped to no category."""


def permits(event: Event, categories: Collection[str], default: Default = "allow") -> bool:
    """Tells whether the user's consent lets an event go to a destination mapped to `categories`.

    A destination without categories gets the event, unless the event has no consent data and
    `default` is ``deny``. Absent preferences, as in ``"consent": {}``, refuse the event if its
    `integrations` object is not empty; else they count as no consent data. Preferences that are
    present, even empty, refuse every category that they do not set to true.
    """
    if not categories and default != "deny":
        return True
    consent = _consent(event)
    if _tells_of_consent(event):
        return True
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else consent
    if preferences is None:
        return default == "allow" and (consent is None or not event.integrations)
    if not categories:
        return True
    return (
        isinstance(consent, dict)
        and isinstance(preferences, dict)
        and all(preferences.get(category) is True for category in categories)
    )


def _consent(event: Event) -> Any:
    """Returns the event's consent data or None. Decodes the context only if it may have some."""
    if event.raw_context is EMPTY:
        return None
    raw = bytes(event.raw_context)
    # The second test finds keys that are written with escapes.
    if b"consent" not in raw and b"\\u" not in raw:
        return None
    return event.context.get("consent")


def _tells_of_consent(event: Event) -> bool:
    return event.event == CONSENT_EVENT and event.type == "track"
