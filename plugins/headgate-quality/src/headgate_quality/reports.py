"""Events that a tracking plan makes: reports of violations, and copies of blocked events.

"Violation Generated" has the form that Segment documents at
https://segment.com/docs/protocols/validate/forward-violations/. It repeats the names of fields and
what is wrong with them, never a value of the event's properties or traits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gateway import Event
from headgate_quality.tracking_plan import TrackingPlan
from headgate_quality.violations import MAX_TEXT, Violation

__all__ = ["REPORT_NAME", "REPORT_USER", "described", "forwarded", "report", "with_protocols"]

REPORT_NAME = "Violation Generated"
REPORT_USER = "schema-violations"

_APP = ("name", "version", "build", "namespace")
_LIBRARY = ("name", "version")
_ID_DIGITS = 32
_NO_INTEGRATIONS = Raw(b"{}")


def report(event: Event, violation: Violation, plan: TrackingPlan, to: str, by: str) -> Event:
    """Makes the event that reports a violation.

    Args:
        to: id of the source that it is attributed to.
        by: id of the transform. The report's message id is made from this id, the event and the
            violation, so an event that is sent again is reported under the same message id.
    """
    app = _texts(event.context.get("app"), _APP)
    library = _texts(event.context.get("library"), _LIBRARY)
    made = Event(
        type="track",
        event=REPORT_NAME,
        user_id=REPORT_USER,
        message_id=_report_id(event, violation, by),
        timestamp=event.received_at,
        original_timestamp=event.received_at,
        sent_at=event.received_at,
        received_at=event.received_at,
        source_id=to,
        version=event.version,
        raw_integrations=_NO_INTEGRATIONS,
    )
    made.context = {"app": app or None, "library": library or None}
    made.properties = {
        "appVersion": app.get("version", ""),
        "eventMessageID": event.message_id,
        "eventName": (event.event or event.name or "")[:MAX_TEXT],
        "eventSentAt": event.sent_at,
        "eventTimestamp": event.timestamp,
        "eventType": event.type,
        "sourceID": event.source_id,
        "sourceName": event.source_id,
        "sourceSlug": event.source_id,
        "trackingPlanID": plan.id or by,
        "trackingPlanName": plan.name or by,
        "violationDescription": violation.description,
        "violationField": violation.field,
        "violationType": violation.kind,
    }
    made.extra = {"forwardedFromProject": event.source_id}
    return made


def forwarded(event: Event, to: str, violations: Sequence[Violation]) -> Event:
    """Makes a copy of a blocked event for another source, with its origin and the violations."""
    copy = event.copy()
    copy.source_id = to
    copy.extra = {**event.extra, "forwardedFromProject": event.source_id}
    copy.context = with_protocols(
        event.context, {"sourceId": event.source_id, "violations": described(violations)}
    )
    return copy


def described(violations: Sequence[Violation]) -> list[dict[str, str]]:
    """Returns violations in the form of `context.protocols.violations`."""
    return [{"type": v.kind, "field": v.field, "description": v.description} for v in violations]


def with_protocols(context: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the context with these keys added to its `protocols`."""
    protocols = context.get("protocols")
    known = protocols if isinstance(protocols, dict) else {}
    return {**context, "protocols": {**known, **found}}


def _report_id(event: Event, violation: Violation, by: str) -> str:
    parts = (by, event.source_id, event.message_id, violation.kind, violation.path)
    return f"sch-{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:_ID_DIGITS]}"


def _texts(value: object, keys: Sequence[str]) -> dict[str, str]:
    """Returns the texts that an object has under these keys, cut to `MAX_TEXT`."""
    if not isinstance(value, dict):
        return {}
    found = {key: value.get(key) for key in keys}
    return {key: text[:MAX_TEXT] for key, text in found.items() if isinstance(text, str)}
