"""What the figures are to be, and whether they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from msgspec import Struct

from bench.report.stats import interval

__all__ = ["MOST_GENERATOR", "Goal", "Verdict", "judge"]

MOST_GENERATOR = 85.0
"""Percent of its processor; a generator that is busier may have been the limit itself."""


class Goal(Struct, frozen=True):
    """What a figure of a benchmark is to be.

    Attributes:
        work: what is measured, in words.
        subject: name of the variant.
        floor: variant that the subject's speed is divided by; empty for a goal on a note.
        note: name of the note that has a bound; empty for a goal on a ratio.
        least, most: the bound; one of them is given.
        said: more that a reader should know, such as what a peer guarantees.
    """

    work: str
    subject: str
    floor: str = ""
    note: str = ""
    least: float | None = None
    most: float | None = None
    said: str = ""

    @property
    def bound(self) -> str:
        """The bound as text."""
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal beside what was measured.

    Attributes:
        value: the median over the repeats.
        low, high: interval of 95 % of it.
        state: ``unclear`` where the generator was too busy to be sure that it was not the limit.
        rate: events a second of the subject, and of the floor, where the goal is on their ratio.
        generator: percent of its processor that the generator needed at most; 0 without one.
    """

    goal: Goal
    value: float
    low: float
    high: float
    state: Literal["met", "missed", "unclear"]
    rate: float | None = None
    floor_rate: float | None = None
    generator: float = 0.0


def judge(
    goal: Goal,
    microseconds: Mapping[str, Sequence[float]],
    notes: Mapping[str, Sequence[float]],
    generator: float = 0.0,
) -> Verdict:
    """Hold a goal against figures.

    Args:
        microseconds: for an event, of each repeat, by variant.
        notes: of the subject, of each repeat.
        generator: percent; see `Verdict`.
    """
    rate = floor_rate = None
    if goal.floor:
        own, base = microseconds[goal.subject], microseconds[goal.floor]
        values = [floor / subject for floor, subject in zip(base, own, strict=True)]
        rate, floor_rate = 1e6 / median(own), 1e6 / median(base)
    else:
        values = list(notes[goal.note])
    value = median(values)
    met = value >= goal.least if goal.least is not None else value <= (goal.most or 0.0)
    # A generator that was the limit makes its subject look slow, never fast; the same is true of
    # its floor, and then the ratio flatters.
    state: Literal["met", "missed", "unclear"] = "met" if met else "missed"
    if generator > MOST_GENERATOR:
        state = "unclear"
    return Verdict(goal, value, *interval(values), state, rate, floor_rate, generator)
