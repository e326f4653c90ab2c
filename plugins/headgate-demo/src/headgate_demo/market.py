"""What the simulated shop sells, where its people come from, and which campaigns it pays for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CAMPAIGNS",
    "CHANNELS",
    "COUNTRIES",
    "DEVICES",
    "PRODUCTS",
    "Campaign",
    "Channel",
    "Country",
    "Device",
    "Product",
]


@dataclass(frozen=True, slots=True)
class Product:
    """Something to buy; the price is in the shop's currency."""

    id: str
    name: str
    category: str
    price: float


@dataclass(frozen=True, slots=True)
class Channel:
    """A way in which people find the shop.

    Attributes:
        share: of the people who arrive.
        lifetime_days: mean time in which a person keeps coming.
        buys: chance that a visitor who looks at a product puts it into the cart.
        registers: chance that a visit ends with an account.
        referrer: the page that a first visit comes from.
    """

    name: str
    share: float
    lifetime_days: float
    buys: float
    registers: float
    referrer: str = ""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Paid visits: people of a channel who arrive within its days come through it.

    Attributes:
        first_day, last_day: days of the history, counted from 0; the last one is part of it.
        more: times as many people of the channel as usual that arrive on these days.
        cost: of a day, in the shop's currency.
        click_id: parameter that the advertiser adds to the address.
    """

    name: str
    channel: str
    source: str
    medium: str
    first_day: int
    last_day: int
    more: float
    cost: float
    click_id: str


@dataclass(frozen=True, slots=True)
class Country:
    """A country, with the hours by which its clocks differ from UTC."""

    code: str
    share: float
    hours: int


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of device, with the browser and the system on it."""

    type: str
    os: str
    browser: str
    share: float


PRODUCTS = (
    Product("tea-assam", "Assam Tea 250 g", "Tea", 9.5),
    Product("tea-sencha", "Sencha Tea 100 g", "Tea", 12.9),
    Product("tea-rooibos", "Rooibos 250 g", "Tea", 7.9),
    Product("coffee-yirga", "Yirgacheffe Beans 1 kg", "Coffee", 29.0),
    Product("coffee-house", "House Blend 1 kg", "Coffee", 21.5),
    Product("grinder-hand", "Hand Grinder", "Equipment", 64.0),
    Product("kettle-steel", "Steel Kettle", "Equipment", 49.0),
    Product("pot-glass", "Glass Pot", "Equipment", 34.0),
    Product("cup-pair", "Pair of Cups", "Tableware", 18.0),
    Product("machine-lever", "Lever Machine", "Equipment", 389.0),
)

CHANNELS = (
    Channel("organic", 0.34, 38, 0.16, 0.24, "https://www.google.com/"),
    Channel("direct", 0.22, 55, 0.20, 0.32),
    Channel("paid_search", 0.18, 22, 0.17, 0.20, "https://www.google.com/"),
    Channel("social", 0.16, 12, 0.08, 0.14, "https://www.instagram.com/"),
    Channel("referral", 0.10, 32, 0.15, 0.24, "https://blog.example.org/best-kettles"),
)

CAMPAIGNS = (
    Campaign("brand", "paid_search", "google", "cpc", 0, 10_000, 1.0, 22.0, "gclid"),
    Campaign("autumn_sale", "paid_search", "google", "cpc", 35, 48, 2.2, 95.0, "gclid"),
    Campaign("creators", "social", "instagram", "paid_social", 20, 62, 1.4, 48.0, "fbclid"),
)
"""Of several that run on a day, the last one brings the people."""

COUNTRIES = (
    Country("DE", 0.46, 1),
    Country("FR", 0.18, 1),
    Country("GB", 0.16, 0),
    Country("US", 0.14, -5),
    Country("JP", 0.06, 9),
)

DEVICES = (
    Device("mobile", "iOS", "Mobile Safari", 0.36),
    Device("mobile", "Android", "Chrome Mobile", 0.28),
    Device("desktop", "Windows", "Chrome", 0.20),
    Device("desktop", "Mac OS X", "Safari", 0.11),
    Device("tablet", "iOS", "Mobile Safari", 0.05),
)
