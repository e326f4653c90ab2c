"""What a value in an event's body is, for mappings that must not trip over any of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["as_mapping", "as_number", "as_text"]

_NUMBERS = (int, float)  # a union would be made anew by each call

_EXACT = 2**53
"""Below it a float that is a whole number stands for that number and no other."""


def as_text(value: object) -> str:
    """A text or number as text; empty for all else."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool) or not isinstance(value, _NUMBERS):
        return ""
    return str(value)


def as_number(value: object) -> int | float | None:
    """A number, also one that is written as text; None for all else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
        if value.is_integer() and abs(value) < _EXACT:
            value = int(value)
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not math.isfinite(value):
        return None
    return value


def as_mapping(value: object) -> Mapping[str, Any]:
    """An object; an empty one for all else."""
    return value if isinstance(value, dict) else {}
