"""Segment's e-commerce events, and Google's recommended events for them.

https://segment.com/docs/connections/spec/ecommerce/v2/ and
https://developers.google.com/analytics/devguides/collection/ga4/reference/events
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from gateway import as_number
from headgate_ga4.rules import flattened, param_name

__all__ = ["COMMERCE", "Commerce", "Items", "items_of", "value_of"]


@dataclass(frozen=True, slots=True)
class Commerce:
    """Google's event for an event of Segment.

    Attributes:
        params: Google's parameters, each with the properties that can hold it; the first counts.
        value: kind of its value: of an order, a product or a cart; empty for none.
        items: from ``products``, from the event's own properties (``root``), from those only if
            there are no products (``either``). Without items there, from the event's ``items`` or
            ``products``.
        required: parameters without which Google's event has no meaning.
    """

    name: str
    params: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    value: Literal["", "order", "product", "cart"] = ""
    items: Literal["", "products", "root", "either"] = ""
    required: tuple[str, ...] = ()


_LIST = {
    "item_list_id": ("item_list_id", "list_id"),
    "item_list_name": ("item_list_name", "category"),
}
_PROMOTION = {
    "creative_name": ("creative_name", "creative"),
    "creative_slot": ("creative_slot", "position"),
    "promotion_id": ("promotion_id",),
    "promotion_name": ("promotion_name", "name"),
}
_ORDER = {
    "transaction_id": ("transaction_id", "order_id"),
    "affiliation": ("affiliation",),
    "coupon": ("coupon",),
    "tax": ("tax",),
    "shipping": ("shipping",),
}
_SHARE = {"method": ("share_via",)}
_LEAD = Commerce("generate_lead", value="cart")

COMMERCE: Mapping[str, Commerce] = {
    "PRODUCTS_SEARCHED": Commerce("search", {"search_term": ("query",)}),
    "PRODUCT_LIST_VIEWED": Commerce("view_item_list", _LIST, items="products"),
    "PROMOTION_VIEWED": Commerce("view_promotion", _PROMOTION, items="products"),
    "PROMOTION_CLICKED": Commerce("select_promotion", _PROMOTION, items="products"),
    "PRODUCT_CLICKED": Commerce("select_item", _LIST, items="root"),
    "PRODUCT_VIEWED": Commerce("view_item", value="product", items="root"),
    "PRODUCT_ADDED": Commerce("add_to_cart", value="cart", items="either"),
    "PRODUCT_REMOVED": Commerce("remove_from_cart", value="cart", items="either"),
    "PRODUCT_ADDED_TO_WISHLIST": Commerce("add_to_wishlist", value="product", items="either"),
    "CART_VIEWED": Commerce("view_cart", value="cart", items="products"),
    "CHECKOUT_STARTED": Commerce(
        "begin_checkout", {"coupon": ("coupon",)}, value="order", items="products"
    ),
    "PAYMENT_INFO_ENTERED": Commerce(
        "add_payment_info",
        {"payment_type": ("payment_method",), "coupon": ("coupon",)},
        value="order",
        items="products",
    ),
    "CHECKOUT_STEP_COMPLETED": Commerce(
        "add_shipping_info",
        {"shipping_tier": ("shipping_method",), "coupon": ("coupon",)},
        value="order",
        items="products",
    ),
    "ORDER_COMPLETED": Commerce(
        "purchase", _ORDER, value="order", items="products", required=("transaction_id",)
    ),
    "ORDER_REFUNDED": Commerce(
        "refund", _ORDER, value="order", items="products", required=("transaction_id",)
    ),
    "PRODUCT_SHARED": Commerce("share", {**_SHARE, "item_id": ("product_id", "sku")}),
    "CART_SHARED": Commerce("share", {**_SHARE, "item_id": ("cart_id",)}),
    "SIGNED_IN": Commerce("login"),
    "SIGNED_UP": Commerce("sign_up"),
    "LEAD_GENERATED": _LEAD,
    "GENERATE_LEAD": _LEAD,
    "VIEW_SEARCH_RESULTS": Commerce("view_search_results", items="products"),
}
"""Google's events by Segment's name in capitals, its words joined with ``_``."""

_VALUE = {
    "order": ("revenue", "subtotal", "total", "value"),
    "product": ("value", "total", "price", "revenue"),
    "cart": ("value", "total", "revenue"),
}
_TOTAL_FIRST = {
    "order": ("total", "value", "revenue"),
    "product": ("total", "price", "value", "revenue"),
    "cart": ("total", "value", "revenue"),
}
_ITEM = {
    "product_id": "item_id",
    "name": "item_name",
    "category": "item_category",
    "brand": "item_brand",
    "variant": "item_variant",
    "position": "index",
}
_NUMBERS = {"price", "quantity", "index", "discount"}
_ITEM_KEYS = (
    *("product_id", "item_id", "name", "item_name", "coupon", "category", "brand", "variant"),
    *("price", "quantity", "position", "affiliation", "currency", "discount", "item_category2"),
    *("item_category3", "item_category4", "item_category5", "item_list_id", "item_list_name"),
    "location_id",
)
"""Properties of an event about one product that describe the product."""
_MAX_ITEMS = 200
_ROOT = frozenset(_ITEM_KEYS)
_PLACES = {
    "products": ("products", "items"),
    "either": ("products", "items", "root"),
    "root": ("items", "root", "products"),
    "": ("items", "products"),
}
"""Places of the items, in order; the first with an item counts."""


def value_of(
    kind: str, properties: Mapping[str, Any], *, prefer_total: bool
) -> tuple[float | None, str]:
    """Returns the value of an event and the property that holds it; None if no property does."""
    names = (_TOTAL_FIRST if prefer_total else _VALUE)[kind]
    for name in names:
        number = as_number(properties.get(name))
        if number is not None:
            return number, name
    price, quantity = as_number(properties.get("price")), as_number(properties.get("quantity"))
    if kind != "cart" or price is None:
        return None, ""
    value = price * (1 if quantity is None else quantity)
    return value, ""


class Items(NamedTuple):
    """Items of an event.

    Attributes:
        items: in Google's form.
        taken: properties that are in the items.
        dropped: number of products that are left out.
        misnamed: number of keys of products that are left out for their names.
    """

    items: list[dict[str, Any]]
    taken: frozenset[str] = frozenset()
    dropped: int = 0
    misnamed: int = 0


def items_of(how: str, properties: Mapping[str, Any]) -> Items:
    """Returns the products as Google's items, without those that have neither id nor name."""
    products, own = _entries(properties.get("products")), _entries(properties.get("items"))
    if not any(isinstance(each, dict) for each in own):
        own = []  # a property of that name, which has nothing to do with products
    taken = frozenset({"items"}) if own else frozenset[str]()
    root = {key: properties[key] for key in _ITEM_KEYS if key in properties}
    places = {"products": products, "items": own, "root": [root]}
    dropped = 0
    for place in _PLACES[how]:
        objects = [each for each in places[place] if isinstance(each, dict)]
        made = [_item(each) for each in objects[:_MAX_ITEMS]]
        items = [item for item, _ in made if "item_id" in item or "item_name" in item]
        if place == "root":
            taken |= _ROOT if items else frozenset()
        else:
            dropped += len(places[place]) - len(items)
        if items:
            return Items(items, taken, dropped, sum(misnamed for _, misnamed in made))
    return Items([], taken, dropped)


def _entries(value: object) -> list[Any]:
    """Returns the entries of a list; a value that is no list is its only entry."""
    if isinstance(value, list):
        return value
    return [] if value in (None, "", {}) else [value]


def _item(product: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Returns an item, and the number of keys that Google would refuse."""
    item: dict[str, Any] = {}
    misnamed = 0
    for key, value in flattened(product):
        known = _ITEM.get(key, key)
        name = param_name(known)
        if name is None or (name != known and name in product):
            misnamed += 1
            continue
        kept = as_number(value) if name in _NUMBERS else value
        if kept is not None:
            item.setdefault(name, kept)
    return item, misnamed
