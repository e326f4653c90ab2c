"""An inventory of personal data in a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from gateway.cli.console import Console
from gateway.events.printing import printable
from gateway.privacy.inventory import Report

__all__ = ["show"]

_COLOURS = {"red": "bold red", "yellow": "yellow", "green": "green"}


def show(report: Report) -> None:
    """Prints the rows of an inventory, and the number of values by colour."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "kind", "source", "event", "path", "values", "sample"):
        table.add_column(heading, justify="right" if heading == "values" else "left")
    for row in report.rows:
        cells = (row.kind, row.source, row.event, row.path, f"{row.count:,}", row.sample)
        table.add_row(Text("●", _COLOURS[row.colour]), *(Text(printable(cell)) for cell in cells))
    if report.rows:
        console.print(table)
    counts = dict.fromkeys(_COLOURS, 0)
    for row in report.rows:
        counts[row.colour] += row.count
    said = ", ".join(f"[{_COLOURS[colour]}]{n:,} {colour}[/]" for colour, n in counts.items())
    console.print(f"{report.events:,} events: {said}")
    if report.beyond:
        console.print(f"{report.beyond:,} more values at places that the list has no room for")
