"""What a user writes in config.toml."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from gateway import Secret, VendorSettings

__all__ = ["Ga4Config"]

_HOSTS = {
    "global": "https://www.google-analytics.com",
    "eu": "https://region1.google-analytics.com",
}


class Ga4Config(VendorSettings, frozen=True, kw_only=True):
    """Keys of a destination with ``type = "ga4"``.

    Attributes:
        api_secret: made in the stream's settings, under Measurement Protocol.
        measurement_id: of a web stream, ``G-…``.
        firebase_app_id: or of an app stream; exactly one of the two.
        region: ``eu`` collects in the European Union.
        default_currency: of values that come without one; such values are left out unless it is
            set, for Google ignores them.
        prefer_total: whether an order's value is its total, and not its revenue without tax and
            shipping.
        max_value_characters: of a parameter's value; 500 for Analytics 360.
        validate_percent: share of the requests that, once delivered, go to Google's validation
            server too, which says what Google will drop.
        send_ip, send_user_agent: whether Google gets them, to derive place and device.
    """

    api_secret: Secret
    measurement_id: str = ""
    firebase_app_id: str = ""
    region: Literal["global", "eu"] = "global"
    default_currency: str = ""
    prefer_total: bool = False
    max_value_characters: Annotated[int, Meta(ge=1, le=500)] = 100
    validate_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    send_ip: bool = False
    send_user_agent: bool = False

    def __post_init__(self) -> None:
        """Check what the types cannot say; the texts show no values."""
        VendorSettings.__post_init__(self)
        if not self.api_secret.reveal().strip():
            raise ValueError("api_secret: is empty")
        if bool(self.measurement_id) == bool(self.firebase_app_id):
            raise ValueError("measurement_id: give either that or firebase_app_id")
        if self.default_currency and not re.fullmatch("[A-Z]{3}", self.default_currency):
            raise ValueError('default_currency: is a code of three letters such as "EUR"')

    def endpoint(self, path: str) -> str:
        """The URL of one of the protocol's endpoints."""
        return self.at(_HOSTS[self.region], path)
