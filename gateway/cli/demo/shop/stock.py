"""Products, people and their devices.

All of them are fictional. Domains and telephone numbers are from ranges reserved for fiction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

from gateway.events.timestamps import format_ms

__all__ = [
    "BROWSERS",
    "CAMPAIGNS",
    "CATEGORIES",
    "COUPONS",
    "ORIGIN",
    "PHONES",
    "PLACES",
    "QUERIES",
    "REFERRERS",
    "REGULARS",
    "Browser",
    "Company",
    "Person",
    "Phone",
    "Place",
    "Product",
    "person",
]

ORIGIN = "https://shop.example"

REGULARS = 500
"""Number of people with an account before the first event; their numbers are below this."""

_ACCOUNTS_UNTIL_MS = 1_767_225_600_000  # 2026-01-01
_DAY_MS = 86_400_000
_COMPANY_SHARE = 0.2


class Product(NamedTuple):
    """A product."""

    sku: str
    category: str
    name: str
    brand: str
    variant: str
    cents: int

    def listed(self, **more: Any) -> dict[str, Any]:
        """Returns the properties of a product in the e-commerce specification."""
        slug = self.name.lower().replace("'", "").replace(" ", "-")
        return {
            "product_id": self.sku[3:],
            "sku": self.sku,
            "category": self.category,
            "name": self.name,
            "brand": self.brand,
            "variant": self.variant,
            "price": self.cents / 100,
            "url": f"{ORIGIN}/{self.category.lower()}/{slug}",
            "image_url": f"{ORIGIN}/images/{self.sku.lower()}.webp",
            **more,
        }


CATEGORIES: dict[str, tuple[Product, ...]] = {
    "Garden": (
        Product("GA-1001", "Garden", "Copper Watering Can", "Fernhill", "1.5 litres", 34_90),
        Product("GA-1002", "Garden", "Folding Pruning Saw", "Fernhill", "18 cm", 27_50),
        Product("GA-1003", "Garden", "Cedar Planter Box", "Oak & Alder", "60 cm", 64_00),
        Product("GA-1004", "Garden", "Wildflower Seed Mix", "Meadowline", "250 g", 12_80),
    ),
    "Kitchen": (
        Product("KI-2001", "Kitchen", "Cast Iron Skillet", "Ironmoor", "26 cm", 49_00),
        Product("KI-2002", "Kitchen", "Olive Wood Board", "Oak & Alder", "large", 38_50),
        Product("KI-2003", "Kitchen", "Pour-Over Coffee Set", "Slow Morning", "white", 42_00),
        Product("KI-2004", "Kitchen", "Linen Tea Towels", "Threadwell", "set of 3", 24_00),
        Product("KI-2005", "Kitchen", "Chef's Knife", "Ironmoor", "20 cm", 89_00),
    ),
    "Office": (
        Product("OF-3001", "Office", "Walnut Monitor Stand", "Oak & Alder", "walnut", 79_00),
        Product("OF-3002", "Office", "Dot Grid Notebook", "Paperlane", "A5, sage", 14_50),
        Product("OF-3003", "Office", "Brass Desk Lamp", "Lumenhaus", "warm white", 119_00),
        Product("OF-3004", "Office", "Felt Desk Mat", "Threadwell", "charcoal", 45_00),
    ),
    "Outdoor": (
        Product("OU-4001", "Outdoor", "Insulated Bottle", "Northbrook", "750 ml, slate", 32_00),
        Product("OU-4002", "Outdoor", "Two-Person Hammock", "Northbrook", "forest green", 58_00),
        Product("OU-4003", "Outdoor", "Rechargeable Lantern", "Lumenhaus", "300 lumens", 54_90),
        Product("OU-4004", "Outdoor", "Merino Hiking Socks", "Threadwell", "M, grey", 18_90),
        Product("OU-4005", "Outdoor", "Roll-Top Backpack", "Northbrook", "24 litres", 129_00),
    ),
}
"""The catalogue by category. Prices do not change."""

QUERIES = ("lamp", "gift for gardener", "coffee", "knife", "backpack", "notebook a5", "wood")

COUPONS = (("WELCOME10", 10), ("SPRING15", 15), ("BULK20", 20))
"""Code and percentage."""

CAMPAIGNS: tuple[dict[str, str], ...] = (
    {"name": "spring-sale", "source": "newsletter", "medium": "email", "content": "hero-button"},
    {"name": "brand", "source": "google", "medium": "cpc", "term": "garden and kitchen shop"},
    {"name": "lookalike-1", "source": "instagram", "medium": "paid-social", "content": "video-a"},
    {"name": "partner-blog", "source": "quiet-garden", "medium": "referral"},
)

REFERRERS = ("", "https://www.google.com/", "https://duckduckgo.com/", "https://blog.example/")


class Place(NamedTuple):
    """A person's home."""

    city: str
    state: str
    postal_code: str
    country: str
    locale: str
    timezone: str


PLACES = (
    Place("New York", "NY", "10001", "US", "en-US", "America/New_York"),
    Place("Portland", "OR", "97201", "US", "en-US", "America/Los_Angeles"),
    Place("Toronto", "ON", "M5H 2N2", "CA", "en-CA", "America/Toronto"),
    Place("London", "England", "SE1 7PB", "GB", "en-GB", "Europe/London"),
    Place("Lyon", "Auvergne-Rhône-Alpes", "69002", "FR", "fr-FR", "Europe/Paris"),
    Place("Leipzig", "Sachsen", "04109", "DE", "de-DE", "Europe/Berlin"),
    Place("São Paulo", "SP", "01310-100", "BR", "pt-BR", "America/Sao_Paulo"),
    Place("大阪市", "大阪府", "530-0001", "JP", "ja-JP", "Asia/Tokyo"),
)


class Browser(NamedTuple):
    """A browser of a visitor to the site."""

    user_agent: str
    platform: str
    mobile: bool
    width: int
    height: int
    density: float


_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0"
_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
BROWSERS = (
    Browser(f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Safari/537.36",
            "Windows", False, 1920, 1080, 1),
    Browser(f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Safari/537.36",
            "macOS", False, 1728, 1117, 2),
    Browser(f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} Mobile Safari/537.36",
            "Android", True, 412, 915, 2.625),
    Browser("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Linux", False, 1920, 1200, 1),
    Browser(_IPHONE, "iOS", True, 393, 852, 3),
)  # fmt: skip


class Phone(NamedTuple):
    """A phone of a user of the app."""

    type: str
    library: str
    library_version: str
    manufacturer: str
    model: str
    system: str
    system_version: str
    width: int
    height: int
    density: float


PHONES = (
    Phone("ios", "analytics-swift", "1.9.1", "Apple", "iPhone16,1", "iOS", "18.5", 393, 852, 3),
    Phone("android", "analytics-kotlin", "1.22.0", "Google", "Pixel 9", "Android", "16",
          412, 923, 2.625),
)  # fmt: skip


class Company(NamedTuple):
    """A company for which several people buy."""

    group_id: str
    name: str
    industry: str
    employees: int
    plan: str


_COMPANIES = (
    Company("account-101", "Harbour Light Studio", "Architecture", 18, "team"),
    Company("account-102", "Blue Door Hotels", "Hospitality", 240, "enterprise"),
    Company("account-103", "Little Fern Cafés", "Restaurants", 46, "team"),
    Company("account-104", "Atlas & Daughters", "Furniture", 95, "business"),
)
_FIRST_NAMES = ("Ada", "Amara", "Bruno", "Chloé", "Diego", "Elif", "Finn", "Grace", "Hana", "Idris")
_LAST_NAMES = ("Adler", "Bianchi", "Castro", "Dubois", "Eriksen", "Fofana", "Grant", "Haddad")


@dataclass(frozen=True, slots=True)
class Person:
    """A person with an account, or without one yet."""

    user_id: str
    traits: dict[str, Any]
    company: Company | None


@lru_cache(maxsize=2 * REGULARS)
def person(seed: int, number: int) -> Person:
    """Returns the person with a number, always the same."""
    rng = Random(f"{seed}:person:{number}")  # noqa: S311 - nothing secret
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
    place = rng.choice(PLACES)
    company = rng.choice(_COMPANIES) if rng.random() < _COMPANY_SHARE else None
    traits: dict[str, Any] = {
        "email": f"{first}.{last}.{number}@mail.example".lower().replace("é", "e"),
        "firstName": first,
        "lastName": last,
        "phone": f"+1202555{100 + number % 100:04d}",
        "createdAt": format_ms(_ACCOUNTS_UNTIL_MS - rng.randrange(1, 700) * _DAY_MS),
        "address": {
            "city": place.city,
            "state": place.state,
            "postalCode": place.postal_code,
            "country": place.country,
        },
    }
    if company is not None:
        traits["company"] = {"id": company.group_id, "name": company.name, "plan": company.plan}
    return Person(f"user-{number:05d}", traits, company)
