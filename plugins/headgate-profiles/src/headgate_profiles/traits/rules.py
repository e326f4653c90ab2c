"""Decides between several values of a trait.

Each rule reduces values to those that may still matter. The result does not depend on their order,
nor on which of them were reduced before, and reducing it again changes nothing. So records can be
merged in any order, and an event that arrives twice or late does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from gateway import as_number

__all__ = ["Origin", "Rule", "Value", "as_json", "reduced", "shown"]

Rule: TypeAlias = Literal["newest", "oldest", "max", "min", "union"]

_encoder = msgspec.json.Encoder(order="deterministic")


class Origin(NamedTuple):
    """The event that brought a value; the newer of two origins is the greater one."""

    at_ms: int
    message_id: str
    source: str


class Value(NamedTuple):
    """A JSON value of a trait. None says that the trait was removed."""

    value: Any
    origin: Origin


def as_json(value: Any) -> bytes:
    """Returns a value as JSON, equal for equal values."""
    return _encoder.encode(value)


def reduced(rule: Rule, values: Iterable[Value], most_items: int) -> tuple[Value, ...]:
    """Returns the values that matter by a rule, in a fixed order.

    Args:
        most_items: bound on the items of a union; the newest stay.
    """
    found = tuple(values)
    if rule == "union":
        return _union(found, most_items)
    if rule in ("max", "min"):
        return _extreme(rule, found)
    if len(found) <= 1:
        return found
    if rule == "newest":
        return (_newest(found),)
    present = [one for one in found if one.value is not None]
    return (min(present, key=_age),) if present else (_newest(found),)


def shown(rule: Rule, values: Iterable[Value], most_items: int) -> Value | None:
    """Returns the value of a trait that readers see; None if it was removed or never set."""
    kept = reduced(rule, values, most_items)
    if not kept:
        return None
    if rule == "union":
        return Value([one.value for one in kept], max(one.origin for one in kept))
    (only,) = kept
    return None if only.value is None else only


def _newest(values: tuple[Value, ...]) -> Value:
    best = values[0]
    for one in values[1:]:
        if one.origin > best.origin or (one.origin == best.origin and _age(one) > _age(best)):
            best = one
    return best


def _age(one: Value) -> tuple[Origin, bytes]:
    return one.origin, _encoder.encode(one.value)


def _extreme(rule: Rule, values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Returns the greatest or the least value, with its first origin.

    Numbers are compared as such. Texts, such as dates, count where no number is there. Lists,
    objects and booleans have no order.
    """
    ranked: list[tuple[float | str, Value]] = []
    texts: list[tuple[float | str, Value]] = []
    for one in values:
        number = as_number(one.value)
        if number is not None:
            ranked.append((number, one))
        elif isinstance(one.value, str):
            texts.append((one.value, one))
    ranked = ranked or texts
    if not ranked:
        return ()
    best = (max if rule == "max" else min)(rank for rank, _ in ranked)
    return (min((one for rank, one in ranked if rank == best), key=_age),)


def _union(values: tuple[Value, ...], most: int) -> tuple[Value, ...]:
    """Returns the different items with their newest origins, the newest first."""
    items: dict[bytes, Value] = {}
    for item in _items(values):
        key = _encoder.encode(item.value)
        known = items.get(key)
        if known is None or item.origin > known.origin:
            items[key] = item
    order = sorted(items.items(), key=lambda entry: (entry[1].origin, entry[0]), reverse=True)
    return tuple(item for _, item in order[:most])


def _items(values: tuple[Value, ...]) -> Iterator[Value]:
    for one in values:
        if isinstance(one.value, list | tuple):
            yield from (Value(item, one.origin) for item in one.value if item is not None)
        elif one.value is not None:
            yield one
