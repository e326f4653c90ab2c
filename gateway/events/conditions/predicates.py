"""The tests that conditions are made of.

Each function takes ``read``, which returns a value of an event, and makes a test of it. No test
raises, for any JSON value. Values are compared as in JSON: ``true`` is not 1, ``1`` is ``1.0``, and
objects and lists equal nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from gateway.events.event import Event

__all__ = [
    "all_of",
    "among",
    "any_of",
    "contains",
    "ends_with",
    "equal",
    "equal_values",
    "length",
    "lowercase",
    "match",
    "negation",
    "ordered",
    "ordered_values",
    "starts_with",
]

Read: TypeAlias = Callable[[Event], Any]
Test: TypeAlias = Callable[[Event], bool]

_NUMBERS = frozenset({int, float})  # compared by exact type, as bool is an int
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def all_of(terms: Sequence[Test]) -> Test:
    """Makes a test that all terms are true. It stops at the first false term."""
    if len(terms) == 1:
        return terms[0]
    if len(terms) == 2:
        first, second = terms
        return lambda event: first(event) and second(event)
    fixed = tuple(terms)

    def every(event: Event) -> bool:
        for term in fixed:  # noqa: SIM110 - all() over a generator takes twice as long
            if not term(event):
                return False
        return True

    return every


def any_of(terms: Sequence[Test]) -> Test:
    """Makes a test that one of the terms is true. It stops at the first true term."""
    if len(terms) == 1:
        return terms[0]
    fixed = tuple(terms)

    def some(event: Event) -> bool:
        for term in fixed:  # noqa: SIM110 - any() over a generator takes twice as long
            if term(event):
                return True
        return False

    return some


def negation(test: Test) -> Test:
    """Makes a test that `test` is false."""
    return lambda event: not test(event)


def equal(read: Read, literal: Any) -> Test:
    """Makes a test that a value is this text, number, boolean or null."""
    if literal is None or isinstance(literal, bool):
        return lambda event: read(event) is literal
    if isinstance(literal, str):

        def same_text(event: Event) -> bool:
            same: bool = read(event) == literal
            return same

        return same_text

    def same_number(event: Event) -> bool:
        value = read(event)
        same: bool = type(value) in _NUMBERS and value == literal
        return same

    return same_number


def equal_values(read: Read, other: Read) -> Test:
    """Makes a test that two values of an event are the same text, number, boolean or null."""

    def same(event: Event) -> bool:
        left, right = read(event), other(event)
        if left is None or isinstance(left, bool):
            return left is right
        comparable = isinstance(left, str) or (type(left) in _NUMBERS and type(right) in _NUMBERS)
        equals: bool = comparable and left == right
        return equals

    return same


def ordered(sign: str, read: Read, literal: Any) -> Test:
    """Makes a test of a value's order to a text or number; false for values of other types."""
    compare = _ORDER[sign]
    if isinstance(literal, str):

        def text_order(event: Event) -> bool:
            value = read(event)
            return isinstance(value, str) and compare(value, literal)

        return text_order
    if literal is None or isinstance(literal, bool):
        return lambda _: False

    def number_order(event: Event) -> bool:
        value = read(event)
        return type(value) in _NUMBERS and compare(value, literal)

    return number_order


def ordered_values(sign: str, read: Read, other: Read) -> Test:
    """Makes a test of the order of two values; false unless both are texts or both numbers."""
    compare = _ORDER[sign]

    def order(event: Event) -> bool:
        left, right = read(event), other(event)
        both_texts = isinstance(left, str) and isinstance(right, str)
        both_numbers = type(left) in _NUMBERS and type(right) in _NUMBERS
        return (both_texts or both_numbers) and compare(left, right)

    return order


def among(read: Read, literals: Sequence[Any]) -> Test:
    """Makes a test that a value is one of these literals."""
    texts = frozenset(literal for literal in literals if isinstance(literal, str))
    others = tuple(equal(lambda value: value, x) for x in literals if not isinstance(x, str))

    def is_one(event: Event) -> bool:
        value = read(event)
        if isinstance(value, str):
            return value in texts
        return any(is_other(value) for is_other in others)

    return is_one


def contains(read: Read, part: Any) -> Test:
    """Makes a test that a text contains this text, or a list this element."""
    is_part = equal(lambda value: value, part)
    text = part if isinstance(part, str) else None

    def has(event: Event) -> bool:
        value = read(event)
        if isinstance(value, str):
            return text is not None and text in value
        return isinstance(value, list | tuple) and any(map(is_part, value))

    return has


def starts_with(read: Read, prefix: str) -> Test:
    """Makes a test that a value is a text with this prefix."""

    def starts(event: Event) -> bool:
        value = read(event)
        return isinstance(value, str) and value.startswith(prefix)

    return starts


def ends_with(read: Read, suffix: str) -> Test:
    """Makes a test that a value is a text with this suffix."""

    def ends(event: Event) -> bool:
        value = read(event)
        return isinstance(value, str) and value.endswith(suffix)

    return ends


def match(read: Read, pattern: str) -> Test:
    """Makes a test that a text matches: ``*`` is any text, ``?`` any one character."""
    fits = _glob(pattern).fullmatch

    def matches(event: Event) -> bool:
        value = read(event)
        return isinstance(value, str) and fits(value) is not None

    return matches


def lowercase(read: Read) -> Read:
    """Makes a reader of a text in lower case; null for any other value."""

    def lower(event: Event) -> Any:
        value = read(event)
        return value.lower() if isinstance(value, str) else None

    return lower


def length(read: Read) -> Read:
    """Makes a reader of the length of a text, list or object; null for any other value."""

    def count(event: Event) -> Any:
        value = read(event)
        return len(value) if isinstance(value, str | list | tuple | Mapping) else None

    return count


_GLOB_PARTS = re.compile(r"\\(.)|(\*+)|(\?)|([^*?\\]+|\\$)", re.DOTALL)


def _glob(pattern: str) -> re.Pattern[str]:
    """Compiles a glob into a regular expression with a running time of text times pattern.

    Each ``*`` except the last becomes an atomic group. It stops at the first position where the
    next piece fits. A later position could never give a better match, so no backtracking is needed.
    """
    pieces = [""]
    for escaped, stars, one, plain in _GLOB_PARTS.findall(pattern):
        if stars:
            pieces.append("")
        else:
            pieces[-1] += "." if one else re.escape(escaped or plain)
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1] if piece)
    return re.compile(f"{pieces[0]}{middle}.*{pieces[-1]}", re.DOTALL)
