"""The end user's say in where an event goes: ``context.consent.categoryPreferences``.

Rules: https://segment.com/docs/privacy/consent-management/consent-in-segment-connections/. A
destination may be mapped to categories of consent, and gets an event only if the user consented to
every one of them. What that leaves open is decided against sending: only ``true`` is consent, and a
``consent`` or ``categoryPreferences`` that is neither an object nor null consents to nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.event import EMPTY, Event

__all__ = ["CONSENT_EVENT", "permits"]

CONSENT_EVENT = "Segment Consent Preference Updated"
"""Track event that tells of a change of mind; withheld, nobody would hear of a refusal."""


def permits(event: Event, categories: Collection[str]) -> bool:
    """Whether the user's consent lets an event go to a destination mapped to `categories`.

    It does where nothing is mapped, and where the event says nothing of consent. Preferences that
    are absent, as in ``"consent": {}``, refuse only if the event has an `integrations` object that
    is not empty; preferences that are there, though empty, refuse what they do not set to true.
    """
    if not categories or event.raw_context is EMPTY:
        return True
    raw = bytes(event.raw_context)
    # The second test is for who writes the key with escapes: it means the same.
    if b"consent" not in raw and b"\\u" not in raw:
        return True
    consent = event.context.get("consent")
    if consent is None or (event.event == CONSENT_EVENT and event.type == "track"):
        return True
    if not isinstance(consent, dict):
        return False
    preferences = consent.get("categoryPreferences")
    if preferences is None:
        return not event.integrations
    return isinstance(preferences, dict) and all(
        preferences.get(category) is True for category in categories
    )
