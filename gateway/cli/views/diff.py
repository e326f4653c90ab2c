"""A comparison of two configs in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from gateway.cli.console import Console
from gateway.cli.views.explain import changed_line
from gateway.events.printing import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.runtime.diff import Example, Report, Tally

__all__ = ["show"]

_MOST_PATHS = 10
_MOST_RULES = 10
_NOTHING = "[dim]·[/]"


def show(report: Report, console: Console | None = None) -> None:
    """Prints a report."""
    console = console or Console(highlight=False, soft_wrap=True)
    where = "stored events" if report.stored else "events"
    unreadable = f", {report.unreadable:,} lines are no events" if report.unreadable else ""
    console.print(f"[bold]{report.events:,} {where}[/] through both configs{unreadable}")
    for notice in report.notices:
        console.print(f"[yellow]![/] {_text(notice)}")
    console.print(_table(report))
    for tally in (report.intake, *report.destinations):
        if tally.differs:
            _details(console, tally)


def _table(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for heading in ("unchanged", "changed", "dropped", "sent anew"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for tally in (report.intake, *report.destinations):
        status = {
            "same": "[dim]the same in both[/]",
            "added": "[green]is new[/]",
            "removed": "[red]is gone[/]",
        }.get(tally.status, "")
        table.add_row(
            f"[bold]{_text(tally.id)}[/]" if tally.id else "[italic]intake[/]",
            _number(tally.unchanged, "green"),
            _number(tally.changed, "yellow"),
            _number(sum(tally.dropped.values()), "red"),
            _number(sum(tally.sent.values()), "cyan"),
            status,
        )
    return table


def _details(console: Console, tally: Tally) -> None:
    console.print()
    console.print(f"[bold]{_text(tally.id or 'intake')}[/]")
    _rules(console, "no longer sent, by" if tally.id else "no longer stored, by", tally.dropped)
    _rules(console, "sent now, was kept back by" if tally.id else "stored now, was", tally.sent)
    if tally.changed:
        masked = f", {tally.masked:,} of them in secrets only" if tally.masked else ""
        console.print(f"  [yellow]{tally.changed:,} changed[/]{masked}")
    if tally.paths:
        if tally.looked_at < tally.changed:
            console.print(f"    [dim]where, in {tally.looked_at:,} of them:[/]")
        paths = sorted(tally.paths.items(), key=lambda item: (-item[1], item[0]))
        for path, number in paths[:_MOST_PATHS]:
            console.print(f"    {number:>9,}  {_text(path) or '(all)'}")
        if len(paths) > _MOST_PATHS:
            console.print(f"    [dim]and {len(paths) - _MOST_PATHS:,} other paths[/]")
    for example in tally.examples:
        _example(console, example)


def _rules(console: Console, what: str, counts: Mapping[str, int]) -> None:
    rules = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for rule, number in rules[:_MOST_RULES]:
        console.print(f"  [red]{number:,}[/] {what} {_text(rule)}")
    if len(rules) > _MOST_RULES:
        console.print(f"  [dim]and for {len(rules) - _MOST_RULES:,} other reasons[/]")


def _example(console: Console, example: Example) -> None:
    name = f"{_text(example.name)} [dim]{_text(example.message_id)}[/]"
    detail = f" {_text(example.detail)}" if example.detail else ""
    console.print(f"  [dim]for example, {example.kind}:[/] {name}{detail}")
    for change in example.changes:
        console.print(f"    {changed_line(change)}")


def _number(number: int, colour: str) -> str:
    return f"[{colour}]{number:,}[/]" if number else _NOTHING


def _text(text: str) -> str:
    return escape(printable(text))
