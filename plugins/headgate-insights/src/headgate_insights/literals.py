"""Values as SQL literals.

A figure's SQL holds its values as literals, so that the query that is printed is the query that
ran, and can be pasted into `gateway sql`. All values pass through here, and nowhere else is a quote
written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TypeAlias

from headgate_insights.errors import WrongQuestion

__all__ = ["Scalar", "literal", "literals", "name"]

Scalar: TypeAlias = str | int | float | bool | date | datetime | None


def literal(value: Scalar) -> str:
    """Returns a value as a SQL literal."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case str():
            if "\0" in value or (not value.isascii() and _has_surrogate(value)):
                raise WrongQuestion(f"{value!r} has a character that no stored text can have")
            return "'" + value.replace("'", "''") + "'"
        case int():
            return str(value)
        case float():
            if not math.isfinite(value):
                raise WrongQuestion(f"{value} is not a finite number")
            return f"{value!r}::DOUBLE"
        case datetime():
            return f"TIMESTAMPTZ '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
        case date():
            return f"DATE '{value.isoformat()}'"


def literals(values: Iterable[Scalar]) -> str:
    """Returns values as SQL literals with commas between them."""
    return ", ".join(map(literal, values))


def name(text: str) -> str:
    """Returns the name of a column in quotes."""
    return '"' + text.replace('"', '""') + '"'


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
