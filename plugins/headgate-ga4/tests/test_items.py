"""Items of events: their places, their lengths, and the counts of losses."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Secret
from gateway.testing import make_context, make_event
from headgate_ga4.config import Ga4Config
from headgate_ga4.mapping import Mapper

ITEM = {"item_id": "a", "item_name": "A", "price": 10}


def mapped(tmp_path: Any, **event: Any) -> tuple[dict[str, Any], dict[str, int]]:
    context = make_context(tmp_path)
    config = Ga4Config(api_secret=Secret("s"), measurement_id="G-1")
    found = Mapper(config, context.clock, context.count)(make_event(**event))
    assert found is not None
    return found.event["params"], dict(context.counted)


@pytest.mark.parametrize("event", ["purchase", "Order Completed", "Product Viewed", "Quiz done"])
@pytest.mark.parametrize("key", ["items", "products"])
@pytest.mark.parametrize("listed", [True, False])
def test_items_of_any_event(tmp_path: Any, event: str, key: str, listed: bool) -> None:
    """A list or one object, under Segment's or Google's name, is sent as items."""
    properties = {"order_id": "o", key: [ITEM] if listed else ITEM}
    params, counted = mapped(tmp_path, event=event, properties=properties)
    assert params["items"] == [ITEM]
    assert not [name for name in params if name.startswith(("items_", "products"))]
    assert counted == {}


def test_long_values_of_items_are_cut(tmp_path: Any) -> None:
    """They have the length of a parameter, and are counted like one."""
    products = [{"product_id": "p", "name": "x" * 150}, {"product_id": "y" * 101}]
    properties = {"products": products, "note": "z" * 150}
    params, counted = mapped(tmp_path, event="Cart Viewed", properties=properties)
    assert params["items"] == [{"item_id": "p", "item_name": "x" * 100}, {"item_id": "y" * 100}]
    assert counted == {"values_cut": 3}


def test_keys_of_items(tmp_path: Any) -> None:
    """They are named like parameters, and reserved ones are counted."""
    product = {"product_id": "p", "Shelf No": 3, "_x": 1, "größe": "L"}
    params, counted = mapped(tmp_path, event="Cart Viewed", properties={"products": [product]})
    assert params["items"] == [{"item_id": "p", "Shelf_No": 3, "größe": "L"}]
    assert counted == {"params_misnamed": 1}


def test_products_that_are_none(tmp_path: Any) -> None:
    """A product without id and name is left out, and counted, for every event."""
    properties = {"products": [{"price": 1}, "p", {"name": "A"}]}
    for event in ("Cart Viewed", "Quiz done"):
        params, counted = mapped(tmp_path, event=event, properties=properties)
        assert params["items"] == [{"item_name": "A"}]
        assert counted == {"items_dropped": 2}


@pytest.mark.parametrize(("products", "dropped"), [(["p", "q"], 2), ("p", 1), ([], 0), ({}, 0)])
def test_products_that_are_no_objects(tmp_path: Any, products: Any, dropped: int) -> None:
    """They are counted, and the event's own product is sent instead."""
    properties = {"products": products, "name": "A"}
    params, counted = mapped(tmp_path, event="Product Added", properties=properties)
    assert params["items"] == [{"item_name": "A"}]
    assert counted.get("items_dropped", 0) == dropped


def test_a_list_of_texts_is_no_items(tmp_path: Any) -> None:
    """It is flattened like every other list."""
    params, _ = mapped(tmp_path, event="Quiz done", properties={"items": ["a", "b"]})
    assert (params["items_0"], params["items_1"]) == ("a", "b")


def test_a_group_has_its_session(tmp_path: Any) -> None:
    """Its traits are its properties: they hold the session and its engagement too."""
    traits = {"sessionId": 17, "session_number": 2, "engagementTimeMsec": 500, "plan": "pro"}
    params, _ = mapped(tmp_path, type="group", event=None, group_id="g", traits=traits)
    assert params == {
        "engagement_time_msec": 500,
        "session_id": 17,
        "session_number": 2,
        "group_id": "g",
        "plan": "pro",
    }
