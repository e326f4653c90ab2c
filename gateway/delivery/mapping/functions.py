"""The functions of expressions. Each takes JSON values and returns one, or raises `Unfit`.

Null stands for a missing value. Given null, a function returns null, unless it says otherwise. A
value of the wrong kind is an error and not null: a wrong total in a report is worse than an event
that waits as a dead letter until somebody has looked. No error quotes a value.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.events.timestamps import format_ms, parse_ms
from gateway.events.values import as_number

__all__ = ["FUNCTIONS", "OPERATORS", "Function", "Unfit"]

_LARGEST_INTEGER = 2**63 - 1  # what JSON libraries of all languages can hold, as far as any does
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_MOST_DIGITS = 15
MAX_TEXT = 100_000
"""Most characters of a text that an expression makes."""


class Unfit(ValueError):
    """A value is of the wrong kind. The message does not quote it."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function, and the number of values that it takes.

    Attributes:
        least, most: bounds on the number of values; `most` is None for any number.
    """

    call: Callable[..., Any]
    least: int
    most: int | None


def lowercase(value: Any) -> Any:
    """Returns a text in lower case."""
    return None if value is None else _text(value).lower()


def uppercase(value: Any) -> Any:
    """Returns a text in upper case."""
    return None if value is None else _bounded(_text(value).upper())


def trim(value: Any) -> Any:
    """Returns a text without white space at its ends."""
    return None if value is None else _text(value).strip()


def truncate(value: Any, length: Any) -> Any:
    """Returns the first characters of a text."""
    return None if value is None else _text(value)[: _count(length)]


def replace(value: Any, old: Any, new: Any) -> Any:
    """Returns a text with every `old` replaced by `new`."""
    if value is None:
        return None
    text, old, new = _text(value), _text(old), _text(new)
    if not old:
        raise Unfit("the text to replace is empty")
    if text.count(old) * len(new) > MAX_TEXT:
        raise Unfit(f"makes a text of more than {MAX_TEXT} characters")
    return _bounded(text.replace(old, new))


def concat(*values: Any) -> Any:
    """Joins texts, numbers and booleans. Null adds nothing; nulls alone make null."""
    if all(value is None for value in values):
        return None
    return _bounded("".join([text(value) for value in values if value is not None]))


def text(value: Any) -> Any:
    """Returns a number or boolean as JSON writes it, and a text as it is."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(_finite(value))
    raise Unfit(f"{_kind(value)} is not a text, and cannot be made one")


_NONE_GIVEN = object()


def number(value: Any, otherwise: Any = _NONE_GIVEN) -> Any:
    """Returns a number, also from a text; `otherwise` for null and for any other value."""
    if value is not None:
        found = as_number(value.strip() if isinstance(value, str) else value)
        if found is not None:
            return _finite(found)
    return _otherwise(value, otherwise, "a number")


def boolean(value: Any, otherwise: Any = _NONE_GIVEN) -> Any:
    """Returns true or false, also from a text or from 1 and 0; `otherwise` for any other value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        word = str(value).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    return _otherwise(value, otherwise, "true or false")


def round_(value: Any, digits: Any = 0) -> Any:
    """Rounds a number to some digits after the point; a half goes to the even neighbour."""
    if value is None:
        return None
    rounded = round(_number(value), _count(digits, _MOST_DIGITS))
    return int(rounded) if digits == 0 and abs(rounded) < _LARGEST_INTEGER else rounded


def absolute(value: Any) -> Any:
    """Returns a number without its sign."""
    return None if value is None else abs(_number(value))


def sum_(value: Any) -> Any:
    """Returns the sum of a list of numbers; null elements count as 0."""
    if value is None:
        return None
    total: Any = 0
    for element in _list(value):
        if element is not None:
            total = _finite(total + _number(element))
    return total


def length(value: Any) -> Any:
    """Counts the characters of a text, the elements of a list or the keys of an object."""
    if value is None:
        return None
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise Unfit(f"{_kind(value)} has no length")


def join(value: Any, between: Any) -> Any:
    """Joins the texts, numbers and booleans of a list to one text."""
    if value is None:
        return None
    parts = [text(element) for element in _list(value) if element is not None]
    if len(parts) * len(_text(between)) > MAX_TEXT:
        raise Unfit(f"makes a text of more than {MAX_TEXT} characters")
    return _bounded(between.join(parts))


def sha256(value: Any) -> Any:
    """Returns the SHA-256 of a text in UTF-8, as 64 hexadecimal digits (FIPS 180-4)."""
    if value is None:
        return None
    return hashlib.sha256(_text(value).encode("utf-8", "replace")).hexdigest()


def milliseconds(value: Any) -> Any:
    """Returns a time, in any form that `parse_ms` reads, as milliseconds since 1970."""
    return None if value is None else _time(value)


def iso_time(value: Any) -> Any:
    """Returns a time as ISO 8601 in UTC with milliseconds."""
    return None if value is None else format_ms(_time(value))


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(absolute, 1, 1),
    "boolean": Function(boolean, 1, 2),
    "concat": Function(concat, 1, None),
    "iso_time": Function(iso_time, 1, 1),
    "join": Function(join, 2, 2),
    "length": Function(length, 1, 1),
    "lowercase": Function(lowercase, 1, 1),
    "milliseconds": Function(milliseconds, 1, 1),
    "number": Function(number, 1, 2),
    "replace": Function(replace, 3, 3),
    "round": Function(round_, 1, 2),
    "sha256": Function(sha256, 1, 1),
    "sum": Function(sum_, 1, 1),
    "text": Function(text, 1, 1),
    "trim": Function(trim, 1, 1),
    "truncate": Function(truncate, 2, 2),
    "uppercase": Function(uppercase, 1, 1),
}
"""All functions by name, except ``coalesce``, which does not compute all of its values."""


def _calculate(sign: str, calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        try:
            return _finite(calculate(_number(left), _number(right)))
        except ZeroDivisionError:
            raise Unfit("a division by zero") from None
        except OverflowError:
            raise Unfit(f"{sign!r} makes a number that is too large") from None

    return apply


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": _calculate("+", operator.add),
    "-": _calculate("-", operator.sub),
    "*": _calculate("*", operator.mul),
    "/": _calculate("/", operator.truediv),
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{_kind(value)} is not a text; text(...) makes one of a number")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"{_kind(value)} is not a number; number(...) makes one of a text")
    return value


def _list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise Unfit(f"{_kind(value)} is not a list")
    return value


def _count(value: Any, most: int = MAX_TEXT) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Unfit(f"expected a whole number from 0 to {most}")
    return value


def _time(value: Any) -> int:
    found = parse_ms(value)
    if found is None:
        raise Unfit(f"{_kind(value)} is not a time that can be read")
    return found


def _finite(value: Any) -> Any:
    """Returns a number as JSON can hold it; a whole number that is too large becomes a double."""
    if isinstance(value, int):
        if abs(value) <= _LARGEST_INTEGER:
            return value
        try:
            return float(value)
        except OverflowError:
            raise Unfit("the number is too large") from None
    if not math.isfinite(value):
        raise Unfit("the number is too large")
    return value


def _bounded(made: str) -> str:
    if len(made) > MAX_TEXT:
        raise Unfit(f"makes a text of more than {MAX_TEXT} characters")
    return made


def _otherwise(value: Any, otherwise: Any, wanted: str) -> Any:
    if otherwise is not _NONE_GIVEN:
        return otherwise
    if value is None:
        return None
    raise Unfit(f"{_kind(value)} is not {wanted}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "this text"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list | tuple) else "an object"
