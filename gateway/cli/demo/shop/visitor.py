"""One visit to the shop, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

from gateway.cli.demo.shop.stock import (
    BROWSERS,
    CAMPAIGNS,
    CATEGORIES,
    COUPONS,
    ORIGIN,
    PHONES,
    PLACES,
    QUERIES,
    REFERRERS,
    REGULARS,
    Browser,
    Phone,
    Product,
    person,
)

__all__ = ["ShopEvent", "Steps", "Visitor"]

ShopEvent: TypeAlias = dict[str, Any]
"""An event as an SDK sends it in a batch. Nested parts can be shared, so never change them."""

Steps: TypeAlias = Iterator[tuple[float, ShopEvent]]
"""Steps of a visit: seconds since the previous step, and the event."""

_CURRENCY = "USD"
_FREE_SHIPPING_CENTS = 75_00
_SHIPPING_CENTS = 4_95
_TAX_PERCENT = 8
_COMPANY_QUANTITY = 10


class Visitor:
    """A visitor of the site or the app.

    Args:
        seed: of the shop.
        number: of the visitor. The same seed and number always give the same visit.
    """

    def __init__(self, seed: int, number: int) -> None:
        self._rng = rng = Random(f"{seed}:visitor:{number}")  # noqa: S311 - nothing secret
        self._anonymous_id = self._uuid()
        self._token = f"{rng.getrandbits(40):010x}"
        self._order_id = f"order-{100_000 + number}"
        self._has_account = rng.random() < 0.4
        self._signed_in = self._has_account and rng.random() < 0.5
        self._person = person(
            seed, rng.randrange(REGULARS) if self._has_account else REGULARS + number
        )
        self._cart: dict[Product, int] = {}
        self._phone = rng.choice(PHONES) if rng.random() < 0.2 else None
        self._page: dict[str, str] = {}
        self._context = self._surroundings()

    def steps(self) -> Steps:
        """Yields the whole visit, and events that follow from it."""
        rng = self._rng
        landing = rng.choice(("home", "category", "product"))
        if landing == "home":
            yield from self._look("Home", "", "/")
            if rng.random() < 0.4:
                yield self._promotion()
        for turn in range(rng.choices((1, 2, 3, 5), (30, 30, 25, 15))[0]):
            category = rng.choice(tuple(CATEGORIES))
            if (turn or landing == "home") and rng.random() < 0.4:
                yield self._pause(), self._track("Products Searched", query=rng.choice(QUERIES))
            found = turn > 0 or landing != "product"
            if found:
                yield from self._browse(category)
            if not found or rng.random() < 0.75:
                yield from self._consider(rng.choice(CATEGORIES[category]), clicked=found)
            if turn == 0 and self._signed_in:
                yield from self._identify()  # as a site does after loading
        if self._cart:
            yield (
                self._pause(),
                self._track("Cart Viewed", cart_id=self._token, products=self._lines()),
            )
            if rng.random() < 0.65:
                yield from self._check_out()

    def _promotion(self) -> tuple[float, ShopEvent]:
        return 2.0, self._track(
            "Promotion Viewed",
            promotion_id="promo-spring",
            name="Spring sale",
            creative="banner-green",
            position="home_top",
        )

    def _browse(self, category: str) -> Steps:
        yield from self._look(category, "Category", f"/{category.lower()}")
        shown = CATEGORIES[category][:4]
        yield (
            1.0,
            self._track(
                "Product List Viewed",
                list_id=f"list-{category.lower()}",
                category=category,
                products=[p.listed(position=i) for i, p in enumerate(shown, 1)],
            ),
        )

    def _consider(self, product: Product, *, clicked: bool) -> Steps:
        rng = self._rng
        listed = product.listed()
        if clicked:
            yield (
                self._pause(),
                self._track("Product Clicked", **listed, position=rng.randint(1, 9)),
            )
        yield from self._look(product.name, "Product", listed["url"].removeprefix(ORIGIN))
        viewed = self._track("Product Viewed", **listed, currency=_CURRENCY, value=listed["price"])
        yield 0.5, viewed
        choice = rng.random()
        if choice < 0.45:
            yield from self._add(product, listed)
        elif choice < 0.52:
            wishlist = {"wishlist_id": f"wish-{self._token}", "wishlist_name": "Later"}
            yield self._pause(), self._track("Product Added to Wishlist", **wishlist, **listed)

    def _add(self, product: Product, listed: dict[str, Any]) -> Steps:
        rng = self._rng
        quantity = rng.choices((1, 2, 4), (80, 15, 5))[0]
        if self._person.company is not None:
            quantity = _COMPANY_QUANTITY
        self._cart[product] = self._cart.get(product, 0) + quantity
        line = {"cart_id": self._token, **listed, "quantity": quantity}
        yield self._pause(), self._track("Product Added", **line, currency=_CURRENCY)
        if rng.random() < 0.1:
            line["quantity"] = self._cart.pop(product)
            yield self._pause(), self._track("Product Removed", **line)

    def _check_out(self) -> Steps:
        rng = self._rng
        if not self._signed_in and (self._has_account or rng.random() < 0.7):
            yield from self._sign_in()
        order = self._order()
        order_id, checkout_id = order["order_id"], f"checkout-{self._token}"
        yield from self._look("Checkout", "Checkout", "/checkout")
        yield 0.5, self._track("Checkout Started", **order, value=order["total"])
        method = {"shipping_method": "standard", "payment_method": "card"}
        for number, done in enumerate(("Checkout Step Completed", "Payment Info Entered"), 1):
            step = {"checkout_id": checkout_id, "step": number, **method}
            yield self._pause(), self._track("Checkout Step Viewed", **step)
            if rng.random() < 0.1:
                return
            yield self._pause(), self._track(done, **step, order_id=order_id)
        if "coupon" in order:
            coupon = {"coupon_id": order["coupon"], "coupon_name": order["coupon"]}
            more = {"order_id": order_id, "cart_id": self._token, "discount": order["discount"]}
            yield 1.0, self._track("Coupon Applied", **coupon, **more)
        yield self._pause(), self._track("Order Completed", checkout_id=checkout_id, **order)
        yield from self._look("Order Confirmation", "Checkout", f"/orders/{order_id}")
        if rng.random() < 0.08:
            yield self._pause(60.0), self._refund(order)

    def _sign_in(self) -> Steps:
        """Signs in, or signs up if the visitor is new."""
        traits = self._person.traits
        self._signed_in = True
        yield from self._identify()
        if self._has_account:
            yield 0.2, self._track("Signed In", username=traits["email"])
            return
        yield 0.1, self._event("alias", previousId=self._anonymous_id)
        names = {"first_name": traits["firstName"], "last_name": traits["lastName"]}
        yield 0.2, self._track("Signed Up", type="organic", **names, email=traits["email"])

    def _identify(self) -> Steps:
        """Identifies the visitor, and the company that the visitor buys for."""
        yield self._pause(), self._event("identify", traits=self._person.traits)
        company = self._person.company
        if company is not None:
            self._context = {**self._context, "groupId": company.group_id}
            traits = {k: v for k, v in company._asdict().items() if k != "group_id"}
            yield 0.2, self._event("group", groupId=company.group_id, traits=traits)

    def _order(self) -> dict[str, Any]:
        gross = sum(product.cents * quantity for product, quantity in self._cart.items())
        coupon, percent = self._rng.choice(COUPONS) if self._rng.random() < 0.25 else ("", 0)
        discount = gross * percent // 100
        subtotal = gross - discount
        shipping = 0 if subtotal >= _FREE_SHIPPING_CENTS else _SHIPPING_CENTS
        tax = (subtotal * _TAX_PERCENT + 50) // 100
        order: dict[str, Any] = {
            "order_id": self._order_id,
            "affiliation": "App" if self._phone is not None else "Site",
            "subtotal": subtotal / 100,
            "total": (subtotal + shipping + tax) / 100,
            "revenue": subtotal / 100,
            "shipping": shipping / 100,
            "tax": tax / 100,
            "discount": discount / 100,
            "currency": _CURRENCY,
            "products": self._lines(),
        }
        if coupon:
            order["coupon"] = coupon
        return order

    def _refund(self, order: dict[str, Any]) -> ShopEvent:
        """Makes an event that a server of the shop sends, not the visitor's device."""
        refunded = {key: order[key] for key in ("order_id", "total", "currency", "products")}
        event = self._track("Order Refunded", **refunded)
        event["context"] = {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}}
        return event

    def _lines(self) -> list[dict[str, Any]]:
        return [
            product.listed(quantity=quantity, position=position)
            for position, (product, quantity) in enumerate(self._cart.items(), 1)
        ]

    def _look(self, name: str, category: str, path: str) -> Steps:
        """Opens a page of the site, or a screen of the app."""
        fields = {"name": name, "category": category} if category else {"name": name}
        if self._phone is not None:
            yield self._pause(), self._event("screen", **fields, properties={"path": path})
            return
        campaign = {} if self._page else self._context.get("campaign", {})
        query = {"utm_campaign" if k == "name" else f"utm_{k}": v for k, v in campaign.items()}
        self._page = {
            "path": path,
            "referrer": self._page.get("url") or self._rng.choice(REFERRERS),
            "search": f"?{urlencode(query)}" if query else "",
            "title": f"{name} | Fern & Fold",
            "url": ORIGIN + path,
        }
        yield self._pause(), self._event("page", **fields, properties={**fields, **self._page})

    def _track(self, name: str, /, **properties: Any) -> ShopEvent:
        return self._event("track", event=name, properties=properties)

    def _event(self, kind: str, **fields: Any) -> ShopEvent:
        event = {
            "type": kind,
            "messageId": self._uuid(),
            "anonymousId": self._anonymous_id,
            **fields,
            "context": {**self._context, "page": self._page} if self._page else self._context,
            "integrations": {},
        }
        if self._signed_in:
            event["userId"] = self._person.user_id
        return event

    def _surroundings(self) -> dict[str, Any]:
        """Returns the parts of the context that stay the same during the visit."""
        rng, phone = self._rng, self._phone
        place = rng.choice(PLACES)
        context: dict[str, Any] = {"locale": place.locale, "timezone": place.timezone}
        if rng.random() < 0.4:
            context["campaign"] = rng.choice(CAMPAIGNS)
        screen: Browser | Phone
        if phone is None:
            screen = browser = rng.choice(BROWSERS)
            context["library"] = {"name": "analytics.js", "version": "next-1.84.3"}
            context["userAgent"] = browser.user_agent
            if "Chrome" in browser.user_agent:
                context["userAgentData"] = {
                    "brands": [{"brand": "Chromium", "version": "138"}],
                    "mobile": browser.mobile,
                    "platform": browser.platform,
                }
        else:
            screen = phone
            context["library"] = {"name": phone.library, "version": phone.library_version}
            context["app"] = {"name": "Fern & Fold", "version": "4.2.0", "build": "1204"}
            context["device"] = {
                "id": self._uuid(),
                "manufacturer": phone.manufacturer,
                "model": phone.model,
                "type": phone.type,
            }
            context["os"] = {"name": phone.system, "version": phone.system_version}
            context["network"] = {"cellular": False, "wifi": True, "bluetooth": False}
        context["screen"] = {
            "width": screen.width,
            "height": screen.height,
            "density": screen.density,
        }
        return context

    def _pause(self, mean_seconds: float = 6.0) -> float:
        return 0.3 + self._rng.expovariate(1 / mean_seconds)

    def _uuid(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))
