"""Shows results as a table, and as JSON with everything needed to repeat them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from bench.harness import Result, VariantResult, environment

__all__ = ["plain_table", "show", "to_json"]


def to_json(results: Sequence[Result]) -> str:
    """One object: ``environment`` and ``results``; each variant with the median and all repeats."""
    report = {
        "environment": environment(),
        "results": [
            {
                "name": result.name,
                "about": result.about,
                "scale": result.scale,
                "variants": {
                    name: {
                        "microseconds_per_event": variant.median,
                        "events_per_second": 1e6 / variant.median,
                        "ratios": variant.ratios,
                        "notes": variant.notes,
                        "repeats": variant.microseconds,
                    }
                    for name, variant in result.variants.items()
                },
            }
            for result in results
        ],
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def show(result: Result, console: Console) -> None:
    """Print a benchmark's table."""
    floors = list(dict.fromkeys(f for v in result.variants.values() for f in v.ratios))
    notes = list(dict.fromkeys(n for v in result.variants.values() for n in v.notes))
    console.print(f"[bold]{result.name}[/]: {result.about}", highlight=False)
    table = plain_table(
        "µs/event", "spread", "events/s", *(f"x {floor}" for floor in floors), *notes
    )
    for name, variant in result.variants.items():
        table.add_row(
            name,
            f"{variant.median:.2f}",
            _spread(variant),
            f"{1e6 / variant.median:,.0f}",
            *(f"{variant.ratios[f]:.2f}" if f in variant.ratios else "" for f in floors),
            *(f"{variant.notes[n]:,.1f}" if n in variant.notes else "" for n in notes),
        )
    console.print(table)
    console.print()


def plain_table(*columns: str) -> Table:
    """An empty table: a column for names without a heading, then these, for figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _spread(variant: VariantResult) -> str:
    """How far apart the slowest and the fastest repeat are, in percent of the median."""
    low, high = min(variant.microseconds), max(variant.microseconds)
    return f"{(high - low) / variant.median:.0%}"
