"""Names that several analytics vendors share: for page and screen events, and for campaigns."""

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
    """Fills in a template; an absent value leaves no gap.

    ``{{name}}``, ``{{category}}`` and ``{{event}}`` stand for these fields of the event, any other
    key for the property with that name. For a page without a name, ``{{name}}`` is its category.

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
    """Returns the values of ``context.campaign`` under their URL names, such as ``utm_source``."""
    campaign = as_mapping(event.context.get("campaign"))
    if not campaign:
        return {}
    return {utm: text for key, utm in _UTM.items() if (text := as_text(campaign.get(key)))}
