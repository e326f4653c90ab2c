"""All that is known of a profile, as JSON values: for commands, and for people who ask for it."""

from __future__ import annotations

from typing import Any

from gateway import format_ms
from headgate_profiles.profile import Profile, Schema

__all__ = ["described"]


def described(profile: Profile, schema: Schema, now_ms: int) -> dict[str, Any]:
    """Returns identifiers, traits with their origins, counts, consent, arms and accounts."""
    activity = profile.activity
    return {
        "profile": str(profile.number),  # it has more digits than a JSON number may
        "identifiers": [
            {
                "type": one.identifier.type,
                "value": one.identifier.value,
                "first_at": format_ms(one.first_ms),
                "last_at": format_ms(one.last_ms),
            }
            for one in profile.held
        ],
        "traits": {
            name: {"value": trait.value, "computed": True}
            if trait.origin is None
            else {
                "value": trait.value,
                "at": format_ms(trait.origin.at_ms),
                "source": trait.origin.source,
                "message_id": trait.origin.message_id,
            }
            for name, trait in profile.shown(schema, now_ms)
        },
        "first_event_at": format_ms(activity.first_ms) if activity.first_ms else None,
        "last_event_at": format_ms(activity.last_ms) if activity.last_ms else None,
        "events": dict(sorted(activity.counts.items(), key=lambda item: (-item[1], item[0]))),
        "consent": {
            category: {"value": value, "at": format_ms(at_ms)}
            for category, (value, at_ms) in sorted(activity.consent.items())
        },
        "groups": {
            group: {"arm": arm, "at": format_ms(at_ms)}
            for group, (arm, at_ms) in sorted(activity.arms.items())
        },
        "accounts": {account: {"at": format_ms(at_ms)} for account, at_ms in profile.accounts},
    }
