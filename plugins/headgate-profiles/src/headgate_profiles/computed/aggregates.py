"""The kinds of computed traits: state of one event, merge of two states, and result.

A state is made of numbers below 2^64, texts, lists and dicts, so that it can be stored as it is.
Merging is commutative and associative: sums are whole numbers of millionths, because sums of floats
depend on their order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from gateway import as_number
from headgate_profiles.traits.rules import Origin, as_json

__all__ = ["AGGREGATES", "MOST_VALUES", "MOST_VALUE_CHARACTERS", "Aggregate", "Kind", "State"]

Kind: TypeAlias = Literal[
    "count",
    "sum",
    "average",
    "min",
    "max",
    "first",
    "last",
    "most_frequent",
    "unique_list",
    "unique_count",
]

State: TypeAlias = Any

MOST_VALUES = 200
"""Different values of `most_frequent`, `unique_list` and `unique_count` that are kept."""

MOST_VALUE_CHARACTERS = 500
"""A longer value, as JSON, does not count."""

_EXACT = 2**53
"""Whole numbers from here on are stored as floats, which have no bound."""

_MILLIONTHS = 1_000_000
_LARGEST = 1e15
"""Numbers beyond this are not added up: no amount is so large, and mistakes are."""

_LEAST_OFTEN = 2
"""As with Segment, a value is the most frequent one from its second time on."""


class Aggregate(NamedTuple):
    """A kind of computed trait.

    Attributes:
        start: makes the state of one value, or None if the value does not count.
        merge: merges two states into a new one.
        result: returns the value that readers see, or None.
    """

    start: Callable[[Any, Origin], State | None]
    merge: Callable[[State, State], State]
    result: Callable[[State], Any]


def _one(_: Any, __: Origin) -> State:
    return 1


def _plus(a: State, b: State) -> State:
    return a + b


def _same(state: State) -> Any:
    return state


def _amount(value: Any, _: Origin) -> State | None:
    number = as_number(value)
    if number is None or abs(number) > _LARGEST:
        return None
    # As text, because a sum may exceed 64 bits.
    return [1, str(round(number * _MILLIONTHS))]


def _add(a: State, b: State) -> State:
    return [a[0] + b[0], str(int(a[1]) + int(b[1]))]


def _sum(state: State) -> Any:
    return _number(int(state[1]) / _MILLIONTHS)


def _average(state: State) -> Any:
    return _number(int(state[1]) / _MILLIONTHS / state[0])


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _finite(value: Any, _: Origin) -> State | None:
    number = as_number(value)
    return number if number is None or abs(number) < _EXACT else float(number)


def _dated(value: Any, origin: Origin) -> State | None:
    text = None if value is None else _text(value)
    return None if text is None else [*origin, text]


def _value(state: State) -> Any:
    return _decoded(state[3])


def _text(value: Any) -> str | None:
    """Returns a value as JSON; None if that is too long to be kept."""
    text = as_json(value).decode()
    return text if len(text) <= MOST_VALUE_CHARACTERS else None


def _tally(value: Any, _: Origin) -> State | None:
    text = None if value is None else _text(value)
    return None if text is None else {text: 1}


def _tally_both(a: State, b: State) -> State:
    both = dict(a)
    for value, times in b.items():
        both[value] = both.get(value, 0) + times
    if len(both) <= MOST_VALUES:
        return both
    kept = heapq.nsmallest(MOST_VALUES, both, key=lambda value: (-both[value], value))
    return {value: both[value] for value in kept}


def _favourite(state: Mapping[str, int]) -> Any:
    value = min(state, key=lambda value: (-state[value], value))
    return _decoded(value) if state[value] >= _LEAST_OFTEN else None


def _items(value: Any, _: Origin) -> State | None:
    found = value if isinstance(value, list) else [value]
    texts = {text for item in found if item is not None and (text := _text(item)) is not None}
    return heapq.nsmallest(MOST_VALUES, texts) or None


def _union(a: State, b: State) -> State:
    return heapq.nsmallest(MOST_VALUES, {*a, *b})


def _list(state: State) -> Any:
    return [_decoded(value) for value in state]


def _decoded(text: str) -> Any:
    return msgspec.json.decode(text)


AGGREGATES: Mapping[Kind, Aggregate] = {
    "count": Aggregate(_one, _plus, _same),
    "sum": Aggregate(_amount, _add, _sum),
    "average": Aggregate(_amount, _add, _average),
    "min": Aggregate(_finite, min, _same),
    "max": Aggregate(_finite, max, _same),
    "first": Aggregate(_dated, min, _value),
    "last": Aggregate(_dated, max, _value),
    "most_frequent": Aggregate(_tally, _tally_both, _favourite),
    "unique_list": Aggregate(_items, _union, _list),
    "unique_count": Aggregate(_items, _union, len),
}
