"""Which part of a breakdown explains a change.

A number that adds up over the values of a breakdown changes by the sum of their changes. A share
that is the mean of theirs, by people, changes because shares change and because the mix of people
does; both belong to the value where it happens:

    contribution = (w1 v1 - w0 v0) - (w1 - w0) m    w: part of the people, v: value,
                                                    m: mean of the whole before and after

Contributions add up to the change. A number that is neither, such as a median, is not split. The
breakdown that explains most is the one whose contributions differ most from what the size of its
values alone would give: a country with 60 % of the people and of the change explains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from headgate_insights.figure import Headline

__all__ = ["FEWEST", "LEAST_SURPRISE", "Cause", "Part", "cause", "most_telling"]

FEWEST = 30.0
"""Values of a breakdown with fewer people, or a smaller count, are put together."""

LEAST_SURPRISE = 0.2
"""Part of a change that must be out of proportion, else it counts as spread evenly."""

FEW = "(few)"
_TOLERANCE = 0.02


class Part(Struct, frozen=True, kw_only=True):
    """What a value of a breakdown adds to a change.

    Attributes:
        contribution: in the unit of the number.
        share: part of the change; more than 1, or negative, if others went the other way.
        size: its part of the whole before, from 0 to 1.
    """

    label: str
    before: float
    now: float
    contribution: float
    share: float
    size: float


class Cause(Struct, frozen=True, kw_only=True):
    """A breakdown of a change.

    Attributes:
        parts: by the size of their contribution.
        surprise: part of the change that is out of proportion, from 0 up.
    """

    by: str
    parts: list[Part]
    surprise: float


class _Value(Struct):
    value: float
    weight: float


def cause(
    by: str,
    now: Headline,
    before: Headline,
    parts_now: Sequence[Headline],
    parts_before: Sequence[Headline],
) -> Cause | None:
    """Splits a change; returns None if the number cannot be split by this breakdown.

    Args:
        now, before: the number of the whole.
        parts_now, parts_before: the same number of each value of the breakdown.
    """
    if now.value is None or before.value is None or now.value == before.value:
        return None
    change = now.value - before.value
    adds_up = _near(_sum(parts_now), now.value) and _near(_sum(parts_before), before.value)
    pairs = _pairs(parts_now, parts_before, adds_up=adds_up)
    if len(pairs) < 2:
        return None
    if adds_up:
        found = _added(pairs, change)
    else:
        old_people = sum(old.weight for old, _ in pairs.values())
        new_people = sum(new.weight for _, new in pairs.values())
        if not old_people or not new_people:
            return None
        old_mean = sum(old.weight * old.value for old, _ in pairs.values()) / old_people
        new_mean = sum(new.weight * new.value for _, new in pairs.values()) / new_people
        if not (_near(old_mean, before.value) and _near(new_mean, now.value)):
            return None
        found = _averaged(pairs, change, old_people, new_people, (old_mean + new_mean) / 2)
    found.sort(key=lambda part: -abs(part.contribution))
    surprise = sum(abs(part.share - part.size) for part in found) / 2
    return Cause(by=by, parts=found, surprise=surprise)


def most_telling(causes: Sequence[Cause]) -> Cause | None:
    """Returns the breakdown that explains most; None if the change is spread evenly over all."""
    best = max(causes, key=lambda one: one.surprise, default=None)
    return best if best is not None and best.surprise >= LEAST_SURPRISE else None


def _sum(parts: Sequence[Headline]) -> float:
    return sum(one.value for one in parts if one.value is not None)


def _pairs(
    parts_now: Sequence[Headline], parts_before: Sequence[Headline], *, adds_up: bool
) -> dict[str, tuple[_Value, _Value]]:
    """Returns the values before and now by label; the few are put together."""
    new = {one.label: one for one in parts_now}
    old = {one.label: one for one in parts_before}
    pairs: dict[str, tuple[_Value, _Value]] = {}
    few: list[tuple[_Value, _Value]] = []
    for label in {**new, **old}:
        pair = (_value(old.get(label)), _value(new.get(label)))
        if max(one.weight for one in pair) < FEWEST:
            few.append(pair)
        else:
            pairs[label] = pair
    if few:
        pairs[FEW] = (
            _together([one for one, _ in few], adds_up=adds_up),
            _together([one for _, one in few], adds_up=adds_up),
        )
    return pairs


def _value(one: Headline | None) -> _Value:
    if one is None or one.value is None:
        return _Value(0.0, 0.0)
    return _Value(one.value, one.value if one.n is None else one.n)


def _together(values: list[_Value], *, adds_up: bool) -> _Value:
    weight = sum(one.weight for one in values)
    if adds_up:
        return _Value(sum(one.value for one in values), weight)
    whole = sum(one.value * one.weight for one in values)
    return _Value(whole / weight if weight else 0.0, weight)


def _added(pairs: dict[str, tuple[_Value, _Value]], change: float) -> list[Part]:
    whole = sum(old.value for old, _ in pairs.values())
    return [
        Part(
            label=label,
            before=old.value,
            now=new.value,
            contribution=new.value - old.value,
            share=(new.value - old.value) / change,
            size=old.value / whole if whole else 0.0,
        )
        for label, (old, new) in pairs.items()
    ]


def _averaged(
    pairs: dict[str, tuple[_Value, _Value]],
    change: float,
    old_people: float,
    new_people: float,
    mean: float,
) -> list[Part]:
    found = []
    for label, (old, new) in pairs.items():
        w0, w1 = old.weight / old_people, new.weight / new_people
        given = (w1 * new.value - w0 * old.value) - (w1 - w0) * mean
        found.append(
            Part(
                label=label,
                before=old.value,
                now=new.value,
                contribution=given,
                share=given / change,
                size=w0,
            )
        )
    return found


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _TOLERANCE * abs(other)
