"""Events as they are read from the queue, with bodies that are not decoded yet."""

from __future__ import annotations

from gateway.events.event import Event, decode_events, encode_events
from gateway.testing import make_event

__all__ = ["as_stored", "typed_order"]


def as_stored(event: Event) -> Event:
    """Encodes and decodes an event, as a queue does."""
    return decode_events(encode_events([event]))[0]


def typed_order() -> Event:
    """Makes a stored order whose properties have values of all types."""
    event = make_event(
        user_id=None,
        anonymous_id="a-1",
        properties={
            "revenue": 120,
            "total": 99.5,
            "coupon": None,
            "paid": True,
            "zero": 0,
            "currency": "USD",
            "note": "Ünïcode \U0001f600",
            "tags": ["new", 3, True],
            "products": [{"sku": "A-1"}, {"sku": "B-2"}],
            "my key": "x",
        },
        context={"library": {"name": "analytics.js"}, "page": {"url": "https://x.org/a?b"}},
        traits={"plan": "pro"},
    )
    return as_stored(event)
