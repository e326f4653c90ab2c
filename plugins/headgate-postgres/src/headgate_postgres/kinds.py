"""Types of columns: which one suits a value, and how the value is handed over.

A value fits a column if nothing of it is lost. What does not fit is not forced: the caller keeps it
in the column ``_extra``.
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
"""What `encode` returns for a value that the column cannot hold."""

_NUMBERS = frozenset({Kind.BIGINT, Kind.DOUBLE, Kind.NUMERIC})
_LEAST, _MOST = -(2**63), 2**63 - 1
_EXACT = 2**53  # whole numbers up to here are doubles without loss
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)", re.ASCII
)
# The driver takes the first and the last moment that Python knows for -infinity and infinity.
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def infer(value: object) -> Kind | None:
    """The type for a new column that is to hold a value; None for what is no value."""
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
    """The type for a new column that is to hold values of both."""
    if one is other:
        return one
    if {one, other} <= _NUMBERS:
        return Kind.NUMERIC  # exact for each of them
    return Kind.JSONB if Kind.JSONB in (one, other) else Kind.TEXT


def is_number(value: object) -> bool:
    """Whether a value is a number that `Kind.NUMERIC` holds."""
    return infer(value) in _NUMBERS


def encode(kind: Kind | None, value: Any) -> Any:
    """A value as the driver wants it for a column of this type; `UNFIT` if it cannot hold it."""
    return encoder(kind)(value)


def encoder(kind: Kind | None) -> Callable[[Any], Any]:
    """`encode` for one type, for many values."""
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


@lru_cache(maxsize=8192)  # the times of a batch are much the same, and each is in two rows
def _moment(value: str) -> Any:
    if not _TIME.fullmatch(value):
        return UNFIT
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February; the year 0; outside of what years there are
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
    """The text with U+FFFD for what PostgreSQL's text cannot hold: NUL, halves of characters."""
    if text.isascii() and "\0" not in text:  # most are
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
