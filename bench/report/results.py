"""The report of a run, with everything needed to repeat it, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from rich.console import Console
from rich.table import Table

from bench.harness import GENERATOR_NOTE, Result, environment
from bench.report.goals import MOST_GENERATOR, Goal, Verdict, judge

__all__ = [
    "QUICK",
    "Report",
    "ReportedResult",
    "ReportedVariant",
    "is_quick",
    "make_report",
    "plain_table",
    "read_report",
    "show",
    "show_verdicts",
    "to_json",
    "verdicts",
]

_Positive = Annotated[float, Meta(gt=0)]


class ReportedVariant(Struct, frozen=True):
    """A variant in a report.

    Attributes:
        ratios: median ratio to each floor by its name, each ratio within one repeat.
        repeats: microseconds for an event in each repeat.
        notes: further numbers of each repeat.
        series: a number over time in the last repeat.
    """

    ratios: dict[str, float]
    repeats: Annotated[list[_Positive], Meta(min_length=1)]
    notes: dict[str, list[float]] = {}
    microseconds_per_event: float = 0.0
    events_per_second: float = 0.0
    series: list[tuple[float, float]] = []


class ReportedResult(Struct, frozen=True):
    """A benchmark in a report."""

    name: str
    variants: dict[str, ReportedVariant]
    about: str = ""
    scale: dict[str, float] = {}
    goals: list[Goal] = []


class Report(Struct, frozen=True):
    """All benchmarks of a run, and the versions and machine that its figures depend on."""

    results: list[ReportedResult]
    environment: dict[str, Any] = {}


def make_report(results: Sequence[Result]) -> Report:
    """Returns the report of measurements on this machine."""
    return Report([_reported(result) for result in results], environment())


def _reported(result: Result) -> ReportedResult:
    return ReportedResult(
        result.name,
        {
            name: ReportedVariant(
                variant.ratios,
                variant.microseconds,
                variant.notes,
                variant.median,
                1e6 / variant.median,
                variant.series,
            )
            for name, variant in result.variants.items()
        },
        result.about,
        msgspec.to_builtins(result.scale),
        list(result.goals),
    )


def to_json(report: Report) -> str:
    """Returns the report as text that `read_report` reads."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def read_report(text: bytes) -> Report:
    """Reads a report.

    Raises:
        ValueError: the text is no report, or does not add up.
    """
    try:
        report = msgspec.json.decode(text, type=Report)
    except msgspec.MsgspecError as error:
        raise ValueError(f"is no report of `bench run --json`: {error}") from error
    for result in report.results:
        numbers = {name: len(variant.repeats) for name, variant in result.variants.items()}
        if len(set(numbers.values())) > 1:
            said = ", ".join(f"{name} {number}" for name, number in numbers.items())
            raise ValueError(f"cannot be used: repeats of {result.name} differ in number: {said}")
        for name, variant in result.variants.items():
            missing = [floor for floor in variant.ratios if floor not in numbers]
            if missing:
                raise ValueError(
                    f"cannot be used: {result.name} / {name} has a ratio to {missing[0]!r}, "
                    "which was not measured"
                )
    return report


def verdicts(report: Report) -> list[Verdict]:
    """Judges all goals of a report by its figures."""
    return [
        judge(
            goal,
            {name: variant.repeats for name, variant in result.variants.items()},
            result.variants[goal.subject].notes,
            _generator(result.variants, goal),
        )
        for result in report.results
        for goal in result.goals
        if goal.subject in result.variants
        and (not goal.floor or goal.floor in result.variants)
        and (not goal.note or goal.note in result.variants[goal.subject].notes)
    ]


def _generator(variants: Mapping[str, ReportedVariant], goal: Goal) -> float:
    """Returns the generator's load in percent of its processor, for the subject or its floor."""
    if not goal.floor:
        return 0.0
    sides = (variants[goal.subject], variants[goal.floor])
    return max(median(side.notes.get(GENERATOR_NOTE, [0.0])) for side in sides)


def show(result: ReportedResult, console: Console) -> None:
    """Prints a benchmark's table."""
    variants = result.variants
    console.print(f"[bold]{result.name}[/]: {result.about}", highlight=False)
    floors = list(dict.fromkeys(f for v in variants.values() for f in v.ratios))
    notes = list(dict.fromkeys(n for v in variants.values() for n in v.notes))
    if len(floors) + len(notes) > _MOST_COLUMNS:
        _show_turned(variants, floors, notes, console)
        return
    table = plain_table(
        "µs/event", "spread", "events/s", *(f"x {floor}" for floor in floors), *notes
    )
    for name, variant in variants.items():
        table.add_row(
            name,
            f"{median(variant.repeats):.2f}",
            _spread(variant.repeats),
            f"{1e6 / median(variant.repeats):,.0f}",
            *(f"{variant.ratios[f]:.2f}" if f in variant.ratios else "" for f in floors),
            *(_note(variant, note) for note in notes),
        )
    console.print(table)
    console.print()


_MOST_COLUMNS = 4
"""Most columns of ratios and notes; a table with more shows them in rows, to fit a terminal."""


def _show_turned(
    variants: Mapping[str, ReportedVariant],
    floors: Sequence[str],
    notes: Sequence[str],
    console: Console,
) -> None:
    every = variants.values()
    table = plain_table(*variants)
    table.add_row("µs/event", *(f"{median(variant.repeats):.2f}" for variant in every))
    table.add_row("spread", *(_spread(variant.repeats) for variant in every))
    table.add_row("events/s", *(f"{1e6 / median(variant.repeats):,.0f}" for variant in every))
    for floor in floors:
        ratios = (variant.ratios.get(floor) for variant in every)
        table.add_row(f"x {floor}", *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios))
    for note in notes:
        table.add_row(note, *(_note(variant, note) for variant in every))
    console.print(table)
    console.print()


def _note(variant: ReportedVariant, note: str) -> str:
    if note not in variant.notes:
        return ""
    value = median(variant.notes[note])
    return (
        f"[red]{value:,.1f}[/]"
        if note == GENERATOR_NOTE and value > MOST_GENERATOR
        else f"{value:,.1f}"
    )


_QUICK_SECONDS = 1.0
QUICK = "This was a quick run: it shows that everything works, and its figures mean little."


def is_quick(report: Report) -> bool:
    """Returns whether measurements were too short for figures."""
    return any(
        result.scale.get("seconds", _QUICK_SECONDS) < _QUICK_SECONDS for result in report.results
    )


_STATE_STYLE = {"met": "[green]met[/]", "missed": "[red]missed[/]", "unclear": "[yellow]unclear[/]"}


def show_verdicts(judged: Sequence[Verdict], console: Console) -> None:
    """Prints the goals as a table."""
    table = plain_table("measured", "interval", "goal", "")
    table.columns[0].no_wrap = False
    for verdict in judged:
        table.add_row(
            verdict.goal.work,
            f"{verdict.value:,.2f}",
            f"{verdict.low:,.2f} to {verdict.high:,.2f}",
            verdict.goal.bound,
            _STATE_STYLE[verdict.state],
        )
    console.print(table)


def plain_table(*columns: str) -> Table:
    """Returns an empty table: a column for names, then these columns for figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _spread(repeats: Sequence[float]) -> str:
    """Returns the distance of the slowest and the fastest repeat in percent of the median."""
    return f"{(max(repeats) - min(repeats)) / median(repeats):.0%}"
