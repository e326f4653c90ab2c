"""Answers in words, for the terminal and for reports."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from msgspec import Struct

from headgate_insights.answers import Answer, Provenance
from headgate_insights.calendar import Calendar
from headgate_insights.completeness import Completeness
from headgate_insights.figure import Headline
from headgate_insights.lakes import History

__all__ = [
    "Fact",
    "change_words",
    "completeness_words",
    "count_words",
    "facts",
    "headline_words",
    "lift_words",
    "value_words",
    "within_chance",
]

_MOST_CHANGES = 3
"""Changes of closed days that an answer names."""


class Fact(Struct, frozen=True):
    """Something that a reader must know to trust a number.

    Attributes:
        warns: whether a reader must not miss it.
    """

    name: str
    words: str
    warns: bool = False


def headline_words(one: Headline) -> str:
    """Returns the value of a headline with its unit."""
    return value_words(one.value, one.unit)


def count_words(number: int, word: str) -> str:
    """Returns a number of things: ``1 goal``, ``2 goals``."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def value_words(value: float | None, unit: str) -> str:
    """Returns a value with its unit."""
    if value is None:
        return "-"
    match unit:
        case "%":
            return f"{value:.1%}"
        case "":
            whole = value == int(value) or abs(value) >= 100
            return f"{value:,.0f}" if whole else f"{value:,.2f}"
        case "money":
            return f"{value:,.2f}"
        case unit:
            return f"{value:,.1f} {unit}"


def change_words(one: Headline, old: Headline | None) -> str:
    """Returns the change of a headline: in points for a share, else in percent."""
    if old is None or old.value is None or one.value is None:
        return ""
    if one.unit == "%":
        change = f"{(one.value - old.value) * 100:+.1f} points"
    elif old.value:
        change = f"{one.value / old.value - 1:+.1%}"
    else:
        return ""
    return f"{change} (within chance)" if within_chance(one, old) else change


def within_chance(one: Headline, old: Headline) -> bool | None:
    """Tells whether two intervals overlap; returns None if one of them is unknown."""
    if one.low is None or one.high is None or old.low is None or old.high is None:
        return None
    return one.low <= old.high and one.high >= old.low


def lift_words(lift: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """Returns a lift and its interval; empty where they are unknown."""
    between = "" if low is None or high is None else f"{low:+.1%} to {high:+.1%}"
    return "" if lift is None else f"{lift:+.1%}", between


def facts(found: Answer, calendar: Calendar) -> Iterator[Fact]:
    """Yields definition, reading, notes, and what the numbers are made of."""
    made = found.provenance
    yield Fact("definition", " ".join(found.definition))
    yield Fact("read it so", found.reading)
    for note in found.result.notes:
        yield Fact("note", note, warns=True)
    yield Fact("events", " ".join(_counted(made)))
    yield Fact("complete", f"{_watermark(made, calendar)}; {completeness_words(made.completeness)}")
    if made.history is not None:
        yield from _history(made.history)
    yield Fact("interval", _interval(made))
    yield Fact("identity", made.identity)


def _history(found: History) -> Iterator[Fact]:
    """Yields whether the days of the range can still change, and how closed ones did."""
    if not found.days:
        return
    if found.closed < found.days:
        still = found.days - found.closed
        yield Fact("late", f"{still:,} of {found.days:,} days (UTC) still take late events")
    if found.changes:
        shown = [
            f"{one.day} {one.old_rows:,} to {one.new_rows:,} ({one.why})"
            for one in found.changes[:_MOST_CHANGES]
        ]
        more = len(found.changes) - len(shown)
        yield Fact(
            "changed",
            f"events of days that were closed: {', '.join(shown)}"
            + (f", and {more} changes more" if more else ""),
            warns=True,
        )


def _interval(made: Provenance) -> str:
    sample = (
        f"a sample: one of it stands for {made.facts.least_weight:g} to {made.facts.most_weight:g}"
    )
    if not made.interval:
        return "none, as these are counts" + (f"; {sample}" if made.weighted else "")
    if made.weighted:
        return f"95 %, {made.interval}, with Kish's n; {sample}"
    people = "people" if made.unit == "person" else "accounts"
    return f"95 %, {made.interval}, for more {people} like these: nobody was left out by sampling"


def _counted(made: Provenance) -> Iterator[str]:
    bots = "counted" if made.bots else "left out"
    yield f"{made.facts.events:,} in the range; {made.facts.of_bots:,} of known bots ({bots}),"
    yield f"{made.facts.of_nobody:,} that name no {made.unit} (left out)."
    if made.filter:
        yield f"Only where {made.filter}."
    if made.who:
        yield f"Only {made.unit}s with an event in the range where {made.who}."


def _watermark(made: Provenance, calendar: Calendar) -> str:
    if made.watermark is None:
        return "watermark unknown"
    local = made.watermark.astimezone(ZoneInfo(calendar.zone))
    return f"all events up to {local:%Y-%m-%d %H:%M} are in the lake"


def completeness_words(found: Completeness | None) -> str:
    """Returns what the ledger says, in words."""
    if found is None:
        return "what was lost or denied is unknown, as no running gateway answers"
    missing = {reason: number for reason, number in found.missing.items() if number}
    if not missing:
        return f"of all {found.accepted:,} accepted events at any time none is missing"
    return (
        f"of all {found.accepted:,} accepted events the lake lacks, at any time and not only of "
        "this range, "
        + ", ".join(f"{number:,} ({reason})" for reason, number in sorted(missing.items()))
    )
