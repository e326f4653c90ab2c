"""Converts values of an event's body for mappings, which must accept any JSON value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

__all__ = ["LARGEST", "Int64", "as_mapping", "as_number", "as_text", "parse_number"]

LARGEST = 2**63 - 1
"""The largest whole number that the queue and the state store can hold."""

Int64 = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
"""A whole number that they can hold, in what people and programs ask for."""

_NUMBERS = (int, float)  # a tuple, as ``int | float`` would create a union in each call

_EXACT = 2**53
"""Below this bound, each whole number has a float of its own."""


_DECIMAL = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)


def parse_number(text: str) -> float | None:
    """Returns the number that a text writes in decimal digits, with space around it at most.

    `float` reads more: underscores between digits, digits of other scripts, "inf" and "nan". None
    of these is a number to the systems that events come from and go to.
    """
    if _DECIMAL.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def as_text(value: object) -> str:
    """Returns a text or number as text; empty for any other value."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool) or not isinstance(value, _NUMBERS):
        return ""
    return str(value)


def as_number(value: object) -> int | float | None:
    """Returns a number, also one that is written as text; None for any other value."""
    if isinstance(value, str):
        value = parse_number(value)
        if value is not None and value.is_integer() and abs(value) < _EXACT:
            value = int(value)
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond what a double holds
        return None


def as_mapping(value: object) -> Mapping[str, Any]:
    """Returns an object as it is, and an empty one for any other value."""
    return value if isinstance(value, dict) else {}
