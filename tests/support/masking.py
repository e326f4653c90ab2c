"""Masks events with a usual config, and holds personal data to mask."""

from __future__ import annotations

import hmac
from typing import Any

from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.config.decode import decode_table
from gateway.events.event import Event
from tests.support.stored_event import as_stored

__all__ = ["CARD", "EMAIL", "IP", "PHONE", "SECRET", "config", "hashed", "masked"]

EMAIL, CARD, PHONE, IP = "jane@example.com", "4111111111111111", "+49 30 1234567", "203.0.113.77"
SECRET = "a secret of some length"


def config(**table: Any) -> MaskConfig:
    """Decodes a table of config.toml."""
    return decode_table(table, MaskConfig, "transforms.t")


def hashed(text: str) -> str:
    """Computes the documented hash of a text."""
    return hmac.digest(SECRET.encode(), text.encode(), "sha256").hex()


def masked(event: Event, **table: Any) -> Event:
    """Masks an event, and returns it as it is read from the queue."""
    table.setdefault("secret", SECRET)
    (event,) = Mask(config(**table)).apply([as_stored(event)])
    return as_stored(event)
