"""Reports of erasures, and their progress, in a terminal."""

from __future__ import annotations

import sys

import click
from rich.markup import escape
from rich.table import Table

from gateway.cli.console import Console
from gateway.cli.output import say
from gateway.privacy.regulations import Report

__all__ = ["show_progress", "show_report"]


def show_progress(text: str) -> None:
    """Prints the progress; on a terminal it replaces the line before."""
    if text:
        if _is_terminal():
            click.echo("\r\x1b[K", err=True, nl=False)
        say(text, err=True, nl=not _is_terminal())


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def show_report(report: Report) -> None:
    """Prints the status of a regulation, and that of each place."""
    console = Console(highlight=False)
    console.print(
        f"[bold]regulation {report.id}[/]  {report.kind}  {report.subjects:,} ids  "
        f"[bold]{report.status}[/]  {report.created_at}"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("place", "status", "items", ""):
        table.add_column(heading, justify="right" if heading == "items" else "left")
    for place in report.places:
        table.add_row(escape(place.place), place.status, f"{place.items:,}", escape(place.detail))
    console.print(table)
