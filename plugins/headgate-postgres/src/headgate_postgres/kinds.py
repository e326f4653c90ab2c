"""Types of columns: the type for a value, and the encoding of values for the driver.

A value fits a column if nothing of it is lost. A value that does not fit is not forced: the caller
puts it into the column ``_extra``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["UNFIT", "Kind", "encode", "encoder", "infer", "is_number", "join"]


class Kind(Enum):
    """A type of column, by the name that PostgreSQL's ``format_type`` gives it."""

    BOOLEAN = "boolean"
    BIGINT = "bigint"
    DOUBLE = "double precision"
    NUMERIC = "numeric"
    TIMESTAMP = "timestamp with time zone"
    TEXT = "text"
    JSONB = "jsonb"


UNFIT: Any = object()
"""Result of `encode` for a value that the column cannot hold."""

_NUMBERS = frozenset({Kind.BIGINT, Kind.DOUBLE, Kind.NUMERIC})
_LEAST, _MOST = -(2**63), 2**63 - 1
_EXACT = 2**53  # whole numbers up to here are doubles without loss
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)", re.ASCII
)
# The driver takes Python's first and last moment for -infinity and infinity.
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def infer(value: object) -> Kind | None:
    """Returns the type of a new column for a value; None for null and infinite numbers."""
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int):
        return Kind.BIGINT if _LEAST <= value <= _MOST else Kind.NUMERIC
    if isinstance(value, float):
        return Kind.DOUBLE if math.isfinite(value) else None
    if isinstance(value, str):
        return Kind.TEXT if _timestamp(value) is UNFIT else Kind.TIMESTAMP
    return None if value is None else Kind.JSONB


def join(one: Kind, other: Kind) -> Kind:
    """Returns the type of a new column for values of two types."""
    if one is other:
        return one
    if {one, other} <= _NUMBERS:
        return Kind.NUMERIC  # exact for each of them
    return Kind.JSONB if Kind.JSONB in (one, other) else Kind.TEXT


def is_number(value: object) -> bool:
    """Tells whether a value is a number that `Kind.NUMERIC` can hold."""
    return infer(value) in _NUMBERS


def encode(kind: Kind | None, value: Any) -> Any:
    """Encodes a value for a column of this type; returns `UNFIT` if it does not fit."""
    return encoder(kind)(value)


def encoder(kind: Kind | None) -> Callable[[Any], Any]:
    """Returns `encode` for one type, to encode many values."""
    return _none if kind is None else _ENCODERS[kind]


def _none(_: object) -> Any:
    return UNFIT


def _boolean(value: object) -> Any:
    return value if isinstance(value, bool) else UNFIT


def _bigint(value: object) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return UNFIT
    return value if _LEAST <= value <= _MOST else UNFIT


def _double(value: object) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else UNFIT
    if isinstance(value, bool) or not isinstance(value, int):
        return UNFIT
    return float(value) if abs(value) <= _EXACT else UNFIT


def _numeric(value: object) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else UNFIT
    if isinstance(value, bool) or not isinstance(value, int):
        return UNFIT
    return Decimal(value)


def _timestamp(value: object) -> Any:
    return _moment(value) if isinstance(value, str) else UNFIT


@lru_cache(maxsize=8192)  # a batch has few different times, each in two rows
def _moment(value: str) -> Any:
    if not _TIME.fullmatch(value):
        return UNFIT
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February, the year 0, the year 10000
        return UNFIT
    return moment if _FIRST < moment < _LAST else UNFIT


def _text(value: object) -> Any:
    return _clean(value) if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        text = msgspec.json.encode(_cleaned(value)).decode()
    if "\\u0000" in text:
        text = msgspec.json.encode(_cleaned(value)).decode()
    return text


def _clean(text: str) -> str:
    """Replaces NUL and lone surrogates, which PostgreSQL's text cannot hold, with U+FFFD."""
    if text.isascii() and "\0" not in text:  # most texts
        return text
    return _NOT_TEXT.sub("\ufffd", text)


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {_clean(str(key)): _cleaned(inner) for key, inner in value.items()}
    return [_cleaned(inner) for inner in value] if isinstance(value, list | tuple) else value


_ENCODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.BOOLEAN: _boolean,
    Kind.BIGINT: _bigint,
    Kind.DOUBLE: _double,
    Kind.NUMERIC: _numeric,
    Kind.TIMESTAMP: _timestamp,
    Kind.TEXT: _text,
    Kind.JSONB: _json,
}
