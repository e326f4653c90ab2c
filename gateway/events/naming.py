"""Names that analytics tools share: of page and screen events, and of campaigns."""

from __future__ import annotations

import re

from gateway.errors import Permanent
from gateway.events.event import Event
from gateway.events.values import as_mapping, as_text

__all__ = ["name_from_template", "utm_parameters"]

_FIELD = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_UTM = {
    "source": "utm_source",
    "medium": "utm_medium",
    "name": "utm_campaign",
    "term": "utm_term",
    "content": "utm_content",
    "id": "utm_id",
}


def name_from_template(template: str, event: Event) -> str:
    """The template filled in; what is absent leaves no gap.

    ``{{name}}``, ``{{category}}`` and ``{{event}}`` stand for the event's own, any other key for
    the property of that name. A page without a name goes by its category.

    Raises:
        Permanent: the name would be empty.
    """
    properties = event.properties
    category = event.category or as_text(properties.get("category"))
    own = event.name or as_text(properties.get("name")) or event.event or ""
    known = {"name": own or category, "category": category, "event": event.event or own}

    def value(match: re.Match[str]) -> str:
        return known.get(match[1]) or as_text(properties.get(match[1]))

    name = " ".join(_FIELD.sub(value, template).split())
    if not name:
        raise Permanent(f"the template {template!r} makes an empty name of this {event.type}")
    return name


def utm_parameters(event: Event) -> dict[str, str]:
    """What ``context.campaign`` says, under the names that campaigns have in URLs."""
    campaign = as_mapping(event.context.get("campaign"))
    if not campaign:
        return {}
    return {utm: text for key, utm in _UTM.items() if (text := as_text(campaign.get(key)))}
