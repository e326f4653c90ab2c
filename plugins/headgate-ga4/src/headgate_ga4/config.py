"""Config of a destination with ``type = "ga4"``."""

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
    """Settings of the destination.

    Attributes:
        api_secret: created in the stream's settings, under Measurement Protocol.
        measurement_id: of a web stream, ``G-…``.
        firebase_app_id: of an app stream; exactly one of the two is needed.
        region: ``eu`` collects in the European Union.
        default_currency: for values without one. If it is not set, such values are left out, as
            Google ignores them.
        prefer_total: whether the value of an order is its total, instead of its revenue without tax
            and shipping.
        max_value_characters: of a parameter's value; 500 for Analytics 360.
        validate_percent: share of the delivered requests that also go to Google's validation
            server, which tells what Google will drop.
        send_ip, send_user_agent: whether to send them to Google, to derive place and device.
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
        """Checks what types cannot express; the messages show no values."""
        VendorSettings.__post_init__(self)
        if not self.api_secret.reveal().strip():
            raise ValueError("api_secret: is empty")
        if bool(self.measurement_id) == bool(self.firebase_app_id):
            raise ValueError("measurement_id: give either that or firebase_app_id")
        if self.default_currency and not re.fullmatch("[A-Z]{3}", self.default_currency):
            raise ValueError('default_currency: is a code of three letters such as "EUR"')

    def endpoint(self, path: str) -> str:
        """Returns the URL of one of the protocol's endpoints."""
        return self.at(_HOSTS[self.region], path)
