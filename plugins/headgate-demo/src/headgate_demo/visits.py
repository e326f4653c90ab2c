"""The events of a person: visits with carts and orders, refunds, and the answers to newsletters."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw, json

from gateway import Event, format_ms
from headgate_demo.market import PRODUCTS, Device, Product
from headgate_demo.people import Person, Plan, Visit
from headgate_demo.truth import Order, Truth

__all__ = [
    "CHECKOUT_FROM_DAY",
    "CHECKOUT_LIFT",
    "DAY_MS",
    "NEWSLETTER_EVERY_DAYS",
    "SOURCE",
    "Diary",
]

SOURCE = "demo"
"""The id of the source that the events seem to come from."""

CHECKOUT_FROM_DAY = 30
"""From this day on the group ``new_checkout`` tries a new checkout on half of the people."""

CHECKOUT_LIFT = 0.2
"""So much more often people finish the new checkout than the old one."""

NEWSLETTER_EVERY_DAYS = 14

_FINISHES = 0.52  # of the checkouts that are begun, with the old checkout
_OPENS, _CLICKS, _UNSUBSCRIBES = 0.34, 0.24, 0.006
_FROM_MAIL = 1.8  # a visit from a newsletter ends in the cart so many times more often
_REFUNDS = 0.05
_LATE = 0.01
DAY_MS = 86_400_000
_DAY_SECONDS = 86_400
_LIBRARY = {"name": "analytics.js", "version": "2.1.0"}


@dataclass(slots=True)
class Diary:
    """Writes down what a person does, as events.

    Attributes:
        truth: gets what a person does, too.
        events: all of them, not in order.
    """

    plan: Plan
    person: Person
    currency: str
    truth: Truth
    events: list[Event] = field(default_factory=list)
    _user_id: str | None = None
    _reads_mail: bool = False
    _orders: int = 0
    _name: str = field(init=False)
    _anonymous: tuple[str, ...] = field(init=False)
    _linked: str = field(init=False, default="")
    _notes: Raw = field(init=False, default_factory=Raw)

    def __post_init__(self) -> None:
        self._name = f"demo-{self.plan.seed}-{self.person.number}"
        self._anonymous = tuple(
            str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._name}-{device}"))
            for device in range(len(self.person.devices))
        )
        if self.person.arrival < 0 and self._chance(0.5):
            self._register(0)  # in the time before the history

    def write(self) -> list[Event]:
        """Returns the events of the whole history; what would come after its end is left out."""
        if self.person.campaign is not None and self.person.arrival >= 0:
            self.truth.arrived[self.person.campaign.name] += 1
        mails = self._mail_days()
        mail = next(mails, None)
        for visit in self.person.visits:
            while mail is not None and mail < visit.day:
                self._newsletter(mail)
                mail = next(mails, None)
            self._visit(visit)
        while mail is not None and mail < self.plan.days:
            self._newsletter(mail)
            mail = next(mails, None)
        return self.events

    # -- visits ----------------------------------------------------------------

    def _visit(self, visit: Visit, *, mail: str = "") -> None:
        person, random = self.person, self.person.random
        context = self._context(visit, mail)
        session = f"{self._name}-{len(self.events)}"
        clock = _Clock(visit.day, context | {"sessionId": session})
        self._page(visit, clock, "Home", "/")
        if self._chance(0.3):
            promotion = {"promotion_id": "free-shipping", "name": "Free shipping"}
            self._track(visit, clock, "Promotion Viewed", promotion)
            if self._chance(0.12):
                self._track(visit, clock, "Promotion Clicked", promotion)
        looked_at = [random.choice(PRODUCTS) for _ in range(random.choice((0, 1, 1, 2, 2, 3)))]
        for product in looked_at:
            self._page(visit, clock, "Product", f"/products/{product.id}")
            self._track(visit, clock, "Product Viewed", _item(product))
        buys = person.channel.buys * (_FROM_MAIL if mail else 1)
        cart = [product for product in looked_at if self._chance(buys)]
        for product in cart:
            self._track(visit, clock, "Product Added", _item(product))
        if self._user_id is None and self._chance(person.channel.registers * (2 if cart else 0.5)):
            self._register(visit.device)
            self._reads_mail = self._chance(0.6)
            self._identify(visit, clock)
            self._track(visit, clock, "Signed Up", {"method": random.choice(("email", "google"))})
        if cart and self._chance(0.75):
            self._checkout(visit, clock, cart, mail=bool(mail))

    def _checkout(self, visit: Visit, clock: _Clock, cart: list[Product], *, mail: bool) -> None:
        arm = self.person.checkout if visit.day >= CHECKOUT_FROM_DAY else ""
        if arm:
            groups = {"new_checkout": {"arm": arm, "weight": 2.0}}
            clock.context = clock.context | {"groups": groups}
        total = round(sum(product.price for product in cart), 2)
        if not self._track(
            visit, clock, "Checkout Started", {"value": total, "currency": self.currency}
        ):
            return
        if arm:
            self.truth.arms[arm].checkouts += 1
            self.truth.arms[arm].exposed.add(self.person.number)
        if not self._chance(_FINISHES * (1 + CHECKOUT_LIFT if arm == "test" else 1)):
            return
        self._orders += 1
        order = {
            "order_id": f"D{self.plan.seed}-{self.person.number}-{self._orders}",
            "revenue": total,
            "shipping": 0 if total > 40 else 4.9,
            "currency": self.currency,
            "products": [_item(product) for product in cart],
        }
        if not self._track(visit, clock, "Order Completed", order):
            return
        if arm:
            self.truth.arms[arm].orders += 1
            self.truth.arms[arm].ordered.add(self.person.number)
        ordered_ms, visitor = self._moment_ms(clock), self._anonymous[visit.device]
        refunded = visit.day + self.person.random.uniform(1, 12)
        given_back = False
        if self._chance(_REFUNDS):
            server = _Clock(refunded, self._server("analytics-python", "2.3.4"))
            keys = ("order_id", "revenue", "currency")
            given_back = self._track(
                visit, server, "Order Refunded", {key: order[key] for key in keys}
            )
        campaign = self.person.campaign.name if self.person.campaign is not None else ""
        self.truth.orders.append(
            Order(visitor, self.person.number, ordered_ms, total, campaign, mail, given_back)
        )

    # -- newsletters -------------------------------------------------------------

    def _mail_days(self) -> Iterator[float]:
        for day in range(9, self.plan.days, NEWSLETTER_EVERY_DAYS):
            yield day + 8.5 / 24

    def _newsletter(self, day: float) -> None:
        """Sends a newsletter to those who want it, except to those held out."""
        if self._user_id is None or not self._reads_mail or not self.person.newsletter:
            return
        name = f"newsletter-{round(day)}"
        mail = {"campaign_id": name, "email_subject": "New teas", "context_type": "newsletter"}
        at = Visit(day, 0, False)
        clock = _Clock(day, self._server("mailer", "1.0"))
        self._track(at, clock, "Email Delivered", mail)
        if not self._chance(_OPENS):
            return
        clock.day += self.person.random.uniform(0.01, 0.6)
        self._track(at, clock, "Email Opened", mail)
        if self._chance(_UNSUBSCRIBES):
            self._reads_mail = False
            self._track(at, clock, "Unsubscribed", mail)
        elif self._chance(_CLICKS):
            self._track(at, clock, "Email Link Clicked", mail)
            clicked = clock.day + 0.0005
            if clicked < self.plan.days - 0.1:
                self._visit(Visit(clicked, 0, False), mail=name)

    # -- events ------------------------------------------------------------------

    def _track(self, visit: Visit, clock: _Clock, name: str, properties: Mapping[str, Any]) -> bool:
        return self._add(visit, clock, Event(type="track", event=name), properties)

    def _page(self, visit: Visit, clock: _Clock, name: str, path: str) -> None:
        url = f"https://shop.example.com{path}"
        clock.context["page"] = clock.context.get("page", {}) | {"path": path, "url": url}
        self._add(visit, clock, Event(type="page", name=name), {"path": path, "url": url})

    def _identify(self, visit: Visit, clock: _Clock) -> None:
        traits = {"plan": "guest" if self._orders == 0 else "buyer", "newsletter": self._reads_mail}
        event = Event(type="identify", raw_traits=Raw(json.encode(traits)))
        self._add(visit, clock, event, {})

    def _add(
        self, visit: Visit, clock: _Clock, event: Event, properties: Mapping[str, Any]
    ) -> bool:
        """Adds an event; False if it would come after the end of the history."""
        clock.day += self.person.random.uniform(4, 50) / _DAY_SECONDS
        happened = self._moment_ms(clock)
        if happened >= self.plan.end_ms:
            return False
        received = happened + 300
        if self._chance(_LATE):
            received += round(self.person.random.uniform(0.1, 2) * DAY_MS)
        event.message_id = f"{self._name}-{len(self.events)}"
        event.source_id = SOURCE
        event.user_id = self._user_id
        if "page" in clock.context or self._user_id is None:  # servers know the user, if any
            event.anonymous_id = self._anonymous[visit.device]
        event.timestamp = format_ms(happened)
        event.received_at = format_ms(min(received, self.plan.end_ms))
        if properties:
            event.raw_properties = Raw(json.encode(properties))
        event.raw_context = Raw(json.encode(clock.context))
        if self._user_id is not None:
            event.raw_notes = self._notes
        self.events.append(event)
        name = event.event or (f"page:{event.name}" if event.name else event.type)
        visitor = event.anonymous_id or self._linked  # as the gateway sees it
        self.truth.note(self.person.number, visitor, name, happened)
        return True

    def _moment_ms(self, clock: _Clock) -> int:
        return self.plan.start_ms + round(clock.day * DAY_MS)

    def _context(self, visit: Visit, mail: str) -> dict[str, Any]:
        person, device = self.person, self.person.devices[visit.device]
        context: dict[str, Any] = {
            "library": _LIBRARY,
            "headgate": _device(device) | {"country": person.country.code, "bot": False},
            "page": {},
        }
        if mail:
            context["campaign"] = {"source": "newsletter", "medium": "email", "name": mail}
            context["headgate"]["channel"] = "email"
        elif visit.first:
            context["headgate"]["channel"] = person.channel.name
            if person.channel.referrer:
                context["page"] = {"referrer": person.channel.referrer}
            if paid := person.campaign:
                context["campaign"] = {
                    "source": paid.source,
                    "medium": paid.medium,
                    "name": paid.name,
                }
                context["page"]["search"] = f"?{paid.click_id}={self._name}"
        else:
            context["headgate"]["channel"] = "direct"
        return context

    def _server(self, library: str, version: str) -> dict[str, Any]:
        """Returns the context of a server, which knows the address of the user and no device."""
        return {
            "library": {"name": library, "version": version},
            "location": {"country": self.person.country.code},
        }

    # -- the person ----------------------------------------------------------------

    def _register(self, device: int) -> None:
        """Gives the person an account, which a gateway links to the device that it is made on."""
        self._user_id = f"demo-{self.person.number:05d}"
        self._linked = self._anonymous[device]
        self._notes = Raw(json.encode({"visitor": self._linked}))

    def _chance(self, probability: float) -> bool:
        return self.person.random.random() < probability


@dataclass(slots=True)
class _Clock:
    """The time within a visit, which goes on with each event, and the context of its events."""

    day: float
    context: dict[str, Any]


def _item(product: Product) -> dict[str, Any]:
    return {
        "product_id": product.id,
        "name": product.name,
        "category": product.category,
        "price": product.price,
        "quantity": 1,
    }


def _device(device: Device) -> dict[str, Any]:
    return {"device_type": device.type, "os": device.os, "browser": device.browser}
