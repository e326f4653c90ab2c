"""The marketing channel of an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import Batch
from gateway.testing import make_event
from headgate_lake.channels import RULES

Rows = Callable[..., list[tuple[Any, ...]]]

SHOP = "https://shop.example.com/x"


def visit(referrer: str = "", query: str = "", medium: str = "", source: str = "") -> Any:
    """Returns the context of a page that somebody came to."""
    campaign = {"medium": medium, "source": source}
    page = {"url": SHOP + query, "referrer": referrer}
    return {"page": page} | ({"campaign": campaign} if medium or source else {})


CASES = [
    (visit(), "direct"),
    (visit("https://www.google.co.uk/"), "search"),
    (visit("https://duckduckgo.com/?q=x"), "search"),
    (visit("https://google.shop.example.net/"), "referral"),
    (visit("https://mail.google.com/"), "email"),
    (visit("https://l.facebook.com/l.php"), "social"),
    (visit("https://t.co/abc"), "social"),
    (visit("https://x.other.com/"), "referral"),
    (visit("https://blog.example.org/"), "referral"),
    (visit("https://shop.example.com/before"), None),
    (visit("https://www.google.com/", "?gclid=g"), "paid search"),
    (visit("", "?ttclid=g"), "paid social"),
    (visit("", "?fbclid=g"), "social"),
    (visit("", "", "CPC", "Google"), "paid search"),
    (visit("", "", "cpc", "facebook"), "paid social"),
    (visit("", "", "cpc", "taboola"), "paid other"),
    (visit("", "", "paid-video", "vimeo"), "paid other"),
    (visit("", "", "cpm", "vimeo"), "display"),
    (visit("https://www.google.com/", "", "Email", "june"), "email"),
    (visit("", "", "affiliates", "a"), "affiliate"),
    (visit("", "", "sms", "a"), "sms"),
    (visit("", "", "web_push", "a"), "push"),
    (visit("", "", "social", "a"), "social"),
    (visit("", "", "", "instagram"), "social"),
    (visit("", "", "organic", "a"), "search"),
    (visit("https://www.google.com/", "", "poster", "town"), "other"),
    ({}, None),
]


async def test_the_first_rule_that_is_met_decides(
    make: Any, batch_of: Callable[..., Batch], rows: Rows
) -> None:
    """Click ids go before campaigns, and campaigns before referrers; a visit has one channel."""
    lake = await make()
    events = [
        make_event(message_id=f"{n:02d}", context=context) for n, (context, _) in enumerate(CASES)
    ]
    await lake.send(batch_of(events))
    found = [channel for _, channel in sorted(rows("message_id, channel"))]
    assert found == [channel for _, channel in CASES]
    assert {rule.channel for rule in RULES} <= set(found)
