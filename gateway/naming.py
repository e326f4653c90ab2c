"""Names of page and screen events, which have none that an analytics tool could count by."""

from __future__ import annotations

import re

from gateway.event import Event
from gateway.values import as_text

__all__ = ["name_by"]

_FIELD = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def name_by(template: str, event: Event) -> str:
    """The template filled in; what is absent leaves no gap.

    ``{{name}}``, ``{{category}}`` and ``{{event}}`` stand for the event's own, any other key for
    the property of that name. A page without a name goes by its category.
    """
    properties = event.properties
    category = event.category or as_text(properties.get("category"))
    own = event.name or as_text(properties.get("name")) or event.event or ""
    known = {"name": own or category, "category": category, "event": event.event or own}

    def value(match: re.Match[str]) -> str:
        return known.get(match[1]) or as_text(properties.get(match[1]))

    return " ".join(_FIELD.sub(value, template).split())
