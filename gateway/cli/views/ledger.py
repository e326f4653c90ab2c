"""The ledger in a terminal."""

from __future__ import annotations

from rich.table import Table

from gateway.cli.console import Console
from gateway.state.ledger.statement import Statement

__all__ = ["show"]


def show(found: Statement) -> None:
    """Prints a statement: sources, destinations, and what does not balance."""
    console = Console(highlight=False)
    if found.sources:
        console.print(_sources(found))
        console.print()
    if found.destinations:
        console.print(_destinations(found))
        console.print()
    for first, end in found.gaps:
        console.print(f"[yellow]the queue lacks events {first} to {end - 1}: damaged on disk[/]")
    for finding in found.findings:
        kind = "are missing" if finding.missing > 0 else "are counted twice"
        console.print(
            f"[bold red]{finding.where}: {abs(finding.missing):,} events {kind}, "
            f"at offsets {finding.first} to {finding.end - 1}: {finding.text}[/]"
        )
    if found.balanced:
        console.print("[green]the ledger balances[/]: every event is accounted for")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == headings[0] else "right")
    return table


def _sources(found: Statement) -> Table:
    table = _table("source", "received", "= accepted", "+ duplicate", "+ discarded")
    for one in found.sources:
        discarded = sum(one.discarded.values())
        numbers = (one.received, one.accepted, one.duplicate, discarded)
        table.add_row(one.id or "(unknown: damaged)", *(f"{number:,}" for number in numbers))
        for code, number in sorted(one.discarded.items()):
            table.add_row(f"  [dim]{code}[/]", "", "", "", f"[dim]{number:,}[/]")
    return table


def _destinations(found: Statement) -> Table:
    table = _table(
        "destination", "accepted", "+ replayed", "= delivered", "+ filtered", "+ dead", "+ pending"
    )
    for one in found.destinations:
        filtered, dead = sum(one.filtered.values()), sum(one.dead.values())
        numbers = (one.accepted, one.replayed, one.delivered, filtered, dead, one.pending)
        table.add_row(one.id, *(f"{number:,}" for number in numbers))
        for rule, number in sorted(one.filtered.items()):
            table.add_row(f"  [dim]{rule}[/]", "", "", "", f"[dim]{number:,}[/]")
        for reason, number in sorted(one.dead.items()):
            table.add_row(f"  [dim]{reason}[/]", "", "", "", "", f"[dim]{number:,}[/]")
        if one.waiting:
            table.add_row("  [dim]for another try[/]", *[""] * 5, f"[dim]{one.waiting:,}[/]")
    return table
