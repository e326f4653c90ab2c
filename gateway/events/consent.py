"""The end user's say in where an event goes: ``context.consent.categoryPreferences``.

Rules: https://segment.com/docs/privacy/consent-management/consent-in-segment-connections/. A
destination may be mapped to categories of consent, and gets an event only if the user consented to
every one of them. What that leaves open is decided against sending: only ``true`` is consent, and a
``consent`` or ``categoryPreferences`` that is neither an object nor null consents to nothing.

Where an event says nothing of consent, its source decides (`consent_default`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from gateway.events.event import EMPTY, Event

__all__ = ["CONSENT_EVENT", "Default", "permits"]

CONSENT_EVENT = "Segment Consent Preference Updated"
"""Track event that tells of a change of mind; withheld, nobody would hear of a refusal."""

Default = Literal["allow", "deny", "only_unmapped"]
"""What becomes of an event that says nothing of consent: it goes to all destinations, to none, or
to those that are mapped to no category."""


def permits(event: Event, categories: Collection[str], default: Default = "allow") -> bool:
    """Whether the user's consent lets an event go to a destination mapped to `categories`.

    It does where nothing is mapped, unless the event says nothing of consent and `default` is
    ``deny``. Preferences that are absent, as in ``"consent": {}``, refuse only if the event has an
    `integrations` object that is not empty, and are nothing said otherwise; preferences that are
    there, though empty, refuse what they do not set to true.
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
    """What an event says; None for nothing. The context is decoded only if it may say something."""
    if event.raw_context is EMPTY:
        return None
    raw = bytes(event.raw_context)
    # The second test is for who writes the key with escapes: it means the same.
    if b"consent" not in raw and b"\\u" not in raw:
        return None
    return event.context.get("consent")


def _tells_of_consent(event: Event) -> bool:
    return event.event == CONSENT_EVENT and event.type == "track"
