"""The goals of figures, and the verdict on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from msgspec import Struct

from bench.report.stats import interval

__all__ = ["MOST_GENERATOR", "Goal", "Verdict", "judge"]

MOST_GENERATOR = 85.0
"""Percent of its processor; a busier generator may have been the limit itself."""


class Goal(Struct, frozen=True):
    """A bound on a figure of a benchmark.

    Attributes:
        work: the measured work in words.
        subject: name of the variant.
        floor: variant whose speed divides the subject's; empty for a goal on a note.
        note: name of the note that has a bound; empty for a goal on a ratio.
        least, most: the bound; exactly one is set.
        said: a remark for the reader, such as what a peer guarantees.
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
        """Returns the bound as text."""
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal beside the measured figure.

    Attributes:
        value: the median over the repeats.
        low, high: its interval of 95 %.
        state: ``unclear`` if the generator was so busy that it may have been the limit.
        rate: events a second of the subject and the floor, if the goal is on their ratio.
        generator: the generator's highest load in percent of its processor; 0 without one.
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
    """Judges a goal by figures.

    Args:
        microseconds: for an event in each repeat, by variant.
        notes: of the subject in each repeat.
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
    # A generator at its limit makes its subject look slow, never fast. If it slows the floor, the
    # ratio looks too good.
    state: Literal["met", "missed", "unclear"] = "met" if met else "missed"
    if generator > MOST_GENERATOR:
        state = "unclear"
    return Verdict(goal, value, *interval(values), state, rate, floor_rate, generator)
