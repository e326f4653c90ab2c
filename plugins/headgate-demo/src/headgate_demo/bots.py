"""Crawlers, which look at pages and buy nothing. `enrich` has marked their events as a bot's."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from msgspec import Raw, json

from gateway import Event, format_ms
from headgate_demo.market import PRODUCTS
from headgate_demo.people import Plan
from headgate_demo.visits import DAY_MS, SOURCE

__all__ = ["bot_events"]

_VISITS_A_DAY = 12
_MOST_PAGES = 9
_CONTEXT = {
    "library": {"name": "analytics.js", "version": "2.1.0"},
    "userAgent": "Mozilla/5.0 (compatible; ExampleBot/1.0; +https://bot.example.com)",
    "headgate": {"bot": True, "channel": "direct", "country": "US"},
}


def bot_events(plan: Plan) -> Iterator[Event]:
    """Yields the events of all bots."""
    random = Random(f"{plan.seed}:bots")  # noqa: S311 - a simulation
    share = plan.people / Plan(plan.end).people
    for visit in range(round(plan.days * _VISITS_A_DAY * share)):
        moment = plan.start_ms + random.randrange(plan.days * DAY_MS)
        for page in range(random.randint(3, _MOST_PAGES)):
            moment += random.randint(400, 3_000)
            if moment >= plan.end_ms:
                break
            path = f"/products/{random.choice(PRODUCTS).id}"
            address = {"path": path, "url": f"https://shop.example.com{path}"}
            yield Event(
                type="page",
                name="Product",
                message_id=f"demo-{plan.seed}-bot-{visit}-{page}",
                source_id=SOURCE,
                anonymous_id=f"demo-bot-{visit}",
                timestamp=format_ms(moment),
                received_at=format_ms(min(moment + 300, plan.end_ms)),
                raw_properties=Raw(json.encode(address)),
                raw_context=Raw(json.encode(_CONTEXT | {"page": address})),
            )
