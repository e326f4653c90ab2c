"""Compares two reports: the change of each subject against its floor, with an interval.

Times of two runs do not compare, because machines are noisy and may differ. A subject's time over
that of its floor, taken within one repeat, does: it has the noise of both runs, and little of the
machine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console

from bench.report.results import Report, ReportedVariant, plain_table
from bench.report.stats import interval

__all__ = ["Change", "compare", "show_changes"]


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a subject against a floor.

    Attributes:
        before, after: its time over the floor's, the median over the repeats.
        factor: `after` over `before`; above 1 it has become slower.
        low, high: interval of `factor`.
    """

    benchmark: str
    variant: str
    floor: str
    before: float
    after: float
    factor: float
    low: float
    high: float

    def regressed(self, bound: float) -> bool:
        """Returns whether it is slower by more than `bound`, a share such as 0.1, beyond chance."""
        return self.factor > 1 + bound and self.low > 1


def compare(before: Report, after: Report) -> list[Change]:
    """Returns the changes of all subjects and floors that both reports have."""
    later = {benchmark.name: benchmark.variants for benchmark in after.results}
    changes = []
    for benchmark in before.results:
        variants = later.get(benchmark.name, {})
        for name, variant in benchmark.variants.items():
            for floor in variant.ratios:
                if name in variants and floor in variants[name].ratios:
                    old = _ratios(benchmark.variants, name, floor)
                    new = _ratios(variants, name, floor)
                    changes.append(_change(benchmark.name, name, floor, old, new))
    return changes


def _ratios(variants: Mapping[str, ReportedVariant], name: str, floor: str) -> list[float]:
    pairs = zip(variants[name].repeats, variants[floor].repeats, strict=True)
    return [own / base for own, base in pairs]


def _change(
    benchmark: str, variant: str, floor: str, old: Sequence[float], new: Sequence[float]
) -> Change:
    before, after = median(old), median(new)
    low, high = interval(new, old, of=lambda new, old: median(new) / median(old))
    return Change(benchmark, variant, floor, before, after, after / before, low, high)


def show_changes(changes: Sequence[Change], bound: float, console: Console) -> None:
    """Prints changes as a table; regressions stand out."""
    table = plain_table("before", "after", "change", "interval", "")
    for change in changes:
        slower = change.regressed(bound)
        table.add_row(
            f"{change.benchmark} / {change.variant}, x {change.floor}",
            f"{change.before:.2f}",
            f"{change.after:.2f}",
            f"{change.factor - 1:+.0%}",
            f"{change.low - 1:+.0%} to {change.high - 1:+.0%}",
            "[red]slower[/]" if slower else "",
        )
    console.print(table)
