"""An intake that takes a request on the fast path or on the slow one, and a usual request."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway.builtin.sources.segment.config import SegmentConfig
from gateway.builtin.sources.segment.decode import Parsed, parse_batch, parse_event
from gateway.builtin.sources.segment.limits import select
from gateway.events.envelope.client import Client
from gateway.events.envelope.sealed import Origin
from gateway.events.event import encode_events
from gateway.intake.intake import Arrival, Plain
from gateway.testing import START_MS
from tests.support.intake_harness import IntakeHarness

__all__ = ["CLIENT", "COMPACT", "SHOP_EVENT", "FastPathHarness", "dumps"]

COMPACT = {"separators": (",", ":")}
"""Arguments of `dumps` for JSON without blanks."""

CLIENT = Client("203.0.113.9", "Mozilla/5.0", "auto")
SHOP_EVENT = {
    "type": "track",
    "messageId": "m-1",
    "anonymousId": "a",
    "event": "Order Completed",
    "properties": {"revenue": 12.5, "products": [{"sku": "x"}]},
    "context": {"library": {"name": "analytics.js"}, "page": {"url": "https://shop.example/"}},
    "timestamp": "2026-01-05T10:00:00.000Z",
}


def dumps(value: Any, style: dict[str, Any]) -> bytes:
    """Encodes JSON in a style of `json.dumps`."""
    return json.dumps(value, **style).encode("utf-8", "surrogatepass")


class FastPathHarness(IntakeHarness):
    """Takes requests on the fast path, on the slow path, or on both."""

    def take(self, body: Parsed | Plain) -> tuple[list[bytes], dict[str, int]]:
        """Returns the stored events so far, and the counts of a body's discarded events."""
        before = self.ledger.source("web").discarded.copy()
        asyncio.run(self._take(body))
        counts = self.ledger.source("web").discarded - before
        return [encode_events([event]) for event in self.stored()], dict(counts)

    async def _take(self, body: Parsed | Plain) -> None:
        if isinstance(body, Plain):
            origin = Origin(
                "web",
                START_MS,
                body.sent_at,
                body.type,
                CLIENT,
                context=body.context,
                integrations=body.integrations,
            )
            if await self.intake.accept_as_sent(origin, body):
                return
            array = body.array
            body = parse_event(array[1:-1], body.type) if body.type else _parse_array(array, body)
        arrival = Arrival(
            "web",
            START_MS,
            select(body, SegmentConfig()),
            body.discarded,
            body.sent_at,
            CLIENT,
            len(body.body),
        )
        await self.intake.accept(arrival)


def _parse_array(array: bytes, plain: Plain) -> Parsed:
    """Parses the same batch on the slow path."""
    parsed = parse_batch(b'{"batch":%b}' % array)
    parsed.sent_at = plain.sent_at
    parsed.context, parsed.integrations = plain.context, plain.integrations
    return parsed
