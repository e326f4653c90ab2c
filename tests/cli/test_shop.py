"""The simulated shop: repeatable, in order, and true to the e-commerce specification."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.demo.shop import OPENING_MS, Shop, steady_clock
from gateway.cli.demo.shop.stock import CATEGORIES
from gateway.events.envelope.normalise import normalise
from gateway.events.envelope.validate import validate
from gateway.events.timestamps import parse_ms
from tests.support.sizes import examples

Sample = list[tuple[float, dict[str, Any]]]


def first(shop: Shop, number: int) -> Sample:
    return list(islice(shop.events(), number))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return first(Shop(seed=1, visitors_per_minute=600), 20_000)


@pytest.fixture(scope="module")
def tracks(sample: Sample) -> list[dict[str, Any]]:
    return [event for _, event in sample if event["type"] == "track"]


@given(seed=st.integers(0, 2**63), rate=st.floats(1, 5000), warm_up=st.floats(0, 5))
@settings(max_examples=examples(10, 100), deadline=None)
def test_same_arguments_same_events(seed: int, rate: float, warm_up: float) -> None:
    """For any seed and rate, playing a shop twice gives the same bytes."""
    shop = Shop(seed, rate, warm_up_seconds=warm_up)
    again = Shop(seed, rate, warm_up_seconds=warm_up)
    assert msgspec.json.encode(first(shop, 60)) == msgspec.json.encode(first(again, 60))


def test_an_iterator_does_not_disturb_another() -> None:
    """Two iterators of one shop, read in turns, give the same events as one alone."""
    shop = Shop(seed=3)
    pairs = list(islice(zip(shop.events(), shop.events(), strict=True), 200))
    assert [a for a, _ in pairs] == [b for _, b in pairs] == first(shop, 200)


def test_another_seed_is_another_shop(sample: Sample) -> None:
    """No message id of one seed occurs under another."""
    other = first(Shop(seed=2, visitors_per_minute=600), 2000)
    ids = {event["messageId"] for _, event in sample}
    assert ids.isdisjoint(event["messageId"] for _, event in other)


@given(seed=st.integers(0, 1000), rate=st.floats(1, 5000))
@settings(max_examples=examples(10, 100), deadline=None)
def test_events_come_in_order_of_time(seed: int, rate: float) -> None:
    """Times never go back and are never negative."""
    offsets = [offset for offset, _ in first(Shop(seed, rate, warm_up_seconds=5), 100)]
    assert offsets == sorted(offsets)
    assert offsets[0] >= 0


def test_message_ids_are_unique(sample: Sample) -> None:
    """No two events share a message id."""
    assert len({event["messageId"] for _, event in sample}) == len(sample)


def test_the_clock_dates_events_and_nothing_else() -> None:
    """Timestamps follow the clock; with another clock all else stays the same."""
    slow = first(Shop(1), 300)
    fast = first(Shop(1, clock=steady_clock(0, speed=10)), 300)
    for (offset, one), (_, other) in zip(slow, fast, strict=True):
        assert parse_ms(one.pop("timestamp")) == OPENING_MS + round(offset * 1000)
        assert parse_ms(other.pop("timestamp")) == round(offset * 100)
        assert one == other


def test_the_rate_is_what_was_asked_for() -> None:
    """In the long run as many visitors a minute arrive as requested."""
    sample = first(Shop(seed=5, visitors_per_minute=300, warm_up_seconds=0), 30_000)
    minutes = sample[-1][0] / 60
    people = {event["anonymousId"] for _, event in sample}
    assert 300 * minutes == pytest.approx(len(people), rel=0.1)


def test_every_event_is_accepted_by_the_gateways_own_rules(sample: Sample) -> None:
    """No event that the shop sends would be discarded."""
    fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
    for _, event in sample:
        assert validate(normalise(fields.decode(msgspec.json.encode(event)))) is None


def test_all_types_and_the_whole_funnel_occur(sample: Sample) -> None:
    """Every type of event and each step from search to refund is there, in falling numbers."""
    assert {event["type"] for _, event in sample} == {
        *("track", "identify", "page", "screen", "group", "alias")
    }
    seen = Counter(event["event"] for _, event in sample if "event" in event)
    funnel = [
        "Product List Viewed",
        "Product Viewed",
        "Product Added",
        "Checkout Started",
        "Order Completed",
        "Order Refunded",
    ]
    numbers = [seen[name] for name in funnel]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] > 0
    assert seen["Products Searched"] > 0
    assert seen["Signed Up"] > 0


def test_track_events_have_the_size_of_real_ones(tracks: list[dict[str, Any]]) -> None:
    """A track event is 1.2 KB of JSON on average, and none comes near the limit of 32 KB."""
    sizes = [len(msgspec.json.encode(event)) for event in tracks]
    assert sum(sizes) / len(sizes) == pytest.approx(1200, rel=0.1)
    assert max(sizes) < 8000


def test_events_carry_the_context_of_their_device(sample: Sample) -> None:
    """Events of site, app and servers differ by their library, each with its own fields."""
    libraries = set()
    for _, event in sample:
        context = event["context"]
        libraries.add(context["library"]["name"])
        if context["library"]["name"] == "analytics.js":
            assert context["userAgent"].startswith("Mozilla/5.0")
            assert {"locale", "screen", "page"} <= context.keys()
        elif event["type"] == "screen":
            assert {"app", "device", "os", "screen", "locale"} <= context.keys()
    assert len(libraries) == 4
    assert any("campaign" in event["context"] for _, event in sample)


def test_orders_add_up(tracks: list[dict[str, Any]]) -> None:
    """Revenue is the lines less the discount; the total is revenue, shipping and tax."""
    orders = [event["properties"] for event in tracks if event["event"] == "Order Completed"]
    assert any("coupon" in order for order in orders)
    for order in orders:
        lines = sum(line["price"] * line["quantity"] for line in order["products"])
        assert order["revenue"] == pytest.approx(lines - order["discount"])
        assert order["total"] == pytest.approx(order["revenue"] + order["shipping"] + order["tax"])
        assert (order["discount"] > 0) == ("coupon" in order)


def test_prices_and_names_are_those_of_the_catalogue(tracks: list[dict[str, Any]]) -> None:
    """A product has the same name and price in every event."""
    known = {p.sku: (p.name, p.cents / 100) for shelf in CATEGORIES.values() for p in shelf}
    assert len(known) == sum(map(len, CATEGORIES.values()))
    mentioned = 0
    for event in tracks:
        properties = event["properties"]
        for product in (properties, *properties.get("products", ())):
            if "sku" in product:
                mentioned += 1
                assert (product["name"], product["price"]) == known[product["sku"]]
    assert mentioned > 1000


def test_a_visitor_is_anonymous_until_signing_in(sample: Sample) -> None:
    """An anonymous id has at most one user id, and keeps it."""
    users: dict[str, str] = {}
    newcomers = set()
    for _, event in sample:
        anonymous, user = event["anonymousId"], event.get("userId")
        assert users.get(anonymous) in (None, user)
        if user is not None:
            users[anonymous] = user
        if event["type"] == "alias":
            assert event["previousId"] == anonymous
            assert users[anonymous] == user
            newcomers.add(user)
    assert 0 < len(newcomers) < len(set(users.values()))


def test_refunds_follow_their_order(tracks: list[dict[str, Any]]) -> None:
    """A refund names an order that was completed, with its total, and a server sends it."""
    shop = first(Shop(seed=1, visitors_per_minute=600, warm_up_seconds=0), 20_000)
    totals: dict[str, float] = {}
    refunds = 0
    for _, event in shop:
        properties = event.get("properties", {})
        if event.get("event") == "Order Completed":
            totals[properties["order_id"]] = properties["total"]
        elif event.get("event") == "Order Refunded":
            refunds += 1
            assert totals[properties["order_id"]] == properties["total"]
            assert event["context"]["library"]["name"] == "@segment/analytics-node"
    assert refunds > 0


def test_members_of_a_company_join_its_group(sample: Sample) -> None:
    """A group event has the company's traits, and its id is in the context from then on."""
    joined: dict[str, str] = {}
    for _, event in sample:
        anonymous = event["anonymousId"]
        if event["type"] == "group":
            joined[anonymous] = event["groupId"]
            assert {"name", "industry", "employees", "plan"} == event["traits"].keys()
        elif anonymous in joined and event.get("event") != "Order Refunded":
            assert event["context"]["groupId"] == joined[anonymous]
    assert len(set(joined.values())) > 1


@pytest.mark.parametrize("arguments", [{"visitors_per_minute": 0}, {"warm_up_seconds": -1}])
def test_impossible_shops_are_refused(arguments: dict[str, float]) -> None:
    """A shop without visitors or with a negative time is an error, not an endless loop."""
    with pytest.raises(ValueError, match="must"):
        Shop(1, **arguments)
