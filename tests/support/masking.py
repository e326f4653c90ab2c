"""What the tests of the mask share."""

from __future__ import annotations

import hmac
from typing import Any

from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.config.decode import decode_table
from gateway.events.event import Event, decode_events, encode_events

__all__ = ["CARD", "EMAIL", "IP", "PHONE", "SECRET", "config", "hashed", "masked", "stored"]

EMAIL, CARD, PHONE, IP = "jane@example.com", "4111111111111111", "+49 30 1234567", "203.0.113.77"
SECRET = "a secret of some length"


def config(**table: Any) -> MaskConfig:
    """A config as it is read from the file."""
    return decode_table(table, MaskConfig, "transforms.t")


def hashed(text: str) -> str:
    """The documented hash."""
    return hmac.digest(SECRET.encode(), text.encode(), "sha256").hex()


def stored(event: Event) -> Event:
    """The event as it is read back from the queue: nothing of it is decoded."""
    return decode_events(encode_events([event]))[0]


def masked(event: Event, **table: Any) -> Event:
    """The event after a mask, read back from the queue."""
    table.setdefault("secret", SECRET)
    (event,) = Mask(config(**table)).apply([stored(event)])
    return stored(event)
